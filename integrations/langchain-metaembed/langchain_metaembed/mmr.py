"""Maximal marginal relevance over pages of many vectors: near the query, and unlike each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import InputError

FloatArray = npt.NDArray[np.float32]


def check_lambda(value: object) -> float:
    """The weight of relevance against diversity.

    Raises:
        InputError: no number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"lambda_mult is a number from 0 (diverse) to 1 (relevant), not {value!r}")
    return float(value)


def select_diverse(relevance: Sequence[float], pages: Sequence[FloatArray], *, k: int, lambda_mult: float) -> list[int]:
    """Pick up to ``k`` pages, each the one with the greatest marginal relevance to those before it.

    ``argmax_i  lambda * relevance(i) - (1 - lambda) * max over the chosen j of overlap(i, j)`` (Carbonell and
    Goldstein, SIGIR 1998), where ``overlap(i, j)`` is MaxSim divided by the rows of i: how much of page i page j holds.
    Pages of one unit vector are ordered as by langchain_core's ``maximal_marginal_relevance``.

    Args:
        relevance: of each page to the query: MaxSim divided by the query Meta Tokens, a mean cosine.
        pages: their vectors, each float32 ``[rows, dim]`` of unit length; at least one row.
        k: pages at most.
        lambda_mult: from 0 (diverse) to 1 (relevant).

    Returns:
        positions in ``pages``, in the order they were picked.
    """
    if not pages:
        return []
    scores = np.asarray(relevance, dtype=np.float64)
    rows = np.concatenate(pages)
    lengths = np.array([len(page) for page in pages])
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    overlap = np.full(len(pages), -np.inf)
    waiting = np.ones(len(pages), dtype=bool)
    chosen = [int(np.argmax(scores))]
    while len(chosen) < min(k, len(pages)):
        newest = chosen[-1]
        waiting[newest] = False
        held = (rows @ pages[newest].T).max(axis=1)
        overlap = np.maximum(overlap, np.add.reduceat(held, starts) / lengths)
        gain = lambda_mult * scores - (1 - lambda_mult) * overlap
        chosen.append(int(np.argmax(np.where(waiting, gain, -np.inf))))
    return chosen
