"""What an engine does. It translates; it does not decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import StoreError
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.schema import Schema, vector_name
from metaembed_rag.store.words import Terms

FloatArray = npt.NDArray[np.float32]

#: Fields of a point that ``Engine.similarities`` gives.
MATCHED_FIELDS = ["id", "version", "window"]

#: Ids in one call: keeps messages small on a server.
IDS_AT_ONCE = 1000


class RefusedError(StoreError):
    """The engine understood a call and refused it: asking again as it is will not help."""


@dataclass(frozen=True, slots=True)
class Point:
    """A stored point: ``vectors`` by name, ``[dim]`` or ``[rows, dim]``, none for a record; ``words`` of a page."""

    id: str
    vectors: Mapping[str, FloatArray]
    payload: Mapping[str, Any]
    words: Terms | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A point found by a search."""

    id: str
    score: float
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Matched:
    """A point with its similarities ``[rows]`` to each query row; ``payload`` holds its page's id and its window."""

    id: str
    payload: Mapping[str, Any]
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a search: score by a named vector, keep the best.

    Attributes:
        vector: name of the vector.
        query: ``[dim]`` for the dense vector, else ``[query tokens, dim]``.
        limit: how many points go on.
        exact: scan rather than use the graph.
        hnsw_ef: candidates while searching the graph.
        quantized: score by the codes that a "4bit" index keeps beside its vectors; elsewhere this changes nothing.
            It overrules ``exact``: ``meta_1`` is then found through the graph where there is one, the
            multivectors, which have none, are scanned.
        oversampling: so many times ``limit`` points are picked by codes before they are rescored; at least 1.
        rescore: order the points that the codes picked by the stored vectors, and return scores of these.
        whole: only for the last stage: rank the best pages found by all of their windows, each query row by the best
            of them; ``query`` is ``[rows, dim]`` for ``meta_1`` too. The store's own step: engines never see it.
    """

    vector: str
    query: FloatArray
    limit: int
    exact: bool = True
    hnsw_ef: int | None = None
    quantized: bool = False
    oversampling: float | None = None
    rescore: bool = True
    whole: bool = False


class Engine(Protocol):
    """A collection in Qdrant. Every failure is a StoreError.

    Attributes:
        name: for people.
        concurrent: calls from several threads may overlap.
        batch_bytes: bytes of vectors and text one ``upsert`` may carry.
        uploads: calls of ``upsert`` that may overlap.
    """

    name: str
    concurrent: bool
    batch_bytes: int
    uploads: int

    def exists(self) -> bool:
        """Whether the collection is there."""

    def create(self, schema: Schema, record: Point) -> None:
        """Make the collection with its first point."""

    def upsert(self, points: Sequence[Point]) -> None:
        """Write points; those with the same id are replaced."""

    def create_vectors(self, schema: Schema, groups: Sequence[int]) -> None:
        """Make named vectors for groups, which no point has yet; those that exist are kept."""

    def drop_vectors(self, groups: Sequence[int]) -> None:
        """Drop the named vectors of groups from every point and give their space back; unknown ones are fine."""

    def update_vectors(self, vectors: Mapping[str, Mapping[str, FloatArray]]) -> None:
        """Set named vectors of existing points, by point id; their other vectors stay."""

    def set_payload(self, payload: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Set payload fields of points."""

    def delete(self, filter: Filter) -> None:
        """Delete all points that match; an empty filter is refused."""

    def delete_ids(self, ids: Sequence[str]) -> None:
        """Delete points by id."""

    def retrieve(self, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Payloads by point id; absent points are absent."""

    def vectors(self, ids: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, FloatArray]]:
        """Named vectors by point id, ``[rows, dim]`` each; absent points and vectors are absent."""

    def scroll(self, filter: Filter, fields: Sequence[str] | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every matching point's id and payload (only ``fields`` of it, if given)."""

    def count(self, filter: Filter) -> int:
        """How many points match, exactly."""

    def query(self, stages: Sequence[Stage], filter: Filter, limit: int) -> list[Scored]:
        """Run stages, first to last; the filter applies in every one."""

    def query_words(self, words: Terms, filter: Filter, limit: int) -> dict[str, float]:
        """BM25 of the pages that share words with a query, by page id, best first; the collection keeps words."""

    def similarities(self, vector: str, rows: FloatArray, filter: Filter, limit: int) -> list[Matched] | None:
        """Each query row's largest dot product with the rows of a named vector, for every point that matches.

        By stored vectors, never by codes, and in one call where there can be one.

        Args:
            vector: its name.
            rows: ``[rows, dim]``.
            filter: which points.
            limit: points at most.

        Returns:
            None if ``limit`` points match or more.
        """

    def optimize(self) -> None:
        """Build graphs and reclaim space, where that is explicit."""

    def size_bytes(self) -> int | None:
        """Bytes on disk, or None where that cannot be told."""

    def close(self) -> None:
        """Write to disk and let go."""


def as_arrays(vectors: Any) -> dict[str, FloatArray]:
    """Named vectors as engines return them, each as float32 ``[rows, dim]``."""
    return {name: np.atleast_2d(np.asarray(rows, dtype=np.float32)) for name, rows in (vectors or {}).items()}


def one_by_one(vector: str, rows: FloatArray) -> list[Stage]:
    """A stage for each query row: the dense vector is asked with ``[dim]``, multivectors with ``[1, dim]``."""
    return [Stage(vector, row if vector == vector_name(1) else row[None], 0) for row in rows]


def join_rows(answers: Sequence[Sequence[Any]], limit: int) -> list[Matched] | None:
    """What a library answered to each query row, the first one with payloads, as ``Engine.similarities`` gives it.

    A point that is not in every answer is left out: it was written or deleted in between.
    """
    if any(len(answer) >= limit for answer in answers):
        return None
    # Each id is read and hashed as seldom as can be: both take longer than the engine's own work.
    places = {hit.id: place for place, hit in enumerate(answers[0])}
    scores = np.full((len(places), len(answers)), np.nan, dtype=np.float32)
    for row, answer in enumerate(answers):
        for hit in answer:
            place = places.get(hit.id)
            if place is not None:
                scores[place, row] = hit.score
    everywhere = np.asarray(np.isfinite(scores).all(axis=1))
    return [
        Matched(str(hit.id), hit.payload or {}, row)
        for hit, row, known in zip(answers[0], scores, everywhere, strict=True)
        if known
    ]


def chunks(values: Sequence[Any]) -> Iterator[list[Any]]:
    """``values``, at most ``IDS_AT_ONCE`` of them at once."""
    for start in range(0, len(values), IDS_AT_ONCE):
        yield list(values[start : start + IDS_AT_ONCE])
