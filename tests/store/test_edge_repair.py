"""An embedded index killed while a named vector was made or dropped opens again, and the resize goes on."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import StoreError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.edge_repair import make_vectors_agree
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.resize import resize

from .conftest import document, open_store, rows
from .faults import Faults


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def forget_in_segment(folder):
    for path in folder.glob("segments/*/segment.json"):
        edit(path, lambda content: content["config"]["vector_data"].pop("meta_64"))


def forget_in_config(folder):
    edit(folder / "edge_config.json", lambda content: content["vectors"].pop("meta_64"))


def forget_and_lose(folder):
    """As the engine leaves it when killed in the middle of a drop."""
    forget_in_segment(folder)
    for path in folder.glob("segments/*/vector_storage-meta_64"):
        shutil.rmtree(path)


@pytest.fixture
def folder(tmp_path):
    store = open_store("edge", tmp_path)
    store.write([document("a", 2), document("b", 1)])
    store.close()
    return tmp_path / "index"


def found(store, budget):
    return sorted(scored.payload["id"] for scored in store.search(build_stages(Plan(budget), rows(5, 16)), Filter(), 9))


@pytest.mark.parametrize("damage", [forget_in_segment, forget_in_config, forget_and_lose])
def test_lists_that_differ_are_made_to_agree(damage, folder, tmp_path):
    damage(folder)
    store = open_store("edge", tmp_path)
    assert found(store, Budget(8, 16)) == ["a/1", "a/2", "b/1"]
    assert resize(store, 16, lambda windows: pytest.fail("narrowing embeds nothing")) == 0
    store.close()
    assert found(open_store("edge", tmp_path), Budget(8, 16)) == ["a/1", "a/2", "b/1"]


def test_lists_that_agree_are_left_alone(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert make_vectors_agree(folder) is False
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_index_that_is_open_is_left_alone(folder, tmp_path):
    store = open_store("edge", tmp_path)
    forget_in_config(folder)
    with pytest.raises(StoreError):
        open_store("edge", tmp_path)
    assert make_vectors_agree(folder) is False
    assert "meta_64" in next(folder.glob("segments/*/segment.json")).read_text()
    store.close()


class Copies(Faults):
    """Copies a folder after each call of the engine: what a process leaves that is killed then."""

    def __init__(self, engine, folder, to):
        super().__init__(engine)
        self.folder, self.to = folder, to

    def around(self, name, call, given, named):
        result = call(*given, **named)
        self.calls += 1
        shutil.copytree(self.folder, self.to / str(self.calls) / "index")
        return result


def encode(windows):
    found = [window.text.split() for window in windows]
    return np.stack([list(document(name, int(page)).points)[-1].vectors for name, page in found])


def test_a_kill_in_a_drop_takes_no_page_with_it(tmp_path):
    """What was written and acknowledged since the vector was made is only in the engine's log until it is flushed."""
    store = open_store("edge", tmp_path)
    store.write([document("a", 1)])
    resize(store, 16, encode)
    assert resize(store, 64, encode) == 1
    store.write([document("b", 2)])
    copies = Copies(store._engine, tmp_path / "index", tmp_path)
    resize(store, 16, encode)
    assert copies.calls > 3
    store.close()
    for call in range(1, copies.calls + 1):
        left = open_store("edge", tmp_path / str(call))
        assert found(left, Budget(8, 16)) == ["a/1", "b/1", "b/2"], f"killed after call {call}"
        left.close()
