"""What is drilled: the store with random vectors, or the whole index with the real model, behind one face."""

from __future__ import annotations

import json
import random
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.store.documents import WriteDocument, WritePoint
from metaembed_rag.store.engine import Scored
from metaembed_rag.store.filters import Filter, match
from metaembed_rag.store.open import open_engine
from metaembed_rag.store.resize import StoredWindow, resize
from metaembed_rag.store.schema import VISIBLE, Schema
from metaembed_rag.store.store import Store
from metaembed_rag.store.words import query_terms

from ..raw import read_vectors
from .operations import NAMES, TEXTS, Step, Version, book_of, is_text, source_of

FloatArray = npt.NDArray[np.float32]
EngineName = Literal["edge", "local"]

#: Width of the random vectors: wide enough that no two pages score alike.
DIM = 16
#: Small, so that a document takes many calls of the engine, between any two of which a kill may fall.
BATCH_BYTES = 64 << 10
#: More pages than there ever are.
ALL = 10_000


@dataclass(frozen=True, slots=True)
class Content:
    """Everything of a page that a reader sees but its vectors."""

    id: str
    source: str
    page: int
    text: str
    metadata: str


@dataclass(frozen=True, slots=True)
class Expected:
    """A page as it was written: its content, and float32 ``[windows, 64, dim]``."""

    content: Content
    vectors: FloatArray


class Subject(ABC):
    """An open index under drill.

    Attributes:
        folder: where it lies.
        engine: "edge" or "local".
        tolerance: how far a vector may be from the one expected: 0 where it is drawn, a little where a model
            computes it again.
        longest: pages of the longest book it is given.
    """

    tolerance: float
    longest: int

    def __init__(self, folder: Path, engine: EngineName) -> None:
        self.folder = folder
        self.engine = engine
        self.open()

    def apply(self, step: Step) -> None:
        """Carry out a step; the method of its name does it."""
        getattr(self, step.operation)(step)

    def add(self, step: Step) -> None:
        self.write({name: version for name, version in step.outcome.items() if version is not None})

    replace = add
    write_many = add

    def take_id(self, step: Step) -> None:
        self.write({name: version for name, version in step.outcome.items() if version is not None and is_text(name)})

    def delete_source(self, step: Step) -> None:
        self.delete(source=step.arguments["source"])

    def delete_pages(self, step: Step) -> None:
        pages: Mapping[str, Sequence[int]] = step.arguments["pages"]
        self.delete(ids=[self.page_id(name, page) for name, numbers in pages.items() for page in numbers])

    def settle(self, step: Step) -> None:
        if self.store.exists:
            self.store._changed = ALL  # as if enough had changed
        self.store.settle()

    def reopen(self, step: Step) -> None:
        self.close()
        self.open()

    def resize(self, step: Step) -> None:
        self.resize_to(step.arguments["tokens"])

    def calibrate(self, step: Step) -> None:
        self.keep_calibration(step.arguments["calibration"])

    @property
    def rungs(self) -> list[Budget]:
        """Every rung of the ladder whose vectors are stored."""
        assert self.store.schema is not None
        return [rung for rung in LADDER if rung.document in self.store.schema.groups]

    def vectors(self) -> dict[str, dict[int, Mapping[str, FloatArray]]]:
        """Stored vectors by page id, window and name, read without a search."""
        points = list(self.store._engine.scroll(match("state", VISIBLE), ["id", "window"]))
        stored = read_vectors(self.store._engine, [identifier for identifier, _ in points])
        pages: dict[str, dict[int, Mapping[str, FloatArray]]] = {}
        for identifier, payload in points:
            pages.setdefault(payload["id"], {})[payload["window"]] = stored[identifier]
        return pages

    def heard(self) -> set[str]:
        """Ids of the visible pages that are found by the name of their document, which begins their text."""
        names = query_terms(" ".join(NAMES))
        assert names is not None
        return set(self.store._engine.query_words(names, match("state", VISIBLE), ALL))

    def count(self, kind: str) -> int:
        """Points of a kind, visible or not."""
        return self.store._engine.count(match("kind", kind))

    @property
    @abstractmethod
    def store(self) -> Store: ...

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def write(self, documents: Mapping[str, Version]) -> None: ...

    @abstractmethod
    def delete(self, ids: Sequence[str] | None = None, source: str | None = None) -> None: ...

    @abstractmethod
    def resize_to(self, tokens: int) -> None: ...

    @abstractmethod
    def keep_calibration(self, number: int) -> None: ...

    @abstractmethod
    def calibration(self) -> int | None:
        """Which calibration is kept; AssertionError if it is not whole."""

    @abstractmethod
    def page_id(self, name: str, page: int) -> str: ...

    @abstractmethod
    def expected(self, name: str, version: Version) -> list[Expected]:
        """The pages of a version, as they must be found."""

    @abstractmethod
    def query(self) -> FloatArray:
        """A query's Meta Tokens ``[16, dim]``."""

    @abstractmethod
    def search(self, budget: Budget) -> list[tuple[float, Content]]:
        """All pages by ``query`` at a budget, best first."""

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Content]: ...


class StoreSubject(Subject):
    """The store alone, with drawn vectors: fast, and exact to the bit."""

    tolerance = 0.0
    longest = 160  # with its windows, more than the store commits at once

    def open(self) -> None:
        self._store = Store(open_engine(path=str(self.folder), url=None, collection="c", engine=self.engine))
        if not self._store.exists:
            self._store.create(Schema(dim=DIM, words=True), model="fingerprint", model_name="test")
        self._store._engine.batch_bytes = BATCH_BYTES

    def close(self) -> None:
        self._store.close()

    @property
    def store(self) -> Store:
        return self._store

    def write(self, documents: Mapping[str, Version]) -> None:
        self._store.write(
            WriteDocument(name, source_of(name), str(version.seed), _points(name, version))
            for name, version in documents.items()
        )

    def delete(self, ids: Sequence[str] | None = None, source: str | None = None) -> None:
        if source is None:
            self._store.delete_pages(ids or ())
        else:
            self._store.delete_source(source)

    def resize_to(self, tokens: int) -> None:
        def encode(windows: Sequence[StoredWindow]) -> FloatArray:
            return np.stack([_rows(_seed(window.text), 64) for window in windows])

        resize(self._store, tokens, encode)

    def keep_calibration(self, number: int) -> None:
        # What ``MetaEmbedIndex.calibrate`` does to the store once it has measured; large, so that it could tear.
        self._store.annotate("calibration", {"number": number, "figures": [number] * 2_000})

    def calibration(self) -> int | None:
        kept = self._store.annotation("calibration")
        assert kept is None or kept["figures"] == [kept["number"]] * 2_000, "a calibration is torn"
        return None if kept is None else int(kept["number"])

    def page_id(self, name: str, page: int) -> str:
        return _page_id(name, page)

    def expected(self, name: str, version: Version) -> list[Expected]:
        pages: dict[int, list[WritePoint]] = {}
        for point in _points(name, version):
            pages.setdefault(point.page, []).append(point)
        return [
            Expected(
                _content(windows[0].id, source_of(name), page, windows[0].text, windows[0].metadata),
                np.stack([window.vectors for window in windows]),
            )
            for page, windows in pages.items()
        ]

    def query(self) -> FloatArray:
        return _rows(7, 16)

    def search(self, budget: Budget) -> list[tuple[float, Content]]:
        found = self._store.search(build_stages(Plan(budget, whole=True), self.query()), Filter(), ALL)
        return [(scored.score, _of_payload(scored)) for scored in found]

    def get(self, ids: Sequence[str]) -> list[Content]:
        return [_of_payload(scored) for scored in self._store.get(ids)]


class IndexSubject(Subject):
    """The whole index: texts and pages through the shipped model."""

    tolerance = 1e-4
    longest = 8

    def open(self) -> None:
        from metaembed_rag.index import MetaEmbedIndex

        self._index = MetaEmbedIndex(self.folder, engine=self.engine, model=_model(), hybrid=True)

    def close(self) -> None:
        self._index.close()

    @property
    def store(self) -> Store:
        return self._index._store

    def write(self, documents: Mapping[str, Version]) -> None:
        from metaembed_rag import Page

        texts = [name for name in documents if is_text(name)]
        if texts:
            self._index.add_texts(
                [_text(name, documents[name], 1) for name in texts],
                ids=[self.page_id(name, 1) for name in texts],
                metadatas=[_metadata(name, documents[name], 1) | {"source": source_of(name)} for name in texts],
            )
        books = [
            Page(name, page, _text(name, version, page), metadata=_metadata(name, version, page))
            for name, version in documents.items()
            if not is_text(name)
            for page in version.pages
        ]
        if books:
            self._index.add(books, progress=False)

    def delete(self, ids: Sequence[str] | None = None, source: str | None = None) -> None:
        self._index.delete(ids, source=source)

    def resize_to(self, tokens: int) -> None:
        self._index.resize(tokens, progress=False)

    def keep_calibration(self, number: int) -> None:
        # Told apart by how many queries they were made with.
        self._index.calibrate([f"{QUERY} {n}" for n in range(number)], progress=False)

    def calibration(self) -> int | None:
        kept = self._index.calibration
        return None if kept is None else kept.queries

    def page_id(self, name: str, page: int) -> str:
        from metaembed_rag.ingest import page_id

        book, taken = book_of(name)
        return name if name in TEXTS else page_id(book, taken or page)

    def expected(self, name: str, version: Version) -> list[Expected]:
        pages = []
        for page in version.pages:
            text, metadata = _text(name, version, page), _metadata(name, version, page)
            if is_text(name):
                metadata["source"] = source_of(name)
            content = _content(self.page_id(name, page), source_of(name), page, text, metadata)
            pages.append(Expected(content, _embed(text)))
        return pages

    def query(self) -> FloatArray:
        return _query_rows()

    def search(self, budget: Budget) -> list[tuple[float, Content]]:
        return [(hit.score, _of_hit(hit)) for hit in self._index.search(QUERY, budget=budget, top_k=ALL, hybrid=False)]

    def get(self, ids: Sequence[str]) -> list[Content]:
        return [_of_hit(hit) for hit in self._index.get(ids)]


SUBJECTS: dict[str, type[Subject]] = {"store": StoreSubject, "index": IndexSubject}

QUERY = "when does the ferry leave?"
_WORDS = [
    "ferry",
    "harbour",
    "gravel",
    "coffee",
    "roast",
    "solar",
    "panel",
    "winter",
    "library",
    "survey",
    "safety",
    "trail",
    "north",
    "light",
    "salt",
]


def _page_id(name: str, page: int) -> str:
    book, taken = book_of(name)
    return f"{book}/{taken or page}"


def _points(name: str, version: Version) -> Iterator[WritePoint]:
    for page in version.pages:
        # Every window's vectors follow from its part of the text, so that ``resize`` can make them again.
        parts = [f"{name} {version.seed} {page} {window}." for window in range(1 + page % 2)]
        start = 0
        for window, part in enumerate(parts):
            yield WritePoint(
                id=_page_id(name, page),
                page=page,
                window=window,
                span=(start, start + len(part)),
                vectors=_rows(_seed(part), 64),
                text="".join(parts),
                route="text",
                metadata=_metadata(name, version, page),
            )
            start += len(part)


def _seed(text: str) -> int:
    return zlib.crc32(text.encode())


@lru_cache(maxsize=4096)
def _rows(seed: int, tokens: int) -> FloatArray:
    vectors = np.random.default_rng(seed).normal(size=(tokens, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _text(name: str, version: Version, page: int) -> str:
    generator = random.Random(repr((name, version.seed, page)))
    # Now and then a page of several windows.
    count = 300 if generator.random() < 0.1 else generator.randint(3, 8)
    return f"{name} {version.seed} {page}: " + " ".join(generator.choices(_WORDS, k=count))


def _metadata(name: str, version: Version, page: int) -> dict[str, Any]:
    return {"name": name, "seed": version.seed, "even": page % 2 == 0, "nested": {"tags": [name, "ä"], "none": None}}


def _content(id: str, source: str, page: int, text: str, metadata: Mapping[str, Any]) -> Content:
    return Content(id, source, page, text, json.dumps(metadata, sort_keys=True))


def _of_payload(scored: Scored) -> Content:
    payload = scored.payload
    return _content(payload["id"], payload["source"], payload["page"], payload["text"], payload["metadata"])


def _of_hit(hit: Any) -> Content:
    return _content(hit.id, hit.source, hit.page, hit.text, hit.metadata)


@cache
def _model() -> Any:
    from metaembed_rag import MetaEmbed

    return MetaEmbed.from_pretrained("mini")


@cache
def _query_rows() -> FloatArray:
    rows: FloatArray = _model().encode_queries([QUERY])[0]
    return rows


@lru_cache(maxsize=4096)
def _embed(text: str) -> FloatArray:
    model = _model()
    embeddings: FloatArray = model.encode_documents([window.text for window in model.windows(text)])
    return embeddings
