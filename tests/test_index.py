"""MetaEmbedIndex end to end with the real model: files, texts, replacement, errors, both engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metaembed_rag import LADDER, MetaEmbedIndex, Page
from metaembed_rag.errors import (
    BudgetError,
    CorruptDocumentError,
    DocumentNotFoundError,
    FilterError,
    IndexClosedError,
    IndexNotFoundError,
    InputError,
    NothingIndexedError,
)

REPORTS = Path(__file__).parent.parent / "examples" / "reports"


@pytest.fixture
def folder(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "ferry.txt").write_text("The first ferry to Holm leaves at six in the morning.")
    (notes / "coffee.md").write_text("# Roasting\n\nBeans are roasted at 210 degrees for twelve minutes.\n")
    return notes


def test_files_are_found_and_readding_costs_no_embedding(index, folder, monkeypatch):
    first = index.add(folder)
    assert (first.added, first.unchanged, first.skipped) == (2, 0, [])
    monkeypatch.setattr(index.model, "encode_documents", None)
    again = index.add(folder)
    assert list(again) == list(first)
    assert (again.added, again.unchanged) == (0, 2)
    hits = index.search("when does the boat depart?", budget=4, top_k=1)
    assert hits[0].source == str(folder / "ferry.txt")
    assert hits[0].page == 1
    assert "six in the morning" in hits[0].text


@pytest.mark.parametrize("budget", [*LADDER, "full", 4, (4, 64), (1, 64)], ids=str)
def test_every_budget_gives_the_model_s_own_scores(index, model, budget):
    texts = ["ferries and harbours", "coffee at 210 degrees", "solar parks in spring"]
    ids = index.add_texts(texts)
    hits = index.search("harbour", budget=budget)
    expected = model.score(model.encode_queries(["harbour"]), model.encode_documents(texts), budget=hits[0].budget)[0]
    assert {hit.id: hit.score for hit in hits} == pytest.approx(
        dict(zip(ids, expected.tolist(), strict=True)), abs=1e-4
    )
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_changed_file_replaces_its_pages(index, folder):
    index.add(folder)
    (folder / "ferry.txt").write_text("There is no ferry in winter.")
    assert index.add(folder).added == 1
    texts = [hit.text for hit in index.search("ferry", top_k=10)]
    assert "There is no ferry in winter." in texts
    assert not any("six in the morning" in text for text in texts)
    assert index.info()["pages"] == 2


def test_bad_files_are_named_and_the_good_ones_indexed(index, folder):
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing more")
    (folder / "program.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "empty.txt").write_text("")
    result = index.add([folder, folder / "absent.pdf"])
    assert result.added == 2
    assert {Path(error.path).name for error in result.skipped} == {
        "broken.pdf",
        "program.bin",
        "empty.txt",
        "absent.pdf",
    }
    assert "4 documents skipped" in result.summary()


def test_a_single_bad_file_raises_its_own_error_and_several_one_for_all(index, folder):
    broken = folder / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7 nothing more")
    with pytest.raises(CorruptDocumentError, match=r"broken\.pdf"):
        index.add(broken)
    with pytest.raises(DocumentNotFoundError):
        index.add("nowhere/at/all.pdf")
    with pytest.raises(NothingIndexedError) as caught:
        index.add([broken, "nowhere.pdf"])
    assert len(caught.value.skipped) == 2
    assert len(index) == 0


def test_texts_are_never_paths(index, folder):
    (identifier,) = index.add_texts([str(folder / "ferry.txt")])
    (hit,) = index.search("anything at all")
    assert hit.id == identifier
    assert hit.text == str(folder / "ferry.txt")


def test_texts_with_ids_are_upserted_and_without_are_kept_once(index):
    assert index.add_texts(["one", "two"], ids=["1", "2"], metadatas=[{"n": 1}, {"source": "b"}]) == [
        "1",
        "2",
    ]
    assert index.add_texts(["one changed"], ids=["1"]).added == 1
    assert {hit.id: hit.text for hit in index.search("one")} == {"1": "one changed", "2": "two"}
    assert [hit.source for hit in index.get(["2", "nobody", "1"])] == ["b", "1"]
    same = index.add_texts(["three", "three"])
    assert len(set(same)) == 1
    assert index.info()["pages"] == 3


def test_a_page_of_a_file_can_be_written_back_and_the_file_restores_it(index, folder):
    page, _ = index.add(folder)
    index.add_texts(["The ferry is late."], ids=[page], metadatas=[{"source": "desk"}])
    assert len(index) == 2
    assert {hit.id: hit.text for hit in index.search("ferry")}[page] == "The ferry is late."
    assert index.add(folder).added == 1
    assert index.get([page])[0].source != "desk"
    assert len(index) == 2


def test_texts_and_files_do_not_take_each_other_s_place(index, folder):
    file = str(folder / "ferry.txt")
    (page,) = index.add(file)
    index.add_texts(["a summary"], ids=[file])
    assert index.add(file).unchanged == 1
    assert index.add_texts(["a summary"], ids=[file]).unchanged == 1
    assert [hit.text for hit in index.get([file])] == ["a summary"]
    assert {hit.id for hit in index.search("ferry")} == {page, file}


def test_no_source_is_the_key_of_a_text(index):
    for name in ("text\nhello", "hello"):
        index.add(Page(name, 1, "a page"))
    index.add_texts(["a text"], ids=["hello"])
    assert len(index) == 3


def test_a_service_has_no_standard_error(index, folder, monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert index.add(folder).added == 2


def test_long_pages_have_several_windows_and_one_result(index):
    filler = " ".join(f"Paragraph {n} is about gravel and sand." for n in range(200))
    index.add(
        [
            Page("long.txt", 1, f"{filler} The lighthouse keeper is called Ansgar."),
            Page("long.txt", 2, filler),
        ]
    )
    assert index.info()["points"] > index.info()["pages"] == 2
    hits = index.search("who keeps the lighthouse?", top_k=5)
    assert [hit.page for hit in hits] == [1, 2]
    assert "Ansgar" in hits[0].passage
    assert len(hits[0].passage) < len(hits[0].text)


def test_delete_by_source_and_by_id(index, folder):
    ids = index.add(folder)
    assert index.delete(source=str(folder / "ferry.txt")) == 1
    assert index.sources() == [str(folder / "coffee.md")]
    assert index.delete(ids=ids) == 1
    assert index.search("ferry") == []
    # What was deleted comes back when it is added again.
    assert index.add(folder).added == 2


def test_metadata_and_filters(index, folder):
    index.add(folder, metadata={"team": "harbour"})
    index.add_texts(["x", "y"], metadatas=[{"team": "kitchen", "year": 2019}, {"year": 2020}])
    assert len(index.search("x", filter={"team": "harbour"})) == 2
    assert [hit.text for hit in index.search("x", filter={"year": {"gte": 2020}})] == ["y"]
    assert index.search("x", filter={"team": "harbour"})[0].metadata == {"team": "harbour"}


def test_wrong_arguments_are_told(index):
    deep = {"a": 1}
    for _ in range(5000):
        deep = {"a": deep}
    index.add_texts(["x"])
    for call, error in [
        (lambda: index.search(""), InputError),
        (lambda: index.search(["x"]), InputError),
        (lambda: index.search("\ud800"), InputError),
        (lambda: index.add_texts(["\ud800"]), InputError),
        (lambda: index.add_texts(None), InputError),
        (lambda: index.add_texts(["x"], metadatas=["abc"]), InputError),
        (lambda: index.add_texts(["x"], metadatas=[[1]]), InputError),
        (lambda: index.add_texts(["x"], embeddings=["abc"]), InputError),
        (lambda: index.add_texts(["x"], embeddings=[[[1.0], [1.0, 2.0]]]), InputError),
        (lambda: index.add(None), InputError),
        (lambda: index.add(Page("s", 0, "x")), InputError),
        (lambda: index.add(Page("s", 2**70, "x")), InputError),
        (lambda: index.add(Page("s", "1", "x")), InputError),
        (lambda: index.add(Page("s\0", 1, "x")), InputError),
        (lambda: index.add(Page("s", 1, "x", metadata=None)), InputError),
        (lambda: index.add(Page("s", 1, "x"), ocr="bogus"), InputError),
        (lambda: index.calibrate(5), InputError),
        (lambda: index.calibrate(["x"], labels={"x": "ab"}), InputError),
        (lambda: index.calibrate(["x"], labels={"x": None}), InputError),
        (lambda: index.calibrate(["x"], labels=["x"]), InputError),
        (lambda: index.explain_match("x", None), InputError),
        (lambda: index.search("x", latency_ms=10**400), InputError),
        (lambda: MetaEmbedIndex(5), InputError),
        (lambda: MetaEmbedIndex(url=5), InputError),
        (lambda: MetaEmbedIndex(":memory:", model=5), InputError),
        (lambda: index.add([3]), InputError),
        (lambda: index.add(REPORTS, metadata=["a"]), InputError),
        (lambda: index.add_texts(["x"], ids=["\ud800"]), InputError),
        (lambda: index.add_texts(["x"], ids=[""]), InputError),
        (lambda: index.add_texts(["x"], metadatas=[{"a": "\ud800"}]), InputError),
        (lambda: index.add(Page("a", 1, "\ud800")), InputError),
        (lambda: index.add(Page("\ud800", 1, "x")), InputError),
        (lambda: index.search("x", top_k=0), InputError),
        (lambda: index.search("x", budget=99), BudgetError),
        (lambda: index.search("x", budget=(4, 5)), BudgetError),
        (lambda: index.search("x", filter={"a": {"like": 1}}), FilterError),
        (lambda: index.add_texts("x"), InputError),
        (lambda: index.add_texts(["x"], ids=["a", "b"]), InputError),
        (lambda: index.add_texts(["x", "y"], ids=["a", "a"]), InputError),
        (lambda: index.add_texts(["x"], metadatas=[{"a": {1, 2}}]), InputError),
        (lambda: index.add_texts([3]), InputError),
        (lambda: index.delete(), InputError),
        (lambda: index.delete(["a"], source="b"), InputError),
        (lambda: index.delete([{"a": 1}]), InputError),
        (lambda: index.delete(source=3), InputError),
        (lambda: index.get(["\ud800"]), InputError),
        (lambda: index.get("a"), InputError),
        (lambda: index.vectors([3]), InputError),
        (lambda: index.search("x", top_k=2**70), InputError),
        (lambda: index.add_texts(["x"], metadatas=[{"a": 2**64}]), InputError),
        (lambda: index.add_texts(["x"], metadatas=[{"a": {1: "b"}}]), InputError),
        (lambda: index.add_texts(["x"], metadatas=[deep]), InputError),
    ]:
        with pytest.raises(error):
            call()
    assert [hit.text for hit in index.search("x")] == ["x"]


def test_an_index_survives_closing_and_a_closed_one_says_so(model, tmp_path):
    path = tmp_path / "kept.index"
    with MetaEmbedIndex(path, model=model) as index:
        index.add_texts(["the harbour master"], ids=["a"])
    with pytest.raises(IndexClosedError):
        index.search("harbour")
    with MetaEmbedIndex(path, model=model, create=False) as again:
        assert [hit.id for hit in again.search("harbour")] == ["a"]


def test_no_index_is_made_where_one_was_expected(tmp_path, monkeypatch):
    with pytest.raises(IndexNotFoundError, match="metaembed index"):
        MetaEmbedIndex(tmp_path / "none", create=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(IndexNotFoundError, match="must exist"):
        MetaEmbedIndex(tmp_path / "empty", create=False)
    with MetaEmbedIndex(tmp_path / "local", engine="local", collection="good") as index:
        index.add_texts(["x"])
    with pytest.raises(IndexNotFoundError, match="must exist"):
        MetaEmbedIndex(tmp_path / "local", engine="local", collection="tpyo", create=False)
    monkeypatch.setenv("METAEMBED_INDEX", str(tmp_path / "elsewhere"))
    with MetaEmbedIndex() as index:
        assert index.path == str(tmp_path / "elsewhere")


def test_hits_are_json(index):
    index.add_texts(["x"], metadatas=[{"a": [1, None]}])
    (hit,) = index.search("x", budget=4)
    loaded = json.loads(json.dumps(hit.to_dict()))
    assert loaded["budget"] == [4, 8]
    assert {"id", "score", "source", "page", "text", "metadata", "budget"} <= set(loaded)
