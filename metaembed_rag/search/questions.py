"""Queries made from stored pages, for an index whose users' queries are not at hand."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

#: Words in a made query: the length of most queries people type.
WORDS = (5, 12)

_SENTENCE = re.compile(r"[^.!?\n]{20,300}")


def make_queries(texts: Iterable[str], seed: int = 0) -> list[str]:
    """One query a text that holds words: a stretch of 5 to 12 words from one of its sentences.

    Args:
        texts: of pages.
        seed: the same seed and texts give the same queries.
    """
    generator = random.Random(seed)  # noqa: S311 - a sample, not a secret
    queries = []
    for text in texts:
        sentences = _SENTENCE.findall(text) or [text]
        words = generator.choice(sentences).split()
        length = min(len(words), generator.randint(*WORDS))
        start = generator.randint(0, len(words) - length)
        if length:
            queries.append(" ".join(words[start : start + length]))
    return queries
