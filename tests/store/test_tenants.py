"""Tenants share a collection and see, change and delete nothing of each other, whatever they ask."""

from __future__ import annotations

import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import FilterError, IndexMismatchError, InputError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.filters import Filter, Match, parse_filter
from metaembed_rag.store.resize import resize
from metaembed_rag.store.schema import INDEX_POINT, record_id, window_id
from metaembed_rag.store.store import Store

from .conftest import ENGINES, document, rows
from .test_resize import Encoder

QUERY = rows(99, 16)
#: Each would show another tenant's pages if it took the place of the tenant's own condition, or got beside it.
HOSTILE = [
    {},
    None,
    {"tenant": "globex"},
    {"metadata.tenant": "globex"},
    {"or": [{"source": "shared"}, {"tenant": "globex"}]},
    {"not": {"source": "nothing"}},
    {"not": {"tenant": "acme"}},
    {"not": {"or": [{"tenant": "acme"}, {"id": "x"}]}},
    {"or": [{"id": {"exists": True}}, {"id": {"exists": False}}]},
    {"source": {"not_in": ["acme only"]}},
    {"source": ["shared", "globex only"]},
    {"id": ["shared/1", "globex only/1"]},
    {"page": {"gte": 0}},
    {"a": {"exists": False}},
    {"source": 'x" OR tenant = "globex'},
    Filter(must=(Match("tenant", ("globex",)),)),
    Filter(should=(Match("tenant", ("globex",)), Match("tenant", ("acme",)))),
    Filter(must_not=(Match("tenant", ("acme",)),)),
]


@pytest.fixture
def each(opener):
    """A function that opens the collection for a tenant, or for nobody."""
    if not opener.persistent:
        # Gone once closed, so its engine is shared by what would be two processes.
        first = opener(tenant="acme")
        return lambda tenant: Store(first._engine, tenant=tenant)
    opener(tenant="acme")
    return lambda tenant: opener(tenant=tenant)


def filled(each):
    store = each("acme")
    store.write([document("shared", 2, seed=1, owner="acme"), document("acme only", 1, owner="acme")])
    store = each("globex")
    store.write([document("shared", 3, seed=2, owner="globex"), document("globex only", 1, owner="globex")])
    return store


def find(store, filter=None, plan=None):
    stages = build_stages(plan or Plan(Budget(4, 8)), QUERY)
    return store.search(stages, parse_filter(filter), 50)


def owners(found):
    return {scored.payload["metadata"]["owner"] for scored in found}


@pytest.mark.parametrize("kind", ["edge", "local-memory", "server"])
def test_no_filter_shows_what_is_another_s(each):
    filled(each)
    store = each("acme")
    mine = sorted(scored.payload["id"] for scored in find(store))
    assert mine == ["acme only/1", "shared/1", "shared/2"]
    for filter in HOSTILE:
        for plan in (None, Plan(Budget(16, 64), prefetch=10, narrow=5), Plan(Budget(16, 64), narrow=5)):
            try:
                found = find(store, filter, plan)
            except FilterError:
                continue
            assert owners(found) <= {"acme"}, filter
            assert {scored.payload["id"] for scored in found} <= set(mine)
            assert all(scored.payload["text"].endswith(("1", "0")) for scored in found), "the other one's version"


@pytest.mark.parametrize("kind", ENGINES)
def test_equal_names_are_two_things(each):
    filled(each)
    store = each("acme")
    assert store.info()["pages"] == 3
    assert store.info()["documents"] == 2
    assert store.points == 3
    assert store.sources() == ["acme only", "shared"]
    assert owners(store.get(["shared/1", "shared/3", "globex only/1"])) == {"acme"}
    assert len(store.get(["shared/1", "shared/3", "globex only/1"])) == 1
    assert store.digests(["shared", "globex only"]).keys() == {"shared"}
    assert set(store.vectors(["shared/2", "shared/3"])) == {"shared/2"}
    assert len(store.sample_texts(50)) == 3
    assert store.delete_source("globex only") == 0
    assert store.delete_pages(["globex only/1", "shared/3"]) == 0
    store.write([document("shared", 1, seed=3, digest="new", owner="acme")])
    assert store.delete_pages(["shared/1"]) == 1
    assert store.delete_source("acme only") == 1
    assert find(store) == []
    store = each("globex")
    assert sorted(scored.payload["id"] for scored in find(store)) == [
        "globex only/1",
        "shared/1",
        "shared/2",
        "shared/3",
    ]
    assert store.digests(["shared"])["shared"].page_ids == ("shared/1", "shared/2", "shared/3")
    store.annotate("figures", [2])
    store = each("acme")
    assert store.annotation("figures") is None
    store.annotate("figures", [1])
    store.annotate("more", {"a": 1})
    assert (store.annotation("figures"), store.annotation("more")) == ([1], {"a": 1})
    assert each("globex").annotation("figures") == [2]
    assert each("initech").info()["pages"] == 0


@pytest.mark.parametrize("kind", ["edge", "server"])
def test_a_failing_write_undoes_only_its_own(each):
    filled(each)
    store = each("acme")
    entry = document("shared", 2, seed=9)

    def broken():
        yield from entry.points
        raise RuntimeError("the reader died")

    with pytest.raises(RuntimeError, match="died"):
        store.write([type(entry)("shared", "shared", "d", broken())])
    assert [s.payload["text"] for s in store.get(["shared/1", "shared/2"])] == ["shared 1 1", "shared 2 1"]
    assert store._engine.count(Filter()) == 3 + 2 + 4 + 2 + 1


@pytest.mark.parametrize("kind", ["edge"])
def test_a_killed_tenant_s_leftovers_are_cleaned_up_by_the_next(opener, monkeypatch):
    store = opener(tenant="acme")
    store.write([document("a", 2, seed=1)])

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    monkeypatch.setattr(store._engine, "set_payload", die)
    monkeypatch.setattr(store, "_recover", lambda *_: None)
    monkeypatch.setattr(store, "_mark", lambda **_: None)
    with pytest.raises(Killed):
        store.write([document("a", 3, seed=2), document("b")])
    monkeypatch.undo()
    store._mark(dirty=True)
    other = opener(tenant="globex")
    assert find(other) == []
    store = opener(tenant="acme")
    assert sorted(scored.payload["text"] for scored in find(store)) == ["a 1 2", "a 2 2", "a 3 2", "b 1 0"]
    assert store._engine.count(Filter()) == 4 + 2 + 1


@pytest.mark.parametrize("kind", ["edge", "local-path", "server"])
def test_without_a_tenant_the_whole_may_be_resized_but_not_read(each):
    documents = [document("mine", 2), document("theirs", 3)]
    each("acme").write(documents[:1])
    each("globex").write(documents[1:])
    with pytest.raises(InputError, match="every tenant"):
        resize(each("acme"), 16, Encoder([]))
    store = each(None)
    assert store.info()["pages"] == 5
    for call in (
        lambda: find(store),
        lambda: store.get(["mine/1"]),
        lambda: store.vectors(["mine/1"]),
        lambda: store.sources(),
        lambda: store.digests(["mine"]),
        lambda: store.sample_texts(1),
        lambda: store.write([document("x")]),
        lambda: store.delete_source("mine"),
        lambda: store.delete_pages(["mine/1"]),
    ):
        with pytest.raises(IndexMismatchError, match="open it with tenant="):
            call()
    resize(store, 4, Encoder([]))
    assert resize(store, 8, Encoder(documents)) == 5
    assert len(find(each("acme"))) == 2
    assert len(find(each("globex"))) == 3


@pytest.mark.parametrize("kind", ["edge", "server"])
def test_an_index_without_tenants_takes_none(opener):
    store = opener()
    store.write([document("a")])
    with pytest.raises(IndexMismatchError, match="not divided by tenants"):
        opener(tenant="acme")
    assert opener().sources() == ["a"]


@pytest.mark.parametrize("bad", ["", 7, b"acme", "\ud800"])
def test_tenants_are_texts(opener, bad):
    with pytest.raises(InputError, match="tenant"):
        opener(tenant=bad)


@pytest.mark.parametrize("kind", ["edge"])
def test_releases_that_know_no_tenants_refuse_a_divided_index(opener):
    store = opener(tenant="acme")
    assert store._engine.retrieve([INDEX_POINT])[INDEX_POINT]["schema"] == 2


def test_ids_without_a_tenant_are_as_they_always_were():
    # As the first release made them: records of old indexes must be found.
    assert record_id("a") == "e23f0223-d4d8-500a-9717-2ec8d7589815"
    assert window_id("a", "v", "p", 0) == "87a306bb-c0df-5e07-8c57-bfab23b04149"
    assert record_id("a", "acme") != record_id("a", "globex") != record_id("a")
    assert window_id("a", "v", "p", 0, "acme") != window_id("a", "v", "p", 0)
    assert record_id("record", "tenant") != record_id("tenant", "record")


def test_a_server_is_told_which_field_divides_it(server):
    from .conftest import open_server

    store = open_server(server.url, tenant="acme")
    index = server.bodies["PUT collections/c/index"]
    assert index == {"field_name": "tenant", "field_schema": {"type": "keyword", "is_tenant": True}}
    assert server.bodies["PUT collections/c"]["vectors"]["meta_1"]["hnsw_config"] == {
        "m": 0,
        "payload_m": 16,
        "ef_construct": 128,
    }
    store.close()
