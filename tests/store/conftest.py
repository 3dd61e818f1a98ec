"""One fixture for every engine; the server is the loopback one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from metaembed_rag.store.documents import WriteDocument, WritePoint
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.schema import Schema
from metaembed_rag.store.store import Store

from .loopback import Loopback, loopback

DIM = 16
SCHEMA = Schema(dim=DIM)
ENGINES = ["edge", "local-memory", "local-path", "server"]


def open_store(kind: str, folder: Any) -> Store:
    path = ":memory:" if kind == "local-memory" else str(folder / "index")
    store = Store(open_engine(path=path, url=None, collection="c", engine="edge" if kind == "edge" else "local"))
    if not store.exists:
        store.create(SCHEMA, model="fingerprint", model_name="test")
    return store


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


def open_server(url: str, api_key: str | None = None) -> Store:
    store = Store(open_engine(path=None, url=url, collection="c", api_key=api_key))
    if not store.exists:
        store.create(SCHEMA, model="fingerprint", model_name="test")
    return store


@pytest.fixture
def store(kind: str, tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Store]:
    server = kind == "server"
    opened = open_server(request.getfixturevalue("server").url) if server else open_store(kind, tmp_path)
    yield opened
    opened.close()


def rows(seed: int, tokens: int = 64) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(tokens, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def document(
    name: str,
    pages: int = 1,
    *,
    windows: int = 1,
    seed: int = 0,
    digest: str = "d",
    source: str | None = None,
    **metadata: Any,
) -> WriteDocument:
    points = [
        WritePoint(
            id=f"{name}/{page}",
            page=page,
            window=window,
            span=(0, 4),
            vectors=rows(zlib.crc32(repr((name, page, window, seed)).encode())),
            text=f"{name} {page} {seed}",
            route="text",
            metadata=metadata,
        )
        for page in range(1, pages + 1)
        for window in range(windows)
    ]
    return WriteDocument(name, source or name, digest, points)
