"""mteb on a task that lies in local files: the same ranking as exact search, every layout, typed refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from metaembed_rag.errors import BudgetError, InputError
from metaembed_rag.evaluation.local import read_task
from metaembed_rag.evaluation.mteb import MtebModel, as_item
from metaembed_rag.scoring import maxsim, page_maxsim

mteb = pytest.importorskip("mteb")

DOCUMENTS = {
    "ferry": "The island ferry carried 41,000 passengers in 2019, a tenth more than the year before.",
    "coffee": "Roast the beans until the first crack, then let them cool within four minutes.",
    "solar": "Clean the solar panels twice a year; dust costs them a twentieth of their yield.",
    "library": "Most readers borrow novels, and the survey shows that they want longer opening hours.",
}
QUERIES = {
    "q1": ("How many people took the boat?", "ferry"),
    "q2": ("when is a coffee bean done", "coffee"),
    "q3": ("What does dirt on photovoltaic modules do?", "solar"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "corpus.jsonl", [{"id": key, "title": "", "text": text} for key, text in DOCUMENTS.items()])
    write(tmp_path / "queries.jsonl", [{"_id": key, "text": text} for key, (text, _) in QUERIES.items()])
    write(
        tmp_path / "qrels.jsonl",
        [{"query-id": key, "corpus-id": document, "score": 1} for key, (_, document) in QUERIES.items()],
    )
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_local_task_is_evaluated_offline(model, folder):
    result = mteb.evaluate(
        MtebModel(model, budget=4), read_task(folder, "reports"), cache=None, show_progress_bar=False
    )
    (scores,) = result.task_results[0].scores["test"]
    assert scores["ndcg_at_5"] == 1.0
    assert result.task_results[0].task_name == "reports"
    assert (result.model_name, result.model_revision) == ("metaembed-rag/mini", model.fingerprint)


def test_scores_are_maxsim_at_the_budget(model, folder):
    found = search(MtebModel(model, budget=(2, 16)), read_task(folder), top_k=3)
    queries = model.encode_queries([text for text, _ in QUERIES.values()])
    documents = model.encode_documents(list(DOCUMENTS.values()))
    exact = maxsim(queries[:, :2], documents[:, :16])
    for row, (query, _) in enumerate(QUERIES.items()):
        best = np.argsort(-exact[row])[:3]
        assert list(found[query]) == [list(DOCUMENTS)[place] for place in best]
        assert list(found[query].values()) == pytest.approx(exact[row][best], abs=1e-4)


def test_a_long_document_counts_as_its_best_window(model, folder, monkeypatch):
    filler = "The committee met and adjourned without a decision. " * 60
    write(
        folder / "corpus.jsonl",
        [{"id": key, "text": f"{filler} {text}" if key == "solar" else text} for key, text in DOCUMENTS.items()],
    )
    # Two blocks: results of one must not crowd out the other's.
    monkeypatch.setattr("metaembed_rag.evaluation.mteb.DOCUMENTS_AT_ONCE", 2)
    found = search(MtebModel(model, budget=4), read_task(folder), top_k=4)
    parts = [window.text for window in model.windows(f"{filler} {DOCUMENTS['solar']}")]
    assert len(parts) > 1
    query = model.encode_queries([QUERIES["q3"][0]], budget=4)
    whole = page_maxsim(query, model.encode_documents(parts, budget=4), np.asarray([0]))[0, 0]
    assert found["q3"]["solar"] == pytest.approx(float(whole), abs=1e-4)
    assert set(found["q3"]) == set(DOCUMENTS)


def test_reranking_ranks_only_what_it_is_given(model, folder):
    ranked = {"q1": ["coffee", "ferry"], "q2": ["solar"]}
    found = search(MtebModel(model, budget=1), read_task(folder), top_k=3, top_ranked=ranked)
    assert list(found["q1"]) == ["ferry", "coffee"]
    assert list(found["q2"]) == ["solar"]
    assert found["q3"] == {}


@pytest.mark.slow
def test_pages_as_pictures_in_parquet_as_vidore_publishes_them(model, tmp_path):
    datasets = pytest.importorskip("datasets")
    pages = [{"corpus-id": number, "image": draw(text)} for number, text in enumerate(list(DOCUMENTS.values())[:2])]
    for part, rows in (
        ("corpus", pages),
        ("queries", [{"query-id": 7, "query": "How many people took the boat?"}]),
        ("qrels", [{"query-id": 7, "corpus-id": 0, "score": 2}]),
    ):
        (tmp_path / part).mkdir()
        table = datasets.Dataset.from_list(rows)
        if part == "corpus":
            # Published sets hold the pictures' bytes.
            table = table.cast_column("image", datasets.Image())
        table.to_parquet(tmp_path / part / "test-00000-of-00001.parquet")
    task = read_task(tmp_path)
    assert task.metadata.category == "t2i"
    result = mteb.evaluate(MtebModel(model, budget=4), task, cache=None, show_progress_bar=False)
    assert result.task_results[0].scores["test"][0]["ndcg_at_5"] == 1.0


def test_malformed_folders_are_refused_in_words(folder):
    with pytest.raises(InputError, match="corpus, queries and qrels"):
        read_task(folder / "nowhere")
    write(folder / "qrels.jsonl", [{"query-id": "q1", "corpus-id": "lost", "score": 1}])
    with pytest.raises(InputError, match="'lost' is missing"):
        read_task(folder)
    write(folder / "qrels.jsonl", [{"query-id": "q1"}])
    with pytest.raises(InputError, match="query-id, corpus-id and a whole score"):
        read_task(folder)
    write(folder / "corpus.jsonl", [{"id": "a", "image": "../../etc/passwd"}])
    with pytest.raises(InputError, match="no file inside"):
        read_task(folder)
    (folder / "queries.jsonl").write_text("{not json\n", encoding="utf-8")
    (folder / "corpus.jsonl").write_text('{"id": "a", "text": "x"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 1: not JSON"):
        read_task(folder)


def test_what_cannot_be_asked_is_refused(model):
    with pytest.raises(BudgetError):
        MtebModel(model, budget=99)
    with pytest.raises(InputError, match="call index"):
        MtebModel(model).search([], top_k=1)
    with pytest.raises(InputError, match="conversation"):
        as_item({"id": "a", "text": [{"role": "user", "content": "hello"}]}, "query")
    with pytest.raises(InputError, match="neither text nor image"):
        as_item({"id": "a", "text": " "}, "query")
    assert as_item({"id": "a", "title": "Ferry", "text": "It sails."}, "document") == "Ferry It sails."


def search(model: MtebModel, task: Any, **options: Any) -> dict[str, dict[str, float]]:
    task.load_data()
    split = task.dataset["default"]["test"]
    model.index(split["corpus"])
    return model.search(split["queries"], **options)


def draw(text: str) -> Image.Image:
    page = Image.new("RGB", (900, 200), "white")
    ImageDraw.Draw(page).multiline_text((20, 40), text.replace(", ", ",\n"), fill="black", font_size=26)
    return page
