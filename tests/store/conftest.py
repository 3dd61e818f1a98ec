"""One fixture for every engine; the server is the loopback one."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from metaembed_rag.store.documents import WriteDocument, WritePoint
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.options import ServerOptions
from metaembed_rag.store.schema import Schema
from metaembed_rag.store.store import Store

from .loopback import Loopback, loopback

DIM = 16
SCHEMA = Schema(dim=DIM)
ENGINES = ["edge", "local-memory", "local-path", "server"]


def open_store(kind: str, folder: Any, **options: Any) -> Store:
    path = ":memory:" if kind == "local-memory" else str(folder / "index")
    engine = open_engine(path=path, url=None, collection="c", engine="edge" if kind == "edge" else "local")
    return _made(Store(engine, **options))


@pytest.fixture(params=ENGINES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with loopback() as running:
        yield running


def open_server(
    url: str, api_key: str | None = None, *, options: ServerOptions | None = None, **settings: Any
) -> Store:
    engine = open_engine(path=None, url=url, collection="c", api_key=api_key, server=options)
    return _made(Store(engine, **settings))


def _made(store: Store) -> Store:
    if not store.exists:
        store.create(SCHEMA, model="fingerprint", model_name="test")
    return store


class Opener:
    """Opens and opens again one place on one engine; every Store is closed at the end of the test.

    Attributes:
        persistent: what is closed is still there when it is opened again.
        shared: several may be open at once.
    """

    def __init__(self, kind: str, folder: Any, request: pytest.FixtureRequest) -> None:
        self.kind = kind
        self.persistent = kind != "local-memory"
        self.shared = kind == "server"
        self._folder = folder
        self._url = request.getfixturevalue("server").url if self.shared else None
        self._opened: list[Store] = []

    def __call__(self, **settings: Any) -> Store:
        if self._url is not None:
            store = open_server(self._url, **settings)
        else:
            for other in self._opened:
                other.close()
            store = open_store(self.kind, self._folder, **settings)
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def opener(kind: str, tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Opener]:
    made = Opener(kind, tmp_path, request)
    yield made
    made.close()


@pytest.fixture
def store(opener: Opener) -> Store:
    return opener()


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
            windows=windows,
        )
        for page in range(1, pages + 1)
        for window in range(windows)
    ]
    return WriteDocument(name, source or name, digest, points)
