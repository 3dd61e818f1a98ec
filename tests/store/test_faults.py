"""A fault in every call of every operation: bounded retries, typed errors, and never half of a document or an answer.

After each fault a document is exactly what it was or what it was to become, and doing it again completes it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import StoreError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store import retry
from metaembed_rag.store.documents import WriteDocument
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.options import ServerOptions
from metaembed_rag.store.resize import resize

from .conftest import document, rows
from .faults import ERRORS, Faults
from .test_resize import Encoder

QUERY = rows(7, 16)
FOREVER = 10**6
#: Tries of one call.
TRIES = 1 + len(retry.BACKOFF)


#: Where nothing is tried again, faults before an effect are one and the same.
CASES = [
    *(("edge", fault) for fault in ("full", "lost")),
    *(("local-memory", fault) for fault in ("full", "lost", "partial")),
    *(("server", fault) for fault in ERRORS),
]
#: The same for what is looked at more briefly.
WRITES = [("edge", "lost"), ("local-memory", "lost"), ("server", "5xx"), ("server", "lost")]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(retry, "BACKOFF", (0.0, 0.0))


@pytest.fixture
def store(opener):
    options = {"options": ServerOptions(patience=0.0)} if opener.shared else {}
    return opener(**options)


@pytest.fixture
def faults(store):
    store.write([document("other", 1, digest="kept", version="kept")])
    return Faults(store._engine)


def seen(store, budget=Budget(4, 8)):
    """Pages that a search finds, by document: their versions and numbers."""
    found: dict[str, set[tuple[str, int]]] = {}
    for scored in store.search(build_stages(Plan(budget, whole=True), QUERY), Filter(), 100):
        payload = scored.payload
        found.setdefault(payload["document"], set()).add((payload["metadata"]["version"], payload["page"]))
    return found


def version(number):
    """Version ``number`` of a document of as many pages, each of two windows, and what a search shows of it."""
    name = f"v{number}"
    pages = 1 + number % 3
    return document("a", pages, digest=name, windows=2, seed=number, version=name), {
        (name, p) for p in range(1, 1 + pages)
    }


def attempt(faults, fault, call, times, action):
    """Do something whose so-and-so-many-th call fails: the error, if it ends in one, and the calls that failed."""
    faults.arm(fault, call, times)
    error = None
    try:
        action()
    except StoreError as caught:
        error = caught
    failed = list(faults.failed)
    faults.heal()
    return error, failed


@pytest.mark.parametrize("times", [1, FOREVER], ids=["once", "lasting"])
@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_writing(store, faults, fault, times):
    old, _ = version(0)
    store.write([old])
    allowed = seen(store)["a"]
    for call in range(1, 60):
        new, after = version(call)
        error, failed = attempt(faults, fault, call, times, partial(store.write, [new]))
        now = seen(store)
        assert now["other"] == {("kept", 1)}
        assert now["a"] in (allowed, after), f"half of it after call {call} ({failed[:1]})"
        if error is None:
            assert now["a"] == after
        if not failed:
            break
        if error is None or times == 1:
            assert len(failed) == 1
        else:
            # The call that failed, its repetitions, and those of the attempt to clean up.
            assert len(failed) <= 2 * TRIES
        store.write([new])
        assert seen(store)["a"] == after
        assert store.digests(["a"])["a"].digest == new.digest
        assert store._engine.count(Filter()) == 2 * len(after) + 1 + 2 + 1, "leftovers"
        allowed = after
    else:
        pytest.fail("every call failed")
    assert call > 6, "faults were not injected"


@pytest.mark.parametrize("times", [1, FOREVER], ids=["once", "lasting"])
@pytest.mark.parametrize(("kind", "fault"), WRITES)
def test_taking_a_page_s_id(store, faults, fault, times):
    for call in range(1, 60):
        entry, pages = version(2)
        store.write([entry])
        points = [replace(point, id="a/2") for point in document("text", version="text").points]
        text = WriteDocument("a/2", "a", "text", points)
        error, failed = attempt(faults, fault, call, times, partial(store.write, [text]))
        now = seen(store)
        taken = {("v2", 1), ("v2", 3)}
        allowed = {(frozenset(pages), False), (frozenset(taken), True)}
        assert (frozenset(now["a"]), "a/2" in now) in allowed, f"half of it after call {call} ({failed[:1]})"
        assert error is not None or now["a"] == taken
        if not failed:
            break
        store.write([text])
        assert seen(store)["a"] == taken
        assert store._engine.count(Filter()) == 2 * 2 + 1 + 2 + 2 + 1, "leftovers"
    else:
        pytest.fail("every call failed")
    assert call > 6, "faults were not injected"


@pytest.mark.parametrize("times", [1, FOREVER], ids=["once", "lasting"])
@pytest.mark.parametrize(("kind", "fault"), WRITES)
def test_deleting(store, faults, fault, times):
    for delete in (lambda: store.delete_source("a"), lambda: store.delete_pages(["a/1", "a/2", "a/3"])):
        for call in range(1, 30):
            entry, before = version(2)
            store.write([entry])
            error, failed = attempt(faults, fault, call, times, delete)
            now = seen(store)
            assert now.get("a") in (None, before), f"half of it after call {call} ({failed[:1]})"
            assert error is not None or "a" not in now
            assert now["other"] == {("kept", 1)}
            if not failed:
                break
            delete()
            assert "a" not in seen(store)
            assert store._engine.count(Filter()) == 1 + 1 + 1, "leftovers"


@pytest.mark.parametrize(("kind", "fault"), CASES)
def test_answers_are_whole_or_errors(store, faults, fault):
    entry, _ = version(2)
    store.write([entry])
    reads = {
        "search": lambda: seen(store),
        "get": lambda: [s.payload["text"] for s in store.get(["a/1", "a/2", "a/3", "other/1"])],
        "vectors": lambda: {page: rows_.shape for page, rows_ in store.vectors(["a/1", "a/2", "other/1"]).items()},
        "digests": lambda: store.digests(["a", "other"]),
        "sources": lambda: store.sources(),
        "points": lambda: (setattr(store, "_points", None), store.points),
        "info": lambda: store.info()["pages"],
        "sample": lambda: store.sample_texts(3),
    }
    said: list[str] = []
    tries: list[int] = []
    for name, read in reads.items():
        expected = read()
        for times in (1, FOREVER):
            for call in range(1, 12):
                faults.arm(fault, call, times)
                try:
                    assert read() == expected, f"{name} gave something else after a fault in call {call}"
                except StoreError as error:
                    said.append(str(error))
                    tries.append(len(faults.failed))
                failed = list(faults.failed)
                faults.heal()
                assert read() == expected
                if not failed:
                    break
            else:
                pytest.fail(f"{name}: every call failed")
    assert said and all("failed in" in text for text in said)
    assert max(tries) <= TRIES


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "fault"), [("edge", "lost"), ("server", "lost")])
def test_resizing(store, faults, fault):
    entry, pages = document("a", 3, version="v"), {("v", page) for page in (1, 2, 3)}
    store.write([entry])
    encoder = Encoder([entry, document("other", 1)])
    for width in (8, 64):
        for call in range(1, 40):
            resize(store, 64 if width == 8 else 8, encoder)
            faults.arm(fault, call, FOREVER)
            try:
                resize(store, width, encoder)
            except StoreError:
                faults.heal()
                widest = store.schema.groups[-1]
                assert seen(store, Budget(1, widest))["a"] == pages
                assert resize(store, width, encoder) >= 0
            else:
                if faults.failed:
                    pytest.fail("a lasting fault went unnoticed")
                faults.heal()
                break
            assert store.schema.groups[-1] == width
            assert seen(store, Budget(1, width))["a"] == pages


@pytest.mark.parametrize("kind", ["edge", "server"])
def test_what_will_not_pass_is_tried_once(store, faults):
    faults.arm("full", 1, FOREVER)
    with pytest.raises(StoreError, match=r"disk is full|No space left"):
        seen(store)
    assert len(faults.failed) == 1
    faults.heal()


@pytest.mark.parametrize("kind", ["edge"])
def test_closing_on_a_full_disk_is_told_and_loses_nothing(opener, store, faults):
    faults.arm("full", 1, FOREVER)
    with pytest.raises(StoreError, match="No space left"):
        store.close()
    faults.heal()
    assert seen(opener())["other"] == {("kept", 1)}
