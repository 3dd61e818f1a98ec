"""The words of pages and queries as sparse vectors, whose dot product is BM25.

A page's term weighs ``tf (k + 1) / (tf + k (1 - b + b length / mean length))``, a query's 1; the engine multiplies by
the inverse document frequency in its collection (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework:
BM25 and Beyond"). k is 1.2, b .75, and the mean length is taken to be 256 terms, as the library has them; words are
stemmed, and the commonest left out, as English is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import qdrant_edge as qe


@dataclass(frozen=True, slots=True)
class Terms:
    """A sparse vector: ``indices`` name the terms, ``weights`` are theirs."""

    indices: list[int]
    weights: list[float]


def page_terms(text: str) -> Terms | None:
    """The terms of a page; None where it has none."""
    return _terms(_bm25().embed_document(text))


def query_terms(text: str) -> Terms | None:
    """The terms of a query; None where it has none."""
    return _terms(_bm25().embed_query(text))


def _terms(vector: qe.SparseVector) -> Terms | None:
    return Terms(list(vector.indices), list(vector.values)) if len(vector.indices) else None


@cache
def _bm25() -> qe.Bm25:
    import qdrant_edge as qe

    return qe.Bm25()
