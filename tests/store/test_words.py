"""Words beside Meta Tokens: BM25 on every engine, candidates of both kinds scored alike, whatever becomes of a page."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import IndexMismatchError
from metaembed_rag.scoring import page_maxsim
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store import store as store_module
from metaembed_rag.store.copy import copy_index
from metaembed_rag.store.filters import Filter, match, parse_filter
from metaembed_rag.store.fusion import CANDIDATES, WORDS_SHARE, candidates, fuse
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.record import IndexRecord
from metaembed_rag.store.resize import resize
from metaembed_rag.store.schema import INDEX_POINT
from metaembed_rag.store.store import Store
from metaembed_rag.store.words import page_terms, query_terms

from .conftest import document, open_store, rows
from .test_resize import Encoder

TEXTS = {
    "a": "The ferry leaves the harbour.",
    "b": "Ferry, ferry, ferry: tickets.",
    "c": "A library of maps.",
    "d": "Salt and light.",
    "e": "Maps of the harbours.",
}
QUERY = rows(7, 16)
ASKED = query_terms("ferry maps harbour")


def page(name: str, text: str, *, windows: int = 1, seed: int = 0, **metadata: object):
    """A document of one page with a text; its windows cover a part of it each."""
    made = document(name, windows=windows, seed=seed, **metadata)
    size = -(-len(text) // windows)
    points = [replace(p, text=text, span=(p.window * size, min(len(text), (p.window + 1) * size))) for p in made.points]
    return replace(made, points=points)


def pages(windows: int = 1):
    return [page(f"{name}", text, windows=windows, letter=name) for name, text in TEXTS.items()]


def bm25(texts: dict[str, str], asked=ASKED) -> dict[str, float]:
    """By its formula, over what ``page_terms`` says of each text."""
    terms = {
        name: dict(zip(found.indices, found.weights, strict=True))
        for name, text in texts.items()
        if (found := page_terms(text)) is not None
    }
    holders = {term: sum(term in weights for weights in terms.values()) for term in asked.indices}
    idf = {term: math.log((len(terms) - n + 0.5) / (n + 0.5) + 1) for term, n in holders.items()}
    scores = {
        name: sum(idf[term] * weights.get(term, 0.0) for term in asked.indices) for name, weights in terms.items()
    }
    return {f"{name}/1": score for name, score in scores.items() if score > 0}


def find(store: Store, budget: Budget = LADDER[-1], *, words=ASKED, limit: int = 9, filter: Filter | None = None):
    stages = build_stages(Plan(budget, whole=budget.query > 1), QUERY)
    return [(s.payload["id"], s.score) for s in store.search(stages, filter or Filter(), limit, words)]


@pytest.fixture
def store(opener) -> Store:
    return opener(words=True)


def test_every_engine_computes_bm25(store):
    store.write(pages())
    found = store._engine.query_words(ASKED, match("kind", "page"), 9)
    assert found == pytest.approx(bm25(TEXTS), rel=1e-5)
    assert list(found) == sorted(found, key=lambda name: -found[name])


@pytest.mark.parametrize("budget", LADDER, ids=str)
@pytest.mark.parametrize("windows", [1, 3])
def test_a_score_is_of_both(store, budget, windows):
    store.write(pages(windows))
    vectors = [window.vectors[: budget.document] for made in pages(windows) for window in made.points]
    starts = [place * windows for place in range(len(TEXTS))]
    exact = page_maxsim(QUERY[None, : budget.query], np.stack(vectors), np.array(starts))[0]
    wanted = fuse(dict(zip([f"{name}/1" for name in TEXTS], map(float, exact), strict=True)), bm25(TEXTS))
    found = find(store, budget)
    assert dict(found) == pytest.approx(wanted, abs=1e-4)
    assert [name for name, _ in found] == sorted(wanted, key=lambda name: -wanted[name])


@pytest.mark.parametrize("budget", [LADDER[0], LADDER[-1], Budget(4, 1)], ids=str)
def test_what_one_ranking_finds_the_other_scores_too(store, monkeypatch, budget):
    """With few candidates of each kind, what comes out has the scores that all candidates would give it."""
    store.write([*pages(2), page("z", "A ferry.", windows=2)])
    everything = dict(find(store, budget, words=None))
    monkeypatch.setattr(store_module, "candidates", lambda limit: 2)
    by_words = list(store._engine.query_words(ASKED, match("kind", "page"), 2))
    found = dict(find(store, budget))
    assert set(by_words) < set(found), "this test needs rankings that differ"
    assert len(found) <= 4
    heard = bm25({**TEXTS, "z": "A ferry."})
    assert found == pytest.approx(
        fuse({name: everything[name] for name in found}, {name: heard.get(name, 0.0) for name in found}), abs=1e-4
    )


def test_filters_and_limits_hold_for_both(store):
    store.write(pages())
    found = find(store, filter=parse_filter({"letter": ["b", "c", "d"]}))
    assert {name for name, _ in found} == {"b/1", "c/1", "d/1"}
    assert find(store, limit=2, filter=parse_filter({"letter": ["b", "c", "d"]})) == found[:2]


@pytest.mark.parametrize("kind", ["edge"])
@pytest.mark.parametrize("limit", [40, 90, 120])
def test_as_many_results_as_are_wanted(store, limit):
    """Whatever few pages share a word, and however many windows of each are found."""
    store.write([page(f"p{number}", "Salt and light.", windows=6) for number in range(100)])
    store.write([page("a", "The ferry.")])
    assert len(find(store, limit=limit)) == min(limit, 101)


def test_a_page_found_by_a_word_alone_comes_whole(store):
    """Text and payload of a page that no first candidate was are those of its first window, or of the one found."""
    store.write(pages(3))
    for scored in store.search(build_stages(Plan(Budget(1, 1)), QUERY), Filter(), 9, ASKED):
        assert scored.payload["text"] == TEXTS[scored.payload["document"]]


def test_what_is_replaced_or_deleted_is_heard_no_more(store):
    store.write(pages())
    store.write([page("b", "Gravel."), page("d", "Ferry and salt.")])
    store.delete_pages(["e/1"])
    texts = {**TEXTS, "b": "Gravel.", "d": "Ferry and salt."}
    del texts["e"]
    found = store._engine.query_words(ASKED, match("state", "visible"), 9)
    assert set(found) == set(bm25(texts))
    assert {name for name, _ in find(store)} == {"a/1", "b/1", "c/1", "d/1"}


def test_words_outlast_reopening_and_resizing(opener):
    store = opener(words=True)
    store.write(pages())
    before = dict(find(store, Budget(4, 8)))
    resize(store, 8, lambda windows: pytest.fail("narrowing embeds nothing"))
    resize(store, 64, Encoder(pages()))
    store.settle()
    if opener.persistent:
        store = opener()
    assert store.schema.words
    assert dict(find(store, Budget(4, 8))) == pytest.approx(before)


def test_pages_without_words_and_queries_without_any(store):
    assert page_terms("  ") is None
    assert query_terms("the of") is None
    store.write([page("a", "The ferry."), page("b", "...")])
    assert {name for name, _ in find(store)} == {"a/1", "b/1"}
    assert store._engine.query_words(query_terms("ferry"), match("kind", "page"), 9).keys() == {"a/1"}


@pytest.mark.parametrize("kind", ["edge", "local-path", "server"])
def test_an_index_keeps_words_or_not_for_good(opener):
    opener(words=True).write(pages())
    with pytest.raises(IndexMismatchError, match="--no-hybrid"):
        opener(words=False)
    assert opener().schema.words


def test_an_older_release_refuses_words(opener):
    store = opener(words=True)
    content = store._engine.retrieve([INDEX_POINT])[INDEX_POINT]
    assert content["schema"] == 4
    assert IndexRecord.parse({**content, "schema": 3, "words": False}).schema.words is False


@pytest.mark.parametrize("kind", ["edge", "local"])
def test_a_copy_makes_words_of_the_text(kind, tmp_path):
    store = open_store("edge", tmp_path)
    store.write(pages(2))
    plain = dict(find(store, words=None))
    target = open_engine(path=str(tmp_path / "copy"), url=None, collection="c", engine=kind)
    copy_index(store._engine, target, words=True)
    copied = Store(target)
    assert copied.schema.words
    assert target.query_words(ASKED, match("kind", "page"), 9) == pytest.approx(bm25(TEXTS), rel=1e-5)
    assert dict(find(copied, words=None)) == pytest.approx(plain)
    again = open_engine(path=str(tmp_path / "again"), url=None, collection="c", engine="edge")
    copy_index(target, again)
    assert dict(find(Store(again))) == pytest.approx(dict(find(copied)))
    for engine in (store._engine, target, again):
        engine.close()


@pytest.mark.parametrize("kind", ["server"])
def test_each_tenant_hears_its_own(opener):
    first, second = opener(words=True, tenant="first"), opener(words=True, tenant="second")
    first.write(pages())
    second.write([page("a", "The ferry is theirs.")])
    assert [name for name, _ in find(second)] == ["a/1"]
    assert len(find(first)) == len(TEXTS)


def test_scores_are_scaled_over_the_candidates():
    assert fuse({}, {}) == {}
    assert fuse({"a": 3.0}, {"a": 2.0}) == {"a": 0.0}
    assert fuse({"a": 3.0, "b": 1.0, "c": 2.0}, {"b": 5.0}) == pytest.approx(
        {"a": 1 - WORDS_SHARE, "b": WORDS_SHARE, "c": (1 - WORDS_SHARE) / 2}
    )
    assert (candidates(1), candidates(400)) == (CANDIDATES, 400)
