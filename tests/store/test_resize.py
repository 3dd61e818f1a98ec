"""Resizing on every engine: narrower gives the disk back, wider embeds what is missing, nothing is hidden meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import BudgetError, IndexNotFoundError, StoreError
from metaembed_rag.scoring import maxsim
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store import resize as module
from metaembed_rag.store.documents import WriteDocument
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.resize import StoredWindow, resize
from metaembed_rag.store.store import Store

from .conftest import DIM, document, rows

QUERY = rows(99, 16)


@pytest.fixture(params=["edge", "local-path", "server"])
def kind(request):
    return request.param


class Encoder:
    """Gives windows the vectors that ``document`` gave them, told by their text.

    Attributes:
        calls: windows of each call.
    """

    def __init__(self, documents: Sequence[WriteDocument]) -> None:
        self._vectors = {
            (entry.source, point.page, point.text[slice(*point.span)]): point.vectors
            for entry in documents
            for point in entry.points
        }
        self.calls: list[int] = []

    def __call__(self, windows: Sequence[StoredWindow]) -> np.ndarray:
        self.calls.append(len(windows))
        return np.stack([self._vectors[window.source, window.page, window.text] for window in windows])


def find(store, budget=Budget(16, 64), limit=100):
    return store.search(build_stages(Plan(budget), QUERY), Filter(), limit)


def ids(found):
    return sorted(scored.payload["id"] for scored in found)


@pytest.fixture
def documents():
    return [document(f"d{n}", 2, seed=n) for n in range(12)]


def test_narrowing_and_widening_again(store, documents):
    store.write(documents)
    before = find(store)
    encoder = Encoder(documents)
    assert resize(store, 16, encoder) == 0
    assert store.schema.groups == (1, 4, 8, 16)
    with pytest.raises(BudgetError, match="no longer stores meta_64"):
        find(store)
    assert len(find(store, Budget(8, 16))) == 24
    store.write([document("late", 1)])
    assert resize(store, 16, encoder) == 0
    assert resize(store, 64, Encoder([*documents, document("late", 1)])) == 25
    assert store.schema.groups == (1, 4, 8, 16, 64)
    found = [scored for scored in find(store) if scored.payload["document"] != "late"]
    assert [scored.payload["id"] for scored in found] == [scored.payload["id"] for scored in before]
    np.testing.assert_allclose([s.score for s in found], [s.score for s in before], atol=1e-4)


def test_scores_after_widening_are_maxsim(store, documents):
    store.write(documents)
    resize(store, 1, Encoder(documents))
    assert store.schema.groups == (1,)
    assert store.info()["tokens"] == 24
    resize(store, 8, Encoder(documents))
    points = {point.id: point.vectors[:8] for entry in documents for point in entry.points}
    for scored in find(store, Budget(4, 8)):
        expected = maxsim(QUERY[None, :4], points[scored.payload["id"]][None])[0, 0]
        assert scored.score == pytest.approx(expected, abs=1e-4)


def test_while_it_widens_searches_and_writes_go_on(store, documents, monkeypatch):
    monkeypatch.setattr(module, "_WINDOWS_AT_ONCE", 5)
    store.write(documents)
    resize(store, 8, Encoder(documents))
    late = [document(f"late{n}", 1, seed=n) for n in range(20)]
    inner = Encoder([*documents, *late])
    names = {"d0/1", "d0/2"}
    seen = []

    def encode(windows):
        turn = len(seen)
        store.write([late[turn]])
        if turn == 1:
            store.delete_source("d0")
        found = find(store, Budget(4, 8))
        assert len(found) == 24 + turn + 1 - (2 if turn >= 1 else 0)
        with pytest.raises(BudgetError):
            find(store)
        seen.append(len(found))
        return inner(windows)

    encoded = resize(store, 64, encode)
    assert encoded <= 24
    assert len(seen) >= 5
    assert sum(inner.calls) <= 24, "what was written meanwhile must not be embedded again"
    assert not names & set(ids(find(store)))
    assert ids(find(store)) == ids(find(store, Budget(4, 8)))
    assert len(find(store)) == 22 + len(seen)


class Killed(BaseException):
    """Ends a resize as a kill would: nothing of ours runs afterwards."""


def test_a_resize_that_was_cut_short_goes_on(opener, documents, monkeypatch):
    monkeypatch.setattr(module, "_WINDOWS_AT_ONCE", 6)
    store = opener()
    store.write(documents)
    resize(store, 4, Encoder(documents))
    inner = Encoder(documents)

    def dying(windows):
        if len(inner.calls) == 2:
            raise Killed
        return inner(windows)

    with pytest.raises(Killed):
        resize(store, 64, dying)
    if opener.persistent:
        store = opener()
    assert store.schema.groups == (1, 4)
    assert store.schema.building == (8, 16, 64)
    assert store.info()["building"] == [8, 16, 64]
    assert len(find(store, Budget(2, 4))) == 24
    store.write([document("d0", 2, seed=0, digest="again")])
    again = Encoder(documents)
    assert 10 <= resize(store, 64, again) <= 12  # the new writing of d0 needs nothing
    assert sum(again.calls) <= 12, "what was done before must not be done again"
    assert len(find(store)) == 24
    assert store.schema.building == ()


def test_a_drop_that_was_cut_short_is_finished(opener, documents, monkeypatch):
    store = opener()
    store.write(documents)

    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(store._engine, "drop_vectors", die)
        with pytest.raises(Killed):
            resize(store, 8, Encoder(documents))
    if opener.persistent:
        store = opener()
    assert store.schema.groups == (1, 4, 8)
    with pytest.raises(BudgetError):
        find(store)
    store.write([document("new", 1)])
    assert resize(store, 8, Encoder(documents)) == 0
    assert store.dropping == ()
    assert set(store._engine.vectors([_any_point(store)], ["meta_8"])) == {_any_point(store)}
    assert resize(store, 16, Encoder([*documents, document("new", 1)])) == 25
    assert len(find(store, Budget(8, 16))) == 25


def _any_point(store):
    return find(store, Budget(4, 8))[0].id


def test_narrowing_ends_a_widening(store, documents):
    store.write(documents)
    resize(store, 4, Encoder(documents))

    def die(_):
        raise Killed

    with pytest.raises(Killed):
        resize(store, 64, die)
    assert resize(store, 4, Encoder(documents)) == 0
    assert store.schema.building == ()
    store.write([document("new", 1)])
    assert len(find(store, Budget(2, 4))) == 25


def test_windows_are_embedded_from_their_part_of_the_page(store):
    entry = document("long", 1, windows=3)
    points = [
        type(p)(p.id, p.page, p.window, (n * 2, n * 2 + 2), p.vectors, "abcdef", "text", {})
        for n, p in enumerate(entry.points)
    ]
    entry = WriteDocument("long", "long", "d", points)
    store.write([entry])
    resize(store, 4, Encoder([entry]))
    seen = []

    def encode(windows):
        seen.extend(window.text for window in windows)
        return Encoder([entry])(windows)

    assert resize(store, 16, encode) == 3
    assert sorted(seen) == ["ab", "cd", "ef"]


def test_vectors_that_came_from_elsewhere_are_not_made_up(store, documents):
    store.write(documents)
    resize(store, 8, Encoder(documents))
    inner = Encoder(documents)

    def other(windows):
        made = inner(windows)
        strange = [number for number, window in enumerate(windows) if window.source == "d3"]
        made[strange] = rows(4321)
        return made

    with pytest.raises(StoreError, match=r"2 windows hold vectors.*page 1 of d3, page 2 of d3"):
        resize(store, 16, other)
    assert store.schema.groups == (1, 4, 8), "d3 would be hidden"
    assert len(find(store, Budget(4, 8))) == 24
    store.write([document("d3", 2, seed=77, digest="new")])
    assert resize(store, 16, other) == 0
    assert len(find(store, Budget(8, 16))) == 24


@pytest.mark.parametrize("bad", [0, 2, 12, 65, True, "16", None])
def test_only_the_ladder_s_widths(store, bad):
    with pytest.raises(BudgetError, match="1, 4, 8, 16, 64"):
        resize(store, bad, Encoder([]))


def test_nothing_to_resize(tmp_path):
    store = Store(open_engine(path=str(tmp_path / "new"), url=None, collection="c"))
    with pytest.raises(IndexNotFoundError):
        resize(store, 16, Encoder([]))
    store.close()


@pytest.mark.parametrize("kind", ["edge", "local-path"])
def test_narrowing_gives_the_disk_back(store):
    pages = 60
    store.write([document("d", pages)])
    store.settle()
    before = store.info()["bytes"]
    resize(store, 16, Encoder([]))
    assert before - store.info()["bytes"] > 0.7 * pages * 64 * DIM * 4
