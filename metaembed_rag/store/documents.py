"""Documents on their way into the store, and what the store knows of those it holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from metaembed_rag.store.engine import FloatArray, Point
from metaembed_rag.store.merging import WINDOWS_TOGETHER
from metaembed_rag.store.schema import PENDING, TENANT_FIELD, Schema, flags, record_id, window_id
from metaembed_rag.store.words import page_terms


@dataclass(frozen=True, slots=True)
class WritePoint:
    """One window of a page, embedded.

    Attributes:
        id: the page's id.
        page: its number, from 1.
        window: the window's number within the page, from 0.
        windows: how many the page has.
        span: characters of ``text`` that the window covers.
        vectors: float32 ``[document tokens, dim]``.
        text: the text of the whole page.
        route: how the text was obtained.
        metadata: JSON values.
    """

    id: str
    page: int
    window: int
    span: tuple[int, int]
    vectors: FloatArray
    text: str
    route: str
    metadata: Mapping[str, Any]
    windows: int = 1


@dataclass(frozen=True, slots=True)
class WriteDocument:
    """A document to be written.

    Attributes:
        document: its key: writing the same key again replaces it.
        source: what its hits name.
        digest: of its content, for ``Store.digests``.
        points: its windows; may be a generator, so that a large document never lies in memory whole.
    """

    document: str
    source: str
    digest: str
    points: Iterable[WritePoint]


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of a document: the digest it was written with, and its page ids in order."""

    digest: str
    version: str
    page_ids: tuple[str, ...]


@dataclass(slots=True)
class Written:
    """A document whose points are on their way into the engine.

    Attributes:
        document: what is written.
        version: of this writing of it, unique.
        tenant: whose it is, in a collection divided by tenants.
        points: engine ids of the points made so far.
        page_ids: ids of its pages so far, in order.
    """

    document: WriteDocument
    version: str
    tenant: str | None = None
    points: list[str] = field(default_factory=list)
    page_ids: dict[str, None] = field(default_factory=dict)

    def make_points(self, schema: Schema) -> Iterator[Point]:
        """The engine's points of the document, not visible yet.

        Raises:
            InputError: vectors that do not fit the schema.
        """
        for _, neighbours in groupby(self.document.points, lambda point: (point.id, point.window // WINDOWS_TOGETHER)):
            together = list(neighbours)
            named = schema.vectors([point.vectors for point in together], together[0].windows)
            for point, vectors in zip(together, named, strict=True):
                yield self._make_point(point, vectors, schema)

    def _make_point(self, point: WritePoint, vectors: Mapping[str, FloatArray], schema: Schema) -> Point:
        identifier = window_id(self.document.document, self.version, point.id, point.window, self.tenant)
        payload: dict[str, Any] = {
            "kind": "page",
            "state": PENDING,
            "document": self.document.document,
            "version": self.version,
            "source": self.document.source,
            "id": point.id,
            "page": point.page,
            "window": point.window,
            "span": list(point.span),
            "route": point.route,
            "metadata": dict(point.metadata),
            "flags": flags(point.metadata),
            **self._owner(),
        }
        if schema.page_vectors is not None:
            payload["windows"] = point.windows  # for a resize, which makes vectors of single windows anew
        words = None
        if point.window == 0:
            # Once a page: a long one has hundreds of windows.
            payload["text"] = point.text
            words = page_terms(point.text) if schema.words else None
        made = Point(identifier, vectors, payload, words)
        self.points.append(identifier)
        self.page_ids[point.id] = None
        return made

    def make_record(self) -> Point:
        """The document's record, which makes this version the valid one."""
        return Point(
            record_id(self.document.document, self.tenant),
            {},
            {
                "kind": "document",
                "document": self.document.document,
                "source": self.document.source,
                "version": self.version,
                "digest": self.document.digest,
                "points": len(self.points),
                "page_ids": list(self.page_ids),
                "complete": False,
                **self._owner(),
            },
        )

    def _owner(self) -> dict[str, str]:
        return {} if self.tenant is None else {TENANT_FIELD: self.tenant}
