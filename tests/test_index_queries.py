"""Every way to ask an index: texts, query vectors, many at once, asynchronously; and vectors in and out."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from metaembed_rag import LADDER
from metaembed_rag.errors import IndexClosedError, InputError

TEXTS = [
    "The first ferry to Holm leaves at six in the morning.",
    "Beans are roasted at 210 degrees for twelve minutes.",
    "The library opens on Sundays between ten and four.",
    "Solar panels on the roof yield 9 kilowatts at noon.",
]
QUERIES = ["when does the boat depart?", "roasting temperature", "opening hours on Sunday"]


@pytest.fixture
def filled(index):
    index.add_texts(TEXTS, ids=["ferry", "coffee", "library", "solar"])
    return index


def pairs(hits):
    return [(hit.id, pytest.approx(hit.score, abs=1e-5)) for hit in hits]


@pytest.mark.parametrize("budget", LADDER, ids=str)
def test_query_vectors_find_what_their_text_finds(filled, budget):
    rows = filled.model.encode_queries(QUERIES[:1])[0]
    by_text = filled.search(QUERIES[0], budget=budget)
    by_rows = filled.search(rows, budget=budget)
    assert pairs(by_rows) == [(hit.id, hit.score) for hit in by_text]
    assert by_rows.query == "16 query Meta Tokens"
    assert by_rows.budget == budget


def test_fewer_query_vectors_than_the_budget_are_all_that_counts(filled):
    rows = filled.model.encode_queries(QUERIES[:1])[0][:2]
    hits = filled.search(rows)
    assert (hits.budget.query, hits.budget.document) == (2, 64)
    assert all(hit.budget == hits.budget for hit in hits)
    assert hits[0].score <= 2


def test_pages_of_one_window_ask_for_nothing_more(filled, monkeypatch):
    expected = filled.search(QUERIES[0], budget=4)

    def refuse(*arguments):
        raise AssertionError("asked for windows of pages that have one")

    engine = filled._store._engine
    with monkeypatch.context() as patch:
        patch.setattr(engine, "similarities", refuse)
        assert filled.search(QUERIES[0], budget=4) == expected
    filled.add_texts(["Nobody knows when. " * 200 + "The night boat departs at ten."], ids=["long"])
    monkeypatch.setattr(engine, "similarities", refuse)
    with pytest.raises(AssertionError, match="pages that have one"):
        filled.search(QUERIES[0], budget=4)


def test_many_queries_get_the_answers_of_each(filled):
    together = filled.search_many(QUERIES, budget=4, top_k=2)
    assert [pairs(hits) for hits in together] == [
        [(hit.id, hit.score) for hit in filled.search(query, budget=4, top_k=2)] for query in QUERIES
    ]
    assert [hits.query for hits in together] == QUERIES
    assert [hits[0].id for hits in together] == ["ferry", "coffee", "library"]
    assert filled.search_many([]) == []


async def test_asynchronous_answers_are_the_same_and_come_in_order(filled):
    expected = [[hit.id for hit in filled.search(query, budget=4)] for query in QUERIES]
    finished: list[int] = []

    async def ask(number):
        hits = await filled.asearch(QUERIES[number % 3], budget=4)
        finished.append(number)
        return [hit.id for hit in hits]

    found = await asyncio.gather(*(ask(number) for number in range(9)))
    assert found == expected * 3
    assert finished == list(range(9))
    assert [[hit.id for hit in hits] for hits in await filled.asearch_many(QUERIES, budget=4)] == expected


async def test_asynchronous_writing(index, tmp_path):
    (tmp_path / "note.txt").write_text("The lighthouse was built in 1887.")
    added = await index.aadd(tmp_path / "note.txt")
    await index.aadd_texts(["The harbour is closed in winter."], ids=["harbour"])
    assert [hit.id for hit in await index.aget([*added, "harbour"])] == [*added, "harbour"]
    assert await index.adelete(["harbour"]) == 1
    assert len(index) == 1


async def test_an_error_reaches_whoever_awaits(filled):
    with pytest.raises(InputError, match="empty"):
        await filled.asearch("  ")
    filled.close()
    with pytest.raises(IndexClosedError):
        await filled.asearch("boat")


def test_given_embeddings_are_stored_as_they_are(index):
    rows = index.model.encode_documents(TEXTS)
    index.add_texts(TEXTS, ids=["a", "b", "c", "d"], embeddings=list(rows))
    stored = index.vectors(["c", "a", "nowhere"])
    assert list(stored) == ["c", "a"]
    np.testing.assert_allclose(stored["c"], rows[2:3], atol=1e-6)
    assert index.search(QUERIES[0], top_k=1)[0].id == "a"
    assert index.add_texts(TEXTS[:1], ids=["a"], embeddings=[rows[0]]).unchanged == 1
    assert index.add_texts(TEXTS[:1], ids=["a"], embeddings=[rows[1]]).added == 1
    np.testing.assert_allclose(index.vectors(["a"])["a"][0], rows[1], atol=1e-6)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "empty"),
        (7, "a query is a text"),
        ({}, "mapping"),
        ({"text": "  "}, "empty"),
        ({"text": "boat", "picture": 1}, "mapping"),
        (np.zeros(128, np.float32), "finite rows"),
        (np.full((2, 128), np.nan, np.float32), "finite rows"),
        (np.zeros((2, 64), np.float32), "64 dimensions"),
    ],
)
def test_what_is_no_query_is_refused(filled, query, message):
    with pytest.raises(InputError, match=message):
        filled.search(query)


def test_a_single_query_is_not_many(filled):
    for query in ("boat", {"text": "boat"}, None, 7):
        with pytest.raises(InputError, match="wrap it in a list"):
            filled.search_many(query)


def test_queries_may_come_one_by_one(filled):
    assert [len(hits) for hits in filled.search_many(iter(["boat", "coffee"]), top_k=1)] == [1, 1]


@pytest.mark.parametrize("rows", [np.zeros((64, 3)), np.full((64, 128), np.inf), np.zeros(128)])
def test_embeddings_that_do_not_fit_are_refused(index, rows):
    with pytest.raises(InputError):
        index.add_texts(["text"], embeddings=[rows])
    assert len(index) == 0
