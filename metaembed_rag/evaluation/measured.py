"""What a way of searching gives and costs on one benchmark."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from metaembed_rag.errors import InputError
from metaembed_rag.metrics import Figures, pool

Item = TypeVar("Item")

#: Queries timed one by one.
TIMED = 30


@dataclass(frozen=True, slots=True)
class Measured:
    """Quality, storage and time.

    Attributes:
        figures: means over the queries.
        page_bytes: bytes of vectors (or of BM25's postings) a document or page, before compression.
        query_ms: median milliseconds of one query by itself: encoding, and an exact scan of all documents.
    """

    figures: Figures
    page_bytes: float
    query_ms: float

    def to_json(self) -> dict[str, Any]:
        """All figures, flat."""
        return {**asdict(self.figures), "page_bytes": round(self.page_bytes), "query_ms": round(self.query_ms, 2)}


def median_ms(search: Callable[[Item], object], queries: Sequence[Item]) -> float:
    """Median milliseconds of ``search`` over the first queries; the first call is not counted."""
    times = []
    search(queries[0])
    for query in queries[:TIMED]:
        begun = time.perf_counter()
        search(query)
        times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times)


def pool_measured(parts: Sequence[tuple[Measured, int]]) -> Measured:
    """Join what was measured on parts of a benchmark.

    Args:
        parts: each with its number of documents, which weigh the bytes; queries weigh the rest.

    Raises:
        InputError: there is none.
    """
    if not parts:
        raise InputError("nothing measured to pool")
    documents = sum(count for _, count in parts)
    queries = sum(one.figures.queries for one, _ in parts)
    return Measured(
        pool([one.figures for one, _ in parts]),
        sum(one.page_bytes * count for one, count in parts) / documents,
        sum(one.query_ms * one.figures.queries for one, _ in parts) / queries,
    )
