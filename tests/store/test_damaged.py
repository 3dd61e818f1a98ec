"""A damaged index, or one that two threads make at once: words instead of an engine's own exceptions."""

from __future__ import annotations

import json
import threading

import pytest

from metaembed_rag.errors import IndexLockedError, StoreError

from .conftest import SCHEMA, document, open_store


@pytest.mark.parametrize("kind", ["edge", "local-path"])
def test_a_damaged_folder_is_refused_in_words(kind, tmp_path):
    store = open_store(kind, tmp_path)
    store.write([document("a", 2)])
    store.close()
    for path in (tmp_path / "index").rglob("*"):
        if path.is_file() and path.name not in ("metaembed.json", "edge_config.json"):
            path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"cannot be opened .*index the documents anew"):
        open_store(kind, tmp_path)


def test_what_the_engine_makes_of_damage_is_the_document_or_an_error_of_ours(tmp_path):
    # It rebuilds what it can from its log, and panics over other damage, which no ``except Exception`` sees.
    store = open_store("edge", tmp_path)
    store.write([document("a")])
    store.close()
    for path in (tmp_path / "index").rglob("id_tracker*"):
        path.write_bytes(b"\xff" * 64)
    outcome: object
    try:
        outcome = [scored.payload["id"] for scored in open_store("edge", tmp_path).get(["a/1"])]
    except StoreError as error:
        outcome = error
    assert isinstance(outcome, StoreError) or outcome == ["a/1"]


@pytest.mark.parametrize("kind", ["edge", "local-path"])
def test_a_locked_folder_is_told_before_anything_is_read(kind, tmp_path):
    store = open_store(kind, tmp_path)
    if kind == "local-path":
        # Reading this would fail in another way.
        (tmp_path / "index" / "meta.json").write_text("not JSON")
    with pytest.raises(IndexLockedError, match="open in another process"):
        open_store(kind, tmp_path)
    if kind == "local-path":
        (tmp_path / "index" / "meta.json").write_text(json.dumps({"collections": {}, "aliases": {}}))
    store.close()


def test_threads_may_make_an_index_at_once(kind, tmp_path):
    if kind in ("server", "local-memory"):
        pytest.skip("a folder is enough to tell")
    from metaembed_rag.store.open import open_engine
    from metaembed_rag.store.store import Store

    path = str(tmp_path / "index")
    store = Store(open_engine(path=path, url=None, collection="c", engine="edge" if kind == "edge" else "local"))
    barrier, errors = threading.Barrier(4), []

    def make(number):
        barrier.wait()
        try:
            store.create(SCHEMA, model="fingerprint", model_name="test")
            store.write([document(f"d{number}")])
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.info()["documents"] == 4
    store.close()
