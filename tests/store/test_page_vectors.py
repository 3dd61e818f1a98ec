"""A bound of vectors a page: windows share it, single windows lose nothing, and the index keeps to it for good."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import IndexMismatchError, InputError, StoreError
from metaembed_rag.scoring import page_maxsim
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.copy import copy_index
from metaembed_rag.store.documents import WriteDocument
from metaembed_rag.store.filters import Filter, match
from metaembed_rag.store.merging import WINDOWS_TOGETHER, merge_windows
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.resize import resize
from metaembed_rag.store.schema import INDEX_POINT, Schema
from metaembed_rag.store.store import Store, describe_size

from .conftest import DIM, SCHEMA, document, rows
from .test_resize import Encoder

QUERY = rows(99, 16)


def long_page(name: str, windows: int) -> WriteDocument:
    """A page whose windows are told apart by their text, one letter each."""
    made = document(name, windows=windows)
    text = "".join(chr(ord("a") + number) for number in range(windows))
    points = [replace(p, text=text, span=(p.window, p.window + 1)) for p in made.points]
    return replace(made, points=points)


@pytest.fixture
def documents() -> list[WriteDocument]:
    return [long_page("short", 1), long_page("long", 3), long_page("longest", 70)]


def expected(entry: WriteDocument, budget: Budget, bound: int) -> float:
    rows = np.stack([point.vectors[: budget.document] for point in entry.points])
    kept = np.concatenate(list(rows) if budget.document == 1 else merge_windows(rows, bound))
    starts = np.zeros(1, dtype=np.int64)
    return float(page_maxsim(QUERY[None, : budget.query], kept[None], starts)[0, 0])


def test_windows_share_what_a_page_may_have(opener, documents):
    store = opener(page_vectors=64)
    store.write(documents)
    kept = store.vectors([f"{name}/1" for name in ("short", "long", "longest")])
    assert kept["short/1"].shape == (1, 64, DIM) and kept["longest/1"].shape == (70, 1, DIM)
    assert sum(len(np.unique(window, axis=0)) for window in kept["long/1"]) == 64
    np.testing.assert_allclose(kept["short/1"][0], documents[0].points[0].vectors, atol=1e-6)
    for budget in LADDER:
        found = store.search(build_stages(Plan(budget, whole=True), QUERY), Filter(), 3)
        assert len(found) == 3
        scores = {scored.payload["id"]: scored.score for scored in found}
        for entry in documents[:2]:
            assert scores[entry.points[0].id] == pytest.approx(expected(entry, budget, 64), abs=1e-4)


@pytest.mark.parametrize("kind", ["edge", "local-path", "server"])
def test_the_bound_is_the_index_s_own(opener, documents):
    store = opener(page_vectors=8)
    store.write(documents[:2])
    assert store._engine.retrieve([INDEX_POINT])[INDEX_POINT]["schema"] == 5, "older releases would write all vectors"
    again = opener()
    assert again.info()["page_vectors"] == 8
    again.write([long_page("later", 2)])
    later = again.vectors(["later/1"])["later/1"]
    assert len(later) == 2 and sum(len(np.unique(window, axis=0)) for window in later) == 8
    assert opener(page_vectors=8).info()["documents"] == 3
    with pytest.raises(IndexMismatchError, match="up to 8 vectors of a page, not up to 16"):
        opener(page_vectors=16)


@pytest.mark.parametrize("kind", ["edge"])
def test_an_index_without_a_bound_gets_none(opener, documents):
    opener().write(documents[:1])
    with pytest.raises(IndexMismatchError, match="every vector of a page, not up to 8"):
        opener(page_vectors=8)
    assert opener()._engine.retrieve([INDEX_POINT])[INDEX_POINT]["schema"] == 1


@pytest.mark.parametrize("kind", ["edge", "local-path", "server"])
def test_a_resize_makes_the_same_vectors_again(opener, documents):
    store = opener(page_vectors=64)
    store.write(documents)
    names = [entry.points[0].id for entry in documents]
    before = store.vectors(names)
    resize(store, 4, Encoder(documents))
    assert store.vectors(names)["long/1"].shape == (3, 4, DIM), "twelve are few enough"
    resize(store, 64, Encoder(documents))
    for name, vectors in store.vectors(names).items():
        np.testing.assert_allclose(vectors, before[name], atol=1e-5)


@pytest.mark.parametrize("kind", ["edge"])
@pytest.mark.parametrize("damaged", [0, "two", True])
def test_a_damaged_number_of_windows_is_told(opener, documents, damaged):
    store = opener(page_vectors=64)
    store.write(documents)
    resize(store, 4, Encoder(documents))
    names = [name for name, _ in store._engine.scroll(match("id", "long/1"))]
    store._engine.set_payload({"windows": damaged}, names)
    with pytest.raises(StoreError, match="page 1 of long says that it has"):
        resize(store, 64, Encoder(documents))


def test_a_copy_has_the_bound_and_the_vectors(tmp_path, documents):
    engines = [
        open_engine(path=str(tmp_path / kind), url=None, collection="c", engine=kind) for kind in ("edge", "local")
    ]
    source = Store(engines[0], page_vectors=16)
    source.create(SCHEMA, model="fingerprint", model_name="test")
    source.write(documents)
    copy_index(*engines)
    target = Store(engines[1])
    assert target.info()["page_vectors"] == 16
    for name, vectors in source.vectors(["short/1", "long/1"]).items():
        np.testing.assert_allclose(target.vectors([name])[name], vectors, atol=1e-6)
    for store in (source, target):
        store.close()


@pytest.mark.parametrize("kind", ["edge"])
def test_what_it_takes(opener):
    store = opener(page_vectors=64)
    store.write([long_page("a", 4), long_page("b", 4)])
    info = store.info()
    assert info["tokens"] == 2 * 64
    assert info["bytes_by_group"] == {g: 2 * min(4 * g, 64) * DIM * 4 for g in (1, 4, 8, 16, 64)}
    assert info["budgets"]["(1,1)"]["pages_1m"] == 4 * DIM * 4 * 10**6
    assert info["budgets"]["(2,4)"]["pages_1m"] == (4 + 16) * DIM * 4 * 10**6


@pytest.mark.parametrize("bad", [0, -1, True, 2.5, "64"])
def test_a_bound_is_a_positive_number(bad):
    with pytest.raises(InputError, match="page_vectors"):
        Schema(dim=DIM, page_vectors=bad)


def test_merging_keeps_what_is_different_and_joins_what_is_alike():
    axes = np.eye(3, DIM, dtype=np.float32)
    near = axes + 0.05 * rows(5, 3)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    (merged,) = merge_windows(np.concatenate([axes, near])[None], 3)
    assert merged.shape == (3, DIM)
    assert (np.diag(merged @ axes.T) > 0.99).all(), "in the order of their first rows"
    np.testing.assert_allclose(np.linalg.norm(merged, axis=1), 1.0, atol=1e-6)


def test_merging_gives_as_many_as_asked_for():
    alike = np.repeat(rows(1, 1), 8, axis=0)[None]
    assert merge_windows(alike, 3)[0].shape == (3, DIM), "rows that are equal, too"
    few = rows(2, 4)[None]
    assert (merge_windows(few, 4)[0] == few[0]).all()
    assert merge_windows(few, 1)[0].shape == (1, DIM)


def test_a_window_that_says_more_keeps_more():
    """One window repeats itself, the other does not: an even share would merge what differs."""
    again, new = np.repeat(rows(1, 2), 8, axis=0), rows(2, 16)
    first, second = merge_windows(np.stack([again, new]), 18)
    assert (len(first), len(second)) == (2, 16)
    np.testing.assert_allclose(second, new, atol=1e-6)


def test_a_window_without_a_vector_of_its_own_has_that_of_its_neighbour():
    said = rows(1, 8)
    windows = np.stack([said, said, rows(2, 8)])
    kept = merge_windows(windows, 16)
    assert [len(window) for window in kept] == [8, 1, 7], "eight, seven and, twice, one"
    assert any(np.allclose(kept[1], row) for row in kept[0])


@pytest.mark.parametrize("count", [3, 5, 12, 20, 64, 100, 191, 192])
def test_a_bound_is_kept_and_no_window_is_left_without(count):
    windows = np.stack([rows(number, 64) for number in range(3)])
    kept = merge_windows(windows, count)
    assert sum(map(len, kept)) <= count and min(map(len, kept)) >= 1
    assert sum(map(len, kept)) > count - 3
    for window in kept:
        np.testing.assert_allclose(np.linalg.norm(window, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("kind", ["edge"])
def test_a_resize_embeds_a_page_s_windows_together_once(opener):
    """Its points lie anywhere in the engine, a batch of a resize away from each other."""
    many = [long_page(f"page {number}", 2 * WINDOWS_TOGETHER + 1) for number in range(8)]
    store = opener(page_vectors=256)
    store.write(many)
    names = [entry.points[0].id for entry in many]
    before = store.vectors(names)
    resize(store, 16, Encoder(many))
    encoder = Encoder(many)
    resize(store, 64, encoder)
    assert sum(encoder.calls) == 8 * (2 * WINDOWS_TOGETHER + 1)
    for name, vectors in store.vectors(names).items():
        np.testing.assert_allclose(vectors, before[name], atol=1e-5)


def test_a_damaged_index_that_lost_its_windows_is_described_all_the_same():
    size = describe_size(Schema(dim=DIM, page_vectors=64), pages=3, points=0)
    assert size["tokens"] == 0
    assert set(size["bytes_by_group"].values()) == {0}
