"""How anchored Meta Tokens divide a text: one for all of it, then three, twelve, forty-eight, ... for parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def divisions(tokens: int) -> list[tuple[int, int]]:
    """Ranks ``(first, end)`` of the Meta Tokens that part the text among them: 1 to 3, 4 to 15, 16 to 63, ..."""
    edges = [1]
    while edges[-1] < tokens:
        edges.append(min(edges[-1] * 4, tokens))
    return list(pairwise(edges))


def token_weights(weights: Sequence[float], tokens: int) -> list[float]:
    """One weight a Meta Token, of the first ``tokens``.

    Args:
        weights: of the first, then of each division.
        tokens: at most as many as the weights reach.
    """
    shared = ([weight] * (end - first) for weight, (first, end) in zip(weights[1:], divisions(tokens), strict=False))
    return [weights[0], *(weight for division in shared for weight in division)]
