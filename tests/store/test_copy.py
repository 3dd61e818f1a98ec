"""Copying between every two engines: ids, payloads, vectors and records arrive as they are."""

from __future__ import annotations

import numpy as np
import pytest

from metaembed_rag.budget import LADDER
from metaembed_rag.errors import IndexMismatchError, IndexNotFoundError, StoreError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.copy import copy_index
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.options import ServerOptions
from metaembed_rag.store.resize import resize
from metaembed_rag.store.store import Store

from .conftest import SCHEMA, document, rows
from .test_resize import Encoder

QUERY = rows(7, 16)


@pytest.fixture
def place(tmp_path, server):
    """A function that opens the engine of a kind at a place of a name; all are closed in the end."""
    opened = []

    def open_place(kind, name, **options):
        if kind == "server":
            engine = open_engine(path=None, url=server.url, collection=name, server=ServerOptions(**options))
        else:
            engine = open_engine(path=str(tmp_path / f"{kind}-{name}"), url=None, collection="c", engine=kind)
        opened.append(engine)
        return engine

    yield open_place
    for engine in opened:
        engine.close()


def filled(engine, **settings):
    store = Store(engine, **settings)
    store.create(SCHEMA, model="fingerprint", model_name="test")
    store.write([document("a", 3, windows=2, year=2019, draft=True), document("b", 1, seed=2), document("c")])
    store.delete_source("c")
    store.annotate("figures", {"p95": 12.5})
    return store


def answers(store):
    return {
        str(budget): [
            (s.id, round(s.score, 4), s.payload["text"])
            for s in store.search(build_stages(Plan(budget), QUERY), Filter(), 10)
        ]
        for budget in LADDER
        if budget.document in store.schema.groups
    }


def everything(engine):
    return dict(engine.scroll(Filter()))


@pytest.mark.parametrize(
    ("one", "other"),
    [("edge", "local"), ("local", "edge"), ("edge", "server"), ("server", "edge"), ("local", "server")],
)
def test_a_copy_answers_as_the_original(place, one, other):
    source, target = place(one, "x"), place(other, "y")
    store = filled(source)
    copied = copy_index(source, target)
    assert copied.points == source.count(Filter()) == copied.copied + 1
    assert everything(target) == everything(source)
    copy = Store(target)
    assert answers(copy) == answers(store)
    assert copy.digests(["a", "b"]) == store.digests(["a", "b"])
    assert copy.annotation("figures") == {"p95": 12.5}
    ids = [scored.id for scored in store.get(["a/1", "b/1"])]
    for key, vectors in source.vectors(ids, ["meta_1", "meta_64"]).items():
        for name, made in target.vectors(ids, ["meta_1", "meta_64"])[key].items():
            np.testing.assert_array_equal(made, vectors[name])
    copy.check_model("fingerprint", "test")
    # And both live on by themselves.
    copy.write([document("d")])
    assert copy.sources() == ["a", "b", "d"]
    assert store.sources() == ["a", "b"]


def test_copying_again_costs_nothing_and_brings_what_changed(place):
    source, target = place("edge", "x"), place("local", "y")
    store = filled(source)
    copy_index(source, target)
    assert copy_index(source, target).copied == 0
    store.write([document("a", 1, seed=9, digest="new"), document("e", 2)])
    store.delete_source("b")
    copied = copy_index(source, target)
    assert 0 < copied.copied <= 5
    assert everything(target) == everything(source)
    assert answers(Store(target)) == answers(store)


def test_a_copy_cut_short_is_no_whole_index_and_goes_on(place, monkeypatch):
    source, target = place("edge", "x"), place("server", "y", batch_bytes=1, uploads=1)
    store = filled(source)
    upsert, written = target.upsert, []

    def failing(points):
        if len(written) == 4:
            raise StoreError("Qdrant failed in upsert: gone")
        written.append(points)
        upsert(points)

    monkeypatch.setattr(target, "upsert", failing)
    with pytest.raises(StoreError, match="gone"):
        copy_index(source, target)
    with pytest.raises(IndexMismatchError, match="unfinished copy"):
        Store(place("server", "y"))
    monkeypatch.undo()
    copied = copy_index(source, target)
    assert copied.copied == source.count(Filter()) - 1 - 3
    assert answers(Store(target)) == answers(store)


def test_a_resized_index_of_tenants_at_another_precision(place):
    source, target = place("local", "x"), place("edge", "y")
    store = filled(source, tenant="acme")
    resize(Store(source), 16, Encoder([]))
    copy_index(source, target, precision="f16")
    copy = Store(target, tenant="acme")
    assert copy.schema.precision == "f16"
    assert copy.schema.groups == (1, 4, 8, 16)
    store.refresh()
    assert [s.id for s in copy.get(["a/1", "a/2", "b/1"])] == [s.id for s in store.get(["a/1", "a/2", "b/1"])]
    assert Store(target, tenant="globex").sources() == []
    assert copy.annotation("figures") == {"p95": 12.5}


def test_what_cannot_be_copied_is_refused(place):
    source, target = place("edge", "x"), place("local", "y")
    with pytest.raises(IndexNotFoundError):
        copy_index(source, target)
    store = filled(source)
    other = Store(target)
    other.create(SCHEMA, model="another", model_name="other")
    other.write([document("theirs")])
    with pytest.raises(IndexMismatchError, match="another index"):
        copy_index(source, target)
    assert other.sources() == ["theirs"]

    def die(_):
        raise KeyboardInterrupt

    resize(store, 4, Encoder([]))
    with pytest.raises(KeyboardInterrupt):
        resize(store, 16, die)
    with pytest.raises(IndexMismatchError, match="being resized"):
        copy_index(source, place("edge", "z"))


def test_on_the_command_line(place, server, tmp_path):
    from typer.testing import CliRunner

    from metaembed_rag.cli import app

    source = place("edge", "x")
    store = filled(source)
    expected = answers(store)
    store.close()
    runner = CliRunner()
    there = [str(tmp_path / "edge-x"), server.url, "--target-collection", "y"]
    assert "10 points" in runner.invoke(app, ["copy", *there, "--shards", "2"]).stdout
    assert server.bodies["PUT collections/y"]["shard_number"] == 2
    back = [server.url, str(tmp_path / "back"), "--source-collection", "y", "--json"]
    assert '"copied": 9' in runner.invoke(app, ["copy", *back]).stdout
    engine = open_engine(path=str(tmp_path / "back"), url=None, collection="c")
    assert answers(Store(engine)) == expected
    engine.close()


@pytest.mark.parametrize("other", ["edge", "server"])
def test_words_can_be_left_behind(place, other):
    source, target = place("edge", "x"), place(other, "y")
    store = filled(source, words=True)
    assert store.keeps_words
    copy_index(source, target, words=False)
    copy = Store(target)
    assert not copy.keeps_words
    assert answers(copy) == answers(store)
    copy.write([document("d")])
    assert [scored.payload["text"] for scored in copy.get(["d/1"])] == ["d 1 0"]
