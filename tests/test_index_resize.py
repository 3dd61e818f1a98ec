"""Resizing, precision and sizes through the index and its command line, with the real model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from metaembed_rag import MetaEmbedIndex, Page
from metaembed_rag.errors import BudgetError, IndexMismatchError, StoreError

TEXTS = ["The first ferry to Holm leaves at six.", "Beans are roasted at 210 degrees.", "Open on Sundays from ten."]
QUERY = "when does the boat depart?"


def scores(index, budget="full"):
    return {hit.id: hit.score for hit in index.search(QUERY, budget=budget)}


def test_what_was_dropped_comes_back_from_the_stored_text(index):
    index.add_texts(TEXTS, ids=["ferry", "coffee", "library"])
    # Longer than the model's window, so that it has several.
    index.add([Page(source="book", number=1, text="A harbour for boats. " * 200 + "Ferries leave at noon. " * 100)])
    before = scores(index)
    assert index.resize(16, progress=False) == 0
    with pytest.raises(BudgetError, match="1, 4, 8, 16"):
        index.search(QUERY, budget=(16, 64))
    assert index.search(QUERY).budget.document == 16
    points = index.info()["points"]
    assert index.resize(64, progress=False) == points > 4
    assert scores(index) == pytest.approx(before, abs=1e-3)


def test_embeddings_made_elsewhere_are_not_invented(index, model):
    index.add_texts(TEXTS[:1], ids=["mine"], embeddings=model.encode_documents(["about something else entirely"]))
    before = scores(index, 4)
    index.resize(8, progress=False)
    with pytest.raises(StoreError, match="does not make from their text"):
        index.resize(64, progress=False)
    assert scores(index, 4) == pytest.approx(before, abs=1e-5)


def test_a_precision_is_chosen_once(model, tmp_path):
    with MetaEmbedIndex(tmp_path / "i", model=model, precision="int8") as index:
        index.add_texts(TEXTS, ids=["ferry", "coffee", "library"])
        found = scores(index)
    with MetaEmbedIndex(tmp_path / "i", model=model) as again:
        assert scores(again) == pytest.approx(found, abs=1e-6)
        assert again.info()["precision"] == "int8"
    with pytest.raises(IndexMismatchError, match="int8"):
        MetaEmbedIndex(tmp_path / "i", precision="f16")


def test_a_long_page_keeps_as_many_vectors_as_it_may(model, tmp_path):
    book = Page(source="book", number=1, text="A harbour for boats. " * 200 + "Ferries leave at noon. " * 100)
    with MetaEmbedIndex(tmp_path / "i", model=model, page_vectors=64) as index:
        index.add_texts(TEXTS, ids=["ferry", "coffee", "library"])
        index.add([book])
        windows = len(model.windows(book.text))
        (page,) = (hit.id for hit in index.search(QUERY) if hit.source == "book")
        kept = index.vectors([page])[page]
        assert len(kept) == windows and sum(len(np.unique(rows, axis=0)) for rows in kept) <= 64
        assert index.vectors(["ferry"])["ferry"].shape == (1, 64, model.dim)
        assert index.search(QUERY)[0].id == "ferry"
        assert len(index.explain_match(QUERY, index.search(QUERY)[0]).line_scores)
        loss = index.calibrate(TEXTS[:2], progress=False).loss
        assert (loss.precision, loss.page_vectors) == ("f32", 64)
        assert loss.score_error > 0, "the book's windows are merged"
        assert loss.overlap == 1.0
        before = scores(index)
        index.resize(8, progress=False)
        index.resize(64, progress=False)
        assert scores(index) == pytest.approx(before, abs=1e-3)
    with MetaEmbedIndex(tmp_path / "all", model=model) as index:
        index.add([book])
        assert index.info()["page_vectors"] is None
        assert index.calibrate(TEXTS[:2], progress=False).loss is None


def test_on_the_command_line(model, tmp_path, monkeypatch, capsys):
    from typer.testing import CliRunner

    from metaembed_rag.cli import app

    monkeypatch.setenv("COLUMNS", "120")
    place = ["--index", str(tmp_path / "i")]
    with MetaEmbedIndex(tmp_path / "i", model=model) as index:
        index.add_texts(TEXTS)
    runner = CliRunner()
    said = json.loads(runner.invoke(app, ["resize", "--document-tokens", "8", *place, "--json"]).stdout)
    assert said["encoded"] == 0
    assert said["info"]["document_tokens"] == [1, 4, 8]
    assert said["info"]["bytes"] < said["before"]["bytes"]
    said = runner.invoke(app, ["resize", "--document-tokens", "16", *place]).stdout
    assert "3 windows embedded again" in said
    said = runner.invoke(app, ["info", *place]).stdout
    assert "(8,16)" in said
    assert "100M pages" in said
    assert "bytes by group" not in said
    (tmp_path / "note.txt").write_text(TEXTS[0])
    place = ["--index", str(tmp_path / "few")]
    said = runner.invoke(app, ["index", str(tmp_path / "note.txt"), *place, "--json", "--page-vectors", "8"]).stdout
    assert json.loads(said)["info"]["page_vectors"] == 8
    (tmp_path / "asked.txt").write_text("where do boats lie?\nwhen do ferries leave?\n")
    said = runner.invoke(app, ["calibrate", "--queries", str(tmp_path / "asked.txt"), *place]).stdout
    assert "stored as f32, up to 8 vectors a page: scores differ by" in " ".join(said.split())
