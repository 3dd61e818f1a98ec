"""Settling: merged segments do not pile up on disk, small writes do not rewrite the index, nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaembed_rag.store.open import open_engine
from metaembed_rag.store.schema import Schema
from metaembed_rag.store.store import Store

from .conftest import document

#: Wide enough that a few hundred points reach the engine's threshold for merging segments.
DIM = 512


@pytest.fixture
def settled(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.store.conftest.DIM", DIM, raising=False)
    monkeypatch.setattr(f"{document.__module__}.DIM", DIM)
    store = Store(open_engine(path=str(tmp_path / "index"), url=None, collection="c"))
    store.create(Schema(dim=DIM), model="fingerprint", model_name="test")
    yield store
    store.close()


def disk(folder: Path) -> int:
    return sum(512 * file.stat().st_blocks for file in folder.rglob("*") if file.is_file())


def test_merged_segments_leave_the_disk_while_the_index_stays_open(settled, tmp_path):
    segments = tmp_path / "index" / "segments"
    for round_ in range(6):
        settled.write([document(f"d{round_}-{n}", 5) for n in range(30)])
        settled.settle()
    assert settled.info()["pages"] == 900
    raw = 900 * settled.schema.bytes_per_point
    assert disk(segments) < 1.5 * raw
    open_for_long = disk(segments)
    settled.close()
    assert disk(segments) > 0.8 * open_for_long, "closing had to clean up what settling left"


def test_only_a_share_of_changes_makes_the_engine_rewrite(settled, monkeypatch):
    calls = []
    monkeypatch.setattr(settled._engine, "optimize", lambda: calls.append(settled.points))
    settled.settle()
    assert calls == [], "nothing was written"
    settled.write(document(f"a{n}") for n in range(80))
    settled.settle()
    assert calls == [80]
    settled.write(document(f"b{n}") for n in range(10))
    settled.settle()
    assert calls == [80], "an eighth is too little"
    assert settled.delete_source("a0") == 1
    settled.write(document(f"c{n}") for n in range(20))
    settled.settle()
    assert calls == [80, 109]
