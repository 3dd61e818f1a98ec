"""What only a server brings: keys, transient failures, several clients, and batches that fit a request."""

from __future__ import annotations

import logging

import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import IndexMismatchError, StoreError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store import retry as module
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.options import ServerOptions

from .conftest import document, open_server, rows

KEY = "a-key-that-nobody-may-see"


def find(store, limit=10):
    return [s.payload["id"] for s in store.search(build_stages(Plan(Budget(4, 8)), rows(1, 16)), Filter(), limit)]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF", (0.0, 0.0))


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_key_is_sent_and_never_shown(server, caplog, monkeypatch):
    server.api_key = KEY
    caplog.set_level(logging.DEBUG)
    store = open_server(server.url, KEY)
    store.write([document("a")])
    assert find(store) == ["a/1"]
    assert KEY not in repr(store._engine)
    store.close()
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    open_server(server.url).close()
    with pytest.raises(StoreError) as caught:
        open_server(server.url, "wrong")
    assert "401" in str(caught.value)
    assert KEY not in caplog.text + str(caught.value)
    assert "wrong" not in str(caught.value)


def test_transient_failures_are_tried_again_and_lasting_ones_told(server):
    store = open_server(server.url)
    server.failures = [503, 429]
    store.write([document("a")])
    assert find(store) == ["a/1"]
    server.failures = [503] * 3
    with pytest.raises(StoreError, match="HTTP status 503"):
        find(store)
    assert server.failures == []
    before = len(server.requests)
    server.failures = [403]
    with pytest.raises(StoreError, match="HTTP status 403"):
        find(store)
    assert len(server.requests) == before + 1, "what will not get better is not tried again"
    store.close()


def test_a_failed_write_is_undone_when_the_server_answers_again(server):
    store = open_server(server.url)
    store.write([document("a", 2, seed=1)])

    def points():
        yield from document("a", 2, seed=2).points
        server.failures = [500] * 3

    broken = document("a")
    broken = type(broken)(broken.document, broken.source, broken.digest, points())
    with pytest.raises(StoreError):
        store.write([broken])
    assert [s.payload["text"] for s in store.get(["a/1", "a/2"])] == ["a 1 1", "a 2 1"]
    assert store._engine.count(Filter()) == 2 + 1 + 1
    store.close()


class Killed(BaseException):
    """What ends a process without a chance to clean up."""


def test_what_a_killed_client_left_is_invisible_and_done_anew(server, monkeypatch):
    one, two = open_server(server.url), open_server(server.url)
    one.write([document("a", 2, seed=1)])

    def die(*_):
        raise Killed

    monkeypatch.setattr(one._engine, "set_payload", die)
    monkeypatch.setattr(one, "_recover", lambda *_: None)
    with pytest.raises(Killed):
        one.write([document("a", 3, seed=2), document("b")])
    assert [s.payload["text"] for s in two.get(["a/1", "a/2", "a/3", "b/1"])] == ["a 1 1", "a 2 1"]
    assert two.digests(["a", "b"]) == {}, "an unfinished document must not count as unchanged"
    two.write([document("a", 3, seed=2), document("b")])
    assert [s.payload["text"] for s in two.get(["a/1", "a/2", "a/3", "b/1"])] == ["a 1 2", "a 2 2", "a 3 2", "b 1 0"]
    assert set(two.digests(["a", "b"])) == {"a", "b"}
    assert two._engine.count(Filter()) == 4 + 2 + 1, "leftovers"


def test_a_failing_client_leaves_another_one_s_work_alone(server):
    tiny = ServerOptions(batch_bytes=1)
    one, two = open_server(server.url, options=tiny), open_server(server.url, options=tiny)

    def failing():
        yield from document("b", 2).points
        raise RuntimeError("the reader died")

    def points():
        for number, point in enumerate(document("a", 6).points):
            if number == 3:
                broken = document("b")
                with pytest.raises(RuntimeError, match="died"):
                    two.write([type(broken)("b", "b", "d", failing())])
            yield point

    whole = document("a")
    one.write([type(whole)("a", "a", "d", points())])
    assert sorted(find(two)) == [f"a/{n}" for n in range(1, 7)]
    assert two._engine.count(Filter()) == 6 + 1 + 1


def test_clients_share_a_collection(server):
    one, two = open_server(server.url), open_server(server.url)
    one.write([document("a")])
    two.write([document("b")])
    assert sorted(find(one)) == sorted(find(two)) == ["a/1", "b/1"]
    assert two.delete_source("a") == 1
    assert find(one) == ["b/1"]
    assert one.info()["pages"] == 1
    one.close()
    two.close()


def test_a_page_replaced_while_it_is_scored_is_searched_for_again(server, monkeypatch):
    one, two = open_server(server.url), open_server(server.url)
    one.write([document("a", 2, digest="1", windows=3, seed=1), document("b", windows=2)])
    stages = build_stages(Plan(Budget(4, 8), whole=True), rows(1, 16))
    ask = one._engine.similarities
    seeds = iter((2, 3))

    def replaced_before(*asked):
        if (seed := next(seeds, None)) is not None:
            two.write([document("a", 2, digest=str(seed), windows=3, seed=seed)])
        return ask(*asked)

    monkeypatch.setattr(one._engine, "similarities", replaced_before)
    found = one.search(stages, Filter(), 10)
    assert found == two.search(stages, Filter(), 10)
    assert {scored.payload["text"] for scored in found} == {"a 1 3", "a 2 3", "b 1 0"}
    requests = [request for request in server.requests if request.endswith("points/query/batch")]
    assert len(requests) == 4  # one for all query Meta Tokens: three tries, and the other client's
    seeds = iter(range(4, 100))
    with pytest.raises(StoreError, match="replaced faster than they could be read"):
        one.search(stages, Filter(), 10)
    one.close()
    two.close()


def test_batches_stay_within_a_request(server):
    store = open_server(server.url, options=ServerOptions(batch_bytes=5 * 93 * 16 * 4))
    store.write([document("a", 40)])
    assert sum(request == "PUT collections/c/points" for request in server.requests) >= 8
    assert len(find(store, 50)) == 40
    store.close()


def test_a_collection_of_something_else_is_refused(server):
    server.client.create_collection("c", {})
    with pytest.raises(IndexMismatchError, match="schema version"):
        open_server(server.url)


def test_nobody_there():
    with pytest.raises(StoreError, match="Qdrant failed"):
        open_engine(path=None, url="http://127.0.0.1:1", collection="c")
