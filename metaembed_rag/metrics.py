"""Ranking metrics: nDCG, precision, recall and reciprocal rank, for one query and over many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import InputError

Grades = Mapping[str, float]


def ndcg(ranked: Sequence[str], relevant: Grades, k: int) -> float:
    """Normalised discounted cumulative gain, with the grade itself as gain.

    ``DCG@k = sum_{i=1..k} grade(i) / log2(i + 1)``; ``nDCG@k`` divides it by the DCG@k of the best possible
    ranking (Järvelin and Kekäläinen 2002; the linear gain is trec_eval's ``ndcg_cut``).

    Args:
        ranked: document ids, best first, each once.
        relevant: grade of each relevant document; others count 0.
        k: ranks that count.

    Returns:
        0 to 1.

    Raises:
        InputError: ``k`` below 1, a document ranked twice, or no document with a grade above 0.
    """
    gains = _gains(ranked, relevant, k)
    ideal = np.sort(np.fromiter(relevant.values(), dtype=np.float64))[::-1][:k]
    return float(_dcg(gains) / _dcg(ideal))


def precision(ranked: Sequence[str], relevant: Grades, k: int) -> float:
    """``|relevant among the first k| / k``; a ranking shorter than ``k`` is filled up with misses.

    Args and errors are those of ``ndcg``.
    """
    return float(np.count_nonzero(_gains(ranked, relevant, k)) / k)


def recall(ranked: Sequence[str], relevant: Grades, k: int) -> float:
    """``|relevant among the first k| / |relevant|``.

    Args and errors are those of ``ndcg``.
    """
    total = sum(grade > 0 for grade in relevant.values())
    return float(np.count_nonzero(_gains(ranked, relevant, k)) / total)


def reciprocal_rank(ranked: Sequence[str], relevant: Grades, k: int | None = None) -> float:
    """``1 / rank`` of the first relevant document, 0 where none is ranked (Voorhees 1999, TREC-8 QA).

    Args:
        ranked: document ids, best first, each once.
        relevant: grade of each relevant document.
        k: ranks that count; None counts all of them.

    Raises:
        InputError: as for ``ndcg``.
    """
    hits = np.flatnonzero(_gains(ranked, relevant, max(1, len(ranked)) if k is None else k))
    return 1.0 / (int(hits[0]) + 1) if len(hits) else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """Means over queries, each 0 to 1.

    Attributes:
        ndcg5, ndcg10: nDCG at 5 and 10.
        p1: precision at 1.
        r5, r10: recall at 5 and 10.
        mrr: mean reciprocal rank over the ranking as given.
        queries: how many queries were averaged.
    """

    ndcg5: float
    ndcg10: float
    p1: float
    r5: float
    r10: float
    mrr: float
    queries: int


def average(rankings: Iterable[tuple[Sequence[str], Grades]]) -> Figures:
    """Every metric, averaged over ``(ranked, relevant)`` of each query.

    Raises:
        InputError: there is no query, or one is malformed as for ``ndcg``.
    """
    rows = [
        (
            ndcg(ranked, relevant, 5),
            ndcg(ranked, relevant, 10),
            precision(ranked, relevant, 1),
            recall(ranked, relevant, 5),
            recall(ranked, relevant, 10),
            reciprocal_rank(ranked, relevant),
        )
        for ranked, relevant in rankings
    ]
    if not rows:
        raise InputError("no rankings to average: the benchmark has no queries")
    means = [float(mean) for mean in np.mean(np.asarray(rows), axis=0)]
    return Figures(means[0], means[1], means[2], means[3], means[4], means[5], len(rows))


def pool(parts: Sequence[Figures]) -> Figures:
    """The figures of several benchmarks as if their queries had been averaged together.

    Raises:
        InputError: there is none.
    """
    if not parts:
        raise InputError("no figures to pool")
    counts = [part.queries for part in parts]
    means = {
        item.name: float(np.average([getattr(part, item.name) for part in parts], weights=counts))
        for item in fields(Figures)
        if item.name != "queries"
    }
    return Figures(**means, queries=sum(counts))


def _gains(ranked: Sequence[str], relevant: Grades, k: int) -> npt.NDArray[np.float64]:
    if isinstance(k, bool) or k < 1:
        raise InputError(f"k counts ranks and is at least 1, not {k!r}")
    if len(set(ranked)) != len(ranked):
        raise InputError("a ranking names each document once; this one repeats a document")
    if not any(grade > 0 for grade in relevant.values()) or any(grade < 0 for grade in relevant.values()):
        raise InputError("grades are 0 or more, and a query needs at least one above 0")
    return np.asarray([relevant.get(document, 0.0) for document in ranked[:k]], dtype=np.float64)


def _dcg(gains: npt.NDArray[np.float64]) -> float:
    return float(np.sum(gains / np.log2(np.arange(2, len(gains) + 2))))
