"""What an index that outgrew one machine asks of a server: how it lies there, uploads side by side, restarts."""

from __future__ import annotations

import threading
import time

import pytest

from metaembed_rag.budget import Budget
from metaembed_rag.errors import InputError, StoreError
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.options import ServerOptions

from .conftest import document, open_server, rows
from .loopback import Loopback

OPTIONS = ServerOptions(
    shard_number=6, replication_factor=2, write_consistency_factor=2, on_disk=True, on_disk_payload=True
)


def find(store, limit=100):
    return [s.payload["id"] for s in store.search(build_stages(Plan(Budget(4, 8)), rows(1, 16)), Filter(), limit)]


def test_a_collection_is_made_as_told(server):
    store = open_server(server.url, options=OPTIONS, precision="4bit")
    made = server.bodies["PUT collections/c"]
    spread = ("shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload")
    assert {name: made[name] for name in spread} == {
        "shard_number": 6,
        "replication_factor": 2,
        "write_consistency_factor": 2,
        "on_disk_payload": True,
    }
    for name, vector in made["vectors"].items():
        assert vector["on_disk"] is True
        assert vector["quantization_config"]["turbo"]["always_ram"] is True
        assert vector["hnsw_config"]["m"] == (16 if name == "meta_1" else 0)
    store.close()


def test_a_plain_collection_leaves_a_server_its_defaults(server):
    open_server(server.url).close()
    made = server.bodies["PUT collections/c"]
    assert set(made) == {"vectors"}
    assert set(made["vectors"]["meta_4"]) == {"size", "distance", "multivector_config", "hnsw_config"}


@pytest.mark.parametrize(
    "bad",
    [
        {"shard_number": 0},
        {"replication_factor": True},
        {"write_consistency_factor": 2},
        {"uploads": 0},
        {"batch_bytes": 1.5},
        {"patience": -1},
    ],
    ids=str,
)
def test_options_are_checked(bad):
    with pytest.raises(InputError):
        ServerOptions(**bad)


def test_options_need_a_server(tmp_path):
    with pytest.raises(InputError, match="give url="):
        open_engine(path=str(tmp_path / "x"), url=None, collection="c", server=OPTIONS)


def test_uploads_run_side_by_side(server, monkeypatch):
    store = open_server(server.url, options=ServerOptions(uploads=3, batch_bytes=1))
    flying, most, lock = [0], [0], threading.Lock()
    upsert = store._engine.upsert

    def slow(points):
        with lock:
            flying[0] += 1
            most[0] = max(most[0], flying[0])
        time.sleep(0.02)
        upsert(points)
        with lock:
            flying[0] -= 1

    monkeypatch.setattr(store._engine, "upsert", slow)
    store.write([document("a", 12)])
    assert most[0] == 3
    assert len(find(store)) == 12
    store.close()


def test_one_failed_upload_of_many_fails_the_document(server, monkeypatch):
    store = open_server(server.url, options=ServerOptions(uploads=3, batch_bytes=1))
    upsert = store._engine.upsert

    def failing(points):
        if any(point.payload.get("page") == 3 for point in points):
            raise StoreError("Qdrant failed in upsert: gone")
        time.sleep(0.01)
        upsert(points)

    with monkeypatch.context() as patch:
        patch.setattr(store._engine, "upsert", failing)
        with pytest.raises(StoreError, match="gone"):
            store.write([document("a", 8)])
    assert find(store) == []
    assert store._engine.count(Filter()) == 1, "an upload landed after the clean-up"
    store.write([document("a", 8)])
    assert len(find(store)) == 8
    store.close()


class Node:
    """A loopback server that can be stopped and started again at its address, with what it held."""

    def __init__(self) -> None:
        self.server = Loopback()
        self._port = self.server.server_address[1]
        self._run()

    def _run(self) -> None:
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def start(self) -> None:
        held = self.server.client
        self.server = Loopback(self._port)
        self.server.client = held
        self._run()


def test_a_node_s_restart_is_survived():
    node = Node()
    store = open_server(node.server.url, options=ServerOptions(patience=30, batch_bytes=1))
    store.write([document("a", 2)])
    written = threading.Event()

    def restart():
        written.wait()
        node.stop()
        time.sleep(0.5)
        node.start()

    helper = threading.Thread(target=restart)
    helper.start()

    def documents():
        for number in range(10):
            if number == 3:
                written.set()
                time.sleep(0.1)
            yield document(f"d{number}", 2)

    store.write(documents())
    helper.join()
    assert len(find(store)) == 22
    node.stop()
    threading.Timer(0.4, node.start).start()
    assert len(find(store)) == 22, "a search waits as well"
    store.close()
    node.stop()


def test_patience_ends():
    node = Node()
    store = open_server(node.server.url, options=ServerOptions(patience=0.5))
    store.write([document("a")])
    node.stop()
    began = time.monotonic()
    with pytest.raises(StoreError, match="Qdrant failed in query"):
        find(store)
    assert 0.4 < time.monotonic() - began < 20
    node.start()
    assert find(store) == ["a/1"]
    store.close()
    node.stop()
