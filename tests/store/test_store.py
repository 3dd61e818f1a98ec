"""The store on every engine that runs without a server: scores, filters, replacement, deletion, reopening."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client.models import PointStruct

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import (
    IndexClosedError,
    IndexLockedError,
    IndexMismatchError,
    InputError,
    StoreError,
)
from metaembed_rag.scoring import maxsim, page_maxsim
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.documents import WriteDocument
from metaembed_rag.store.filters import Filter, parse_filter
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.store import Store

from .conftest import SCHEMA, document, open_store, rows

QUERY = rows(99, 16)


def find(store, budget=Budget(4, 8), filter=None, limit=10, plan=None):
    stages = build_stages(plan or Plan(budget), QUERY)
    return store.search(stages, parse_filter(filter), limit)


def ids(found):
    return [scored.payload["id"] for scored in found]


@pytest.mark.parametrize("budget", LADDER, ids=str)
def test_scores_are_maxsim_of_the_prefixes(store, budget):
    documents = [document(f"d{n}", seed=n) for n in range(30)]
    store.write(documents)
    vectors = np.stack([d.points[0].vectors for d in documents])
    expected = maxsim(QUERY[None, : budget.query], vectors[:, : budget.document])[0]
    found = find(store, budget, limit=30)
    order = np.argsort(-expected)
    assert ids(found) == [f"d{n}/1" for n in order]
    np.testing.assert_allclose([scored.score for scored in found], expected[order], atol=1e-4)


def test_prefetching_everything_equals_the_exact_scan(store):
    store.write(document(f"d{n}", seed=n) for n in range(40))
    budget = Budget(16, 64)
    exact = find(store, budget)
    staged = find(store, budget, plan=Plan(budget, prefetch=40))
    assert ids(find(store, budget, plan=Plan(budget, prefetch=40, narrow=40))) == ids(staged) == ids(exact)
    assert ids(find(store, budget, plan=Plan(budget, narrow=40))) == ids(exact)
    np.testing.assert_allclose([s.score for s in staged], [s.score for s in exact], atol=1e-5)


@pytest.mark.parametrize("stage", ["prefetch", "narrow"])
def test_the_filter_holds_in_the_prefetch_too(store, stage):
    store.write(document(f"d{n}", seed=n, group=n % 10) for n in range(60))
    budget = Budget(16, 64)
    # Three candidates: with a filter on the last stage only, nearly all of them would be filtered away.
    found = find(store, budget, {"group": 3}, limit=3, plan=Plan(budget, **{stage: 3}))
    assert len(found) == 3
    assert {scored.payload["metadata"]["group"] for scored in found} == {3}


def test_one_result_a_page_although_pages_have_windows(store):
    store.write([document("a", 5, windows=7), document("b", 2)])
    found = find(store, limit=7)
    assert sorted(ids(found)) == sorted([*(f"a/{n}" for n in range(1, 6)), "b/1", "b/2"])
    assert find(store, limit=2) == found[:2]


@pytest.mark.parametrize("budget", [Budget(4, 8), Budget(16, 64), Budget(4, 1)], ids=str)
def test_a_page_is_scored_by_all_of_its_windows(store, budget):
    documents = [document("a", 6, windows=5), document("b", 3), document("c", 4, windows=2), document("d", windows=11)]
    store.write(documents)
    points = [point for written in documents for point in written.points]
    starts = np.flatnonzero([point.window == 0 for point in points])
    vectors = np.stack([point.vectors for point in points])[:, : budget.document]
    expected = page_maxsim(QUERY[None, : budget.query], vectors, starts)[0]
    order = np.argsort(-expected)
    found = find(store, plan=Plan(budget, whole=True), limit=len(starts))
    assert ids(found) == [points[starts[place]].id for place in order]
    np.testing.assert_allclose([scored.score for scored in found], expected[order], atol=1e-4)
    assert find(store, plan=Plan(budget, whole=True), limit=8) == found[:8]
    by_best = {scored.payload["id"]: scored for scored in find(store, plan=Plan(budget), limit=len(starts))}
    assert ids(found) != list(by_best)
    for scored in found:  # what is shown of a page is still its best window
        assert scored.payload["window"] == by_best[scored.payload["id"]].payload["window"]
        assert scored.payload["text"] == by_best[scored.payload["id"]].payload["text"]


def test_all_windows_count_under_a_filter_and_beyond_a_narrow_search(store):
    store.write([document("a", 3, windows=9, group=1), document("b", 3, windows=9, group=2)])
    plan = Plan(Budget(4, 8), prefetch=2, whole=True)
    found = find(store, filter={"group": 1}, limit=3, plan=plan)
    assert ids(found) == ids(find(store, filter={"group": 1}, limit=3, plan=Plan(Budget(4, 8), whole=True)))
    assert {scored.payload["document"] for scored in found} == {"a"}


def test_a_page_s_text_is_kept_once_and_found_by_every_window(store):
    entry = document("a", 2, windows=5)
    store.write([entry])
    texts = [payload for _, payload in store._engine.scroll(Filter()) if "text" in payload]
    assert len(texts) == 2
    for point in entry.points:
        stages = build_stages(Plan(Budget(16, 64)), point.vectors[:16])
        best = store.search(stages, Filter(), 1)[0].payload
        assert (best["id"], best["window"], best["text"]) == (point.id, point.window, point.text)
    assert [scored.payload["text"] for scored in store.get(["a/2", "a/1"])] == ["a 2 0", "a 1 0"]


def test_replacing_leaves_nothing_of_the_old_version(store):
    store.write([document("a", 5, digest="old", seed=1), document("b")])
    store.write([document("a", 2, digest="new", seed=2)])
    found = find(store)
    assert sorted(ids(found)) == ["a/1", "a/2", "b/1"]
    assert {scored.payload["text"] for scored in found} == {"a 1 2", "a 2 2", "b 1 0"}
    assert store.digests(["a"])["a"].digest == "new"
    assert store.info()["pages"] == 3
    assert store.info()["documents"] == 2


def test_digests_name_pages_in_order(store):
    store.write([document("a", 12, digest="x")])
    known = store.digests(["a", "nobody"])
    assert list(known) == ["a"]
    assert known["a"].page_ids == tuple(f"a/{n}" for n in range(1, 13))


def test_delete_source_and_pages(store):
    store.write([document("a", 3), document("b", 3), document("t1", source="s"), document("t2", source="s")])
    assert store.delete_source("s") == 2
    assert store.delete_source("s") == 0
    assert store.delete_pages(["a/2", "nobody"]) == 1
    assert sorted(ids(find(store))) == ["a/1", "a/3", "b/1", "b/2", "b/3"]
    # A document that lost a page must not count as unchanged when it is added again.
    assert store.digests(["a"])["a"].digest == ""
    assert store.delete_pages(["b/1", "b/2", "b/3"]) == 3
    assert store.sources() == ["a"]
    assert store.info()["documents"] == 1


def written_back(page):
    """A text written back under the id of a file's page."""
    (point,) = document("text").points
    return WriteDocument(page, "a", "text", [replace(point, id=page, text="written back")])


def test_an_id_names_one_page_the_one_written_last(store):
    store.write([document("a", 3, windows=2), document("b")])
    store.write([written_back("a/2")])
    found = find(store)
    assert sorted(ids(found)) == ["a/1", "a/2", "a/3", "b/1"]
    assert [scored.payload["text"] for scored in found if scored.payload["id"] == "a/2"] == ["written back"]
    assert [scored.payload["text"] for scored in store.get(["a/2"])] == ["written back"]
    assert store.info()["pages"] == 4
    # The document that lost it must not count as unchanged when it is added again.
    assert (store.digests(["a"])["a"].page_ids, store.digests(["a"])["a"].digest) == (("a/1", "a/3"), "")
    store.write([document("a", 3, windows=2)])
    assert [scored.payload["text"] for scored in store.get(["a/2"])] == ["a 2 0"]
    assert not store.digests(["a/2"])
    assert store._engine.count(Filter()) == 3 * 2 + 1 + 1 + 1 + 1, "leftovers"


def test_what_was_left_in_two_versions_is_found_once(store):
    # As a client that was killed between making pages visible and deleting the older ones leaves them on a server.
    store.write([document("a", 2, windows=2)])
    kept = store._delete_pages
    store._delete_pages = lambda conditions: 0
    store.write([written_back("a/2")])
    store._delete_pages = kept
    assert sorted(ids(find(store, plan=Plan(Budget(4, 8), whole=True)))) == ["a/1", "a/2"]


def test_a_failing_generator_leaves_nothing_behind(store):
    store.write([document("a", 2, seed=1)])

    def broken():
        yield from document("a", 2, seed=2).points
        raise RuntimeError("the reader died")

    with pytest.raises(RuntimeError, match="died"):
        store.write([document("b"), replace(document("a"), points=broken())])
    assert {scored.payload["text"] for scored in find(store)} == {"a 1 1", "a 2 1"}
    assert store._engine.count(Filter()) == 2 + 1 + 1, "two pages, a record and the index point"
    store.write([document("b")])
    assert sorted(ids(find(store))) == ["a/1", "a/2", "b/1"]


@pytest.mark.parametrize("kind", ["edge", "local-path"])
def test_reopening_finds_everything(kind, tmp_path):
    store = open_store(kind, tmp_path)
    store.write([document("a", 3, draft=True)])
    before = find(store)
    store.close()
    with pytest.raises(IndexClosedError):
        find(store)
    again = open_store(kind, tmp_path)
    assert ids(find(again)) == ids(before)
    assert again.info()["pages"] == 3
    again.close()
    again.close()


@pytest.mark.parametrize("kind", ["edge", "local-path"])
def test_a_second_process_gets_a_clear_error(kind, tmp_path):
    store = open_store(kind, tmp_path)
    script = (
        "import sys\nfrom metaembed_rag.errors import IndexLockedError\n"
        "from metaembed_rag.store.open import open_engine\n"
        "try:\n    open_engine(path=sys.argv[1], url=None, collection='c', engine=sys.argv[2])\n"
        "except IndexLockedError as error:\n    sys.exit(f'locked: {error}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "index"), "edge" if kind == "edge" else "local"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "locked: " in done.stderr
    assert "open in another process" in done.stderr
    store.close()


def test_the_model_is_checked(store):
    store.check_model("fingerprint", "test")
    with pytest.raises(IndexMismatchError, match="made by model 'test'"):
        store.check_model("other", "mini")


@pytest.mark.parametrize(
    "bad", [np.full((64, 16), np.nan), np.zeros((64, 8)), np.zeros((10, 16)), np.zeros(16)], ids=str
)
def test_bad_vectors_are_refused_and_nothing_stays(store, bad):
    entry = document("a")
    point = replace(entry.points[0], vectors=bad.astype(np.float32))
    with pytest.raises(InputError, match="embedding"):
        store.write([replace(entry, points=[point])])
    assert store.info()["pages"] == 0


@pytest.mark.parametrize("engine", ["edge", "local"])
def test_a_folder_of_something_else_is_refused(engine, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(IndexMismatchError):
        open_engine(path=str(tmp_path), url=None, collection="c", engine=engine)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_foreign_collection_is_refused():
    from metaembed_rag.store.client import ClientEngine

    engine = ClientEngine.local(":memory:", "c")
    engine._client.create_collection("c", {})
    engine._client.upsert("c", [PointStruct(id=1, vector={}, payload={"theirs": True})])
    with pytest.raises(IndexMismatchError, match="schema version"):
        Store(engine)


def test_a_collection_whose_making_was_interrupted_is_made_anew(tmp_path):
    from metaembed_rag.store.client import ClientEngine

    engine = ClientEngine.local(str(tmp_path / "index"), "c")
    engine._client.create_collection("c", {})
    engine.close()
    store = open_store("local-path", tmp_path)
    store.write([document("a")])
    assert store.info()["pages"] == 1
    store.close()


def test_a_server_that_does_not_answer_is_told_without_the_key():
    insecure = pytest.warns(UserWarning, match="insecure connection")
    with insecure, pytest.raises(StoreError) as caught:
        open_engine(path=None, url="http://127.0.0.1:1", collection="c", api_key="secret-key")
    assert "secret-key" not in str(caught.value)


def test_ids_and_metadata_may_be_anything(store):
    name = 'päge "1"\n{}[]'
    metadata = {"a b": {"ü": [1, 2.5, None, True]}, "empty": [], "nested": {"x": {"y": "z"}}}
    store.write([document(name, **metadata)])
    (found,) = find(store)
    assert found.payload["id"] == f"{name}/1"
    assert found.payload["metadata"] == metadata
    assert ids(find(store, filter={"id": f"{name}/1"})) == [f"{name}/1"]
    assert ids(find(store, filter={"nested.x.y": "z", "a b.ü": 2.5})) == [f"{name}/1"]
    assert store.delete_pages([f"{name}/1"]) == 1


@pytest.mark.parametrize("left", ["plan.txt", "wal/plan.txt", ".atomicwriteX1y2"])
def test_only_what_is_ours_is_cleared_away(left, tmp_path):
    # A process that was killed while it made an index leaves it half made; a person's folder may have the same name.
    file = tmp_path / "index.building" / left
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    if left == "plan.txt":
        with pytest.raises(IndexMismatchError, match="something else"):
            open_store("edge", tmp_path)
        assert file.read_text() == "mine"
    else:
        assert open_store("edge", tmp_path).exists
        assert not (tmp_path / "index.building").exists()


def test_what_is_made_while_another_one_waits_is_locked_and_then_found(tmp_path):
    first, second = (
        Store(open_engine(path=str(tmp_path / "x"), url=None, collection="c", engine="edge")) for _ in range(2)
    )
    assert second.sources() == []
    first.create(SCHEMA, model="fingerprint", model_name="test")
    first.write([document("a")])
    for call in (second.sources, lambda: second.create(SCHEMA, model="fingerprint", model_name="test")):
        with pytest.raises(IndexLockedError):
            call()
    first.close()
    assert second.sources() == ["a"]
    second.write([document("b")])
    assert sorted(ids(find(second))) == ["a/1", "b/1"]
    second.close()


def test_clients_of_a_server_see_what_another_one_made(server):
    first, second = (Store(open_engine(path=None, url=server.url, collection="late")) for _ in range(2))
    assert second.sources() == []
    first.create(SCHEMA, model="fingerprint", model_name="test")
    first.write([document("a")])
    assert second.sources() == ["a"]
    assert ids(find(second)) == ["a/1"]


def test_a_relative_folder_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_store("edge", Path("."))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    store.write([document("a")])
    store._engine.optimize()
    assert store.info()["bytes"] > 0
    store.close()
    monkeypatch.chdir(tmp_path)
    assert open_store("edge", Path(".")).sources() == ["a"]


def test_the_count_of_points_is_a_number_whoever_writes(store, monkeypatch):
    store.write([document("a")])
    # As if another thread's writer made the store forget the count at every moment.
    monkeypatch.setattr(Store, "_points", property(lambda self: None, lambda self, value: None), raising=False)
    assert store.points == 1


def test_samples_are_of_pages_with_a_text(store):
    texts = {"a": "one", "b": "", "c": "  ", "d": "four"}
    for name, text in texts.items():
        entry = document(name)
        store.write([replace(entry, points=[replace(entry.points[0], text=text)])])
    assert set(store.sample_texts(2).values()) == {"one", "four"}
    assert set(store.sample_texts(9).values()) == {"one", "four"}
    assert len(store.sample_texts(1)) == 1


def test_an_index_of_tenants_that_was_made_meanwhile_is_shown_to_nobody_else(opener):
    if not opener.persistent or opener.kind == "local-path":
        pytest.skip("one handle at a time, locked from the start")
    place = (
        {"path": None, "url": opener._url}
        if opener.shared
        else {"path": str(opener._folder / "index"), "url": None, "engine": "edge"}
    )
    early = [Store(open_engine(collection="c", **place)) for _ in range(5)]
    owned = Store(open_engine(collection="c", **place), tenant="acme")
    owned.create(SCHEMA, model="fingerprint", model_name="test")
    owned.write([document("a")])
    owned.close()
    calls = ["sources", "get", "vectors", "sample_texts", "digests"]
    for store, call in zip(early, calls, strict=True):
        arguments = {"sources": (), "sample_texts": (3,)}.get(call, (["a/1"],))
        with pytest.raises(IndexMismatchError, match="divided by tenants"):
            getattr(store, call)(*arguments)
        store.close()


def test_a_link_to_an_empty_folder_becomes_an_index(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "index").symlink_to(tmp_path / "real")
    store = open_store("edge", tmp_path)
    store.write([document("a")])
    store.close()
    assert open_store("edge", tmp_path).sources() == ["a"]
    assert (tmp_path / "real" / "segments").is_dir()


def test_places_that_cannot_hold_an_index_are_refused_on_opening(tmp_path, monkeypatch):
    with pytest.raises(StoreError, match="name another folder"):
        open_engine(path="x" * 300, url=None, collection="c", engine="edge")
    (tmp_path / "volume").mkdir()
    monkeypatch.setattr("os.path.ismount", lambda path: True)
    with pytest.raises(IndexMismatchError, match="name a folder in it"):
        open_engine(path=str(tmp_path / "volume"), url=None, collection="c", engine="edge")
