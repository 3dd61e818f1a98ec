"""Evidence for real hits of the real model: where it is found, how it is drawn, what is said where it cannot be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metaembed_rag import Budget, MetaEmbedIndex, Page
from metaembed_rag.errors import InputError
from metaembed_rag.evidence import METHODS

REPORTS = Path(__file__).parents[2] / "examples" / "reports"
QUESTION = "What should be done when the insulation resistance is too low?"
NOTE = """Coffee is roasted at 210 degrees.
The first ferry to Holm leaves at six.
Sheep graze between the solar modules."""


@pytest.fixture(scope="module")
def manual(tmp_path_factory):
    path = tmp_path_factory.mktemp("manual") / "solar-park-manual.pdf"
    shutil.copy(REPORTS / path.name, path)
    return path


@pytest.fixture(scope="module")
def index(model, manual, tmp_path_factory):
    with MetaEmbedIndex(tmp_path_factory.mktemp("evidence") / "x.index", model=model) as opened:
        opened.add(manual)
        opened.add_texts([NOTE], ids=["note"])
        yield opened


@pytest.fixture(scope="module")
def hit(index, manual):
    (found,) = index.search(QUESTION, budget=4, top_k=1, filter={"source": str(manual), "page": 3})
    return found


@pytest.fixture(scope="module")
def evidence(index, hit):
    return index.explain_match(QUESTION, hit)


def test_the_line_that_answers_is_among_the_hottest_and_stands_where_it_is_printed(evidence):
    (line,) = [part for part in evidence.top_lines(3) if "E-07 Insulation resistance too low" in part.text]
    assert line.heat > 0.3
    left, top, right, bottom = line.box
    assert 0 < left < right < 1
    assert 0.15 < top < bottom < 0.4


def test_scores_are_the_model_s_own(evidence, hit, model):
    assert evidence.tokens == 4
    assert float(evidence.token_scores.sum()) == pytest.approx(hit.score, abs=1e-3)
    line = evidence.lines[10]
    alone = model.score(model.encode_queries([QUESTION]), model.encode_documents([line.text]), budget=(4, 8))[0, 0]
    assert line.score == pytest.approx(float(alone), abs=1e-3)
    by_token = [evidence.parts("lines", token=token)[10].score for token in range(4)]
    assert sum(by_token) == pytest.approx(line.score, abs=1e-4)


def test_a_page_of_several_windows_is_explained_as_it_was_scored(index, model):
    text = "Ferries leave at six. " + "Nothing else is known of that day. " * 60 + "Tickets cost four crowns."
    index.add_texts([text], ids=["long"])
    try:
        (found,) = index.search("what do tickets for the ferry cost?", budget=4, top_k=1, filter={"source": "long"})
        assert len(model.windows(text)) > 1
        seen = index.explain_match("what do tickets for the ferry cost?", found)
        assert float(seen.token_scores.sum()) == pytest.approx(found.score, abs=1e-3)
        without = index.explain_match("what do tickets for the ferry cost?", found, method="occlusion")
        last = without.lines[-1]
        assert "four crowns" in last.text and last.score > 0
    finally:
        index.delete(ids=["long"])


def test_heat_runs_from_nothing_to_one(evidence):
    for kind in ("words", "lines", "regions"):
        heats = [part.heat for part in evidence.parts(kind)]
        assert 0 <= min(heats) <= max(heats) <= 1
        assert min(heats) == 0
    assert max(part.heat for part in evidence.lines) == 1
    assert len(evidence.words) > len(evidence.lines) > len(evidence.regions) > 1


def test_the_heat_map_warms_the_line_and_leaves_the_rest(evidence, hit):
    page, heated = hit.image(110), evidence.image()
    assert heated.size == page.size
    before, after = np.asarray(page).astype(int), np.asarray(heated).astype(int)
    left, top, right, bottom = evidence.top_lines(1)[0].box
    rows = slice(int(top * page.height), int(bottom * page.height))
    columns = slice(int(left * page.width), int(right * page.width))
    changed = np.abs(before - after)
    # A marker takes blue from the paper and leaves red.
    assert changed[rows, columns, 2].mean() > 60 > changed[rows, columns, 0].mean()
    assert changed[int(0.95 * page.height) :].max() == 0
    assert changed[:, : int(0.03 * page.width)].max() == 0
    assert not np.array_equal(np.asarray(evidence.image(token=2)), np.asarray(heated))


def test_evidence_is_html_with_its_picture_and_lines(evidence):
    html = evidence._repr_html_()
    assert "data:image/" in html
    assert "E-07" in html
    assert "<script" not in html
    assert evidence.to_html().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_shows_evidence_in_plain_text(index, method):
    (hit,) = index.get(["note"])
    evidence = index.explain_match("when does the boat leave?", hit, method=method, budget="full")
    assert evidence.image() is None
    assert len(evidence.lines) == 3
    assert "ferry" in evidence.top_lines(1)[0].text
    assert "background:rgba" in evidence._repr_html_()


def test_documents_cannot_write_into_evidence(index):
    evil = "<script>alert(1)</script> & ferry"
    index.add_texts([f"{evil}.\nSecond line.\nThird line."], ids=["evil"], metadatas=[{"source": evil}])
    (hit,) = index.get(["evil"])
    html = index.explain_match(evil, hit, budget=1)._repr_html_()
    index.delete(["evil"])
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_file_that_is_gone_or_changed_leaves_evidence_in_the_text(index, hit, manual, tmp_path):
    gone = index.explain_match(QUESTION, replace(hit, source=str(tmp_path / "gone.pdf")), budget=1)
    assert "no such file" in gone.note
    assert gone.lines[0].box is None
    assert "no such file" in gone._repr_html_()
    changed = index.explain_match(QUESTION, replace(hit, text="Something else.\nWas here.", span=(0, 15)), budget=1)
    assert "the file has changed" in changed.note
    assert [line.text for line in changed.lines] == ["Something else.", "Was here."]
    # A picture of other words than the scored ones would mislead.
    assert "data:image/" not in changed._repr_html_()


def test_wrong_arguments_are_told(index, evidence, hit):
    for call in (
        lambda: index.explain_match("", hit),
        lambda: index.explain_match(QUESTION, hit, method="guess"),
        lambda: evidence.image(token=4),
        lambda: evidence.parts("letters"),
        lambda: index.explain_match(QUESTION, replace(hit, text=" ", route="text")),
    ):
        with pytest.raises(InputError):
            call()


def test_a_backbone_that_sees_gets_parts_of_the_picture(index, hit, model, monkeypatch):
    """The route for pictures, with a model that reads crops by their ink: darker crops resemble the query more."""

    class Seeing:
        sees = True
        dim, query_tokens = model.dim, model.query_tokens
        encode_queries = staticmethod(model.encode_queries)

        @staticmethod
        def encode_documents(documents, *, budget=None, batch_size=32):
            rows = model.encode_queries([QUESTION])[0]
            ink = np.array([1 - np.asarray(crop.convert("L")).mean() / 255 for crop in documents], dtype=np.float32)
            return ink[:, None, None] * rows[None, :8]

    monkeypatch.setattr(type(index), "model", property(lambda self: Seeing()))
    evidence = index.explain_match(QUESTION, hit)
    assert (evidence.words, evidence.lines) == ([], [])
    assert len(evidence.regions) == 40
    boxes = [part.box for part in evidence.regions]
    assert min(box[0] for box in boxes) == 0
    assert max(box[3] for box in boxes) == 1
    # The middle of the page holds a table, its foot nothing.
    assert evidence.top_lines(1)[0].box[1] < 0.8
    assert evidence.image().size == hit.image(110).size


def test_what_meta_tokens_look_at_is_a_table(index, hit):
    from metaembed_rag.display import meta_token_report

    report = meta_token_report(index, [hit, NOTE])
    assert (report.kind, report.pages, report.tokens[0]) == ("document", 2, 0)
    assert all(words for words in report.words)
    seen = {word for words in report.words for word, _ in words}
    present = set(f"{hit.text} {NOTE}".casefold().split())
    assert all(any(word in known for known in present) for word in seen)
    assert report.own[0] == 1
    assert "aligns with" in report._repr_html_()
    assert len(str(report).splitlines()) == 1 + len(report.tokens)
    asked = meta_token_report(index, [QUESTION], kind="query")
    assert asked.tokens == tuple(range(16))
    with pytest.raises(InputError, match="at least one"):
        meta_token_report(index, [])
    with pytest.raises(InputError, match="0 to 63"):
        meta_token_report(index, [NOTE], tokens=[64])


def test_pages_without_words_are_refused_in_words(index, hit):
    with pytest.raises(InputError, match="no text"):
        index.explain_match("x", replace(hit, text="", span=(0, 0)), budget=Budget(1, 1))


def test_pages_given_as_pages_have_evidence_too(index):
    index.add(Page("made.txt", 1, NOTE))
    (hit,) = index.search("when does the ferry leave", budget=4, top_k=1, filter={"source": "made.txt"})
    assert "ferry" in index.explain_match("when does the ferry leave", hit).top_lines(1)[0].text
    index.delete(source="made.txt")
