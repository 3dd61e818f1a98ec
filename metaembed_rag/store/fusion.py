"""Two rankings of pages made one: by Meta Tokens and by words.

Scores of both kinds are scaled to lie between 0 and 1 over the candidates of either, and added: relative orders alone
would forget how sure each is (Bruch, Gai and Ingber 2023, arXiv 2210.11934, compare the two ways).
"""

from __future__ import annotations

from collections.abc import Mapping

#: Pages that each of the two rankings puts forward, at least.
CANDIDATES = 30
#: What words count, beside Meta Tokens: chosen on the development benchmarks (benchmarks/mini/LOG.md, entry 19).
WORDS_SHARE = 0.25


def candidates(limit: int) -> int:
    """Pages that each ranking puts forward for so many results."""
    return max(CANDIDATES, limit)


def fuse(meta: Mapping[str, float], words: Mapping[str, float]) -> dict[str, float]:
    """A score from 0 to 1 for every page of ``meta``, by its id.

    Args:
        meta: scores by Meta Tokens.
        words: scores by words; a page that is not there shares no word with the query, which is a score of 0.
    """
    heard = {page: words.get(page, 0.0) for page in meta}
    seen, heard = _scaled(meta), _scaled(heard)
    return {page: (1 - WORDS_SHARE) * seen[page] + WORDS_SHARE * heard[page] for page in meta}


def _scaled(scores: Mapping[str, float]) -> dict[str, float]:
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    # Where all are alike, none is better than another.
    span = (high - low) or 1.0
    return {page: (score - low) / span for page, score in scores.items()}
