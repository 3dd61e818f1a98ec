"""Pair: a query, the text that answers it, and a hard negative; with the helpers every source shares."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+")
#: Between two sentences.
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")


@dataclass(frozen=True, slots=True)
class Pair:
    """One training example.

    Attributes:
        query: what a user types.
        positive: the text that answers it.
        negative: a similar text that does not; None where the source has none.
        source: where it comes from, as ``source/kind``.
        document: what both texts are pages of; "" where they are of no common one.
        pages: of it, on which the two texts stand, and others known to answer the query: no two pairs that share one
            come into the same batch.
    """

    query: str
    positive: str
    negative: str | None
    source: str
    document: str = ""
    pages: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in ("document", "pages") or value}


def squeeze(text: str) -> str:
    """Every run of white space becomes one space."""
    return _SPACE.sub(" ", text).strip()


def words(text: str) -> list[str]:
    """Lower-case word tokens."""
    return _WORD.findall(text.lower())


def clip(text: str, limit: int) -> str:
    """At most ``limit`` characters, cut at a space."""
    return text if len(text) <= limit else text[:limit].rsplit(" ", 1)[0]


def jaccard(first: Iterable[str], second: Iterable[str]) -> float:
    """Shared words over all words, 0 to 1."""
    a, b = set(first), set(second)
    return len(a & b) / len(a | b) if a or b else 0.0


def unique(pairs: Iterable[Pair], *, shortest_query: int) -> list[Pair]:
    """Drop queries that repeat (whatever their case and spacing) or have too few words."""
    seen: set[str] = set()
    kept = []
    for pair in pairs:
        key = squeeze(pair.query).lower()
        if key in seen or len(key.split()) < shortest_query or pair.negative == pair.positive:
            continue
        seen.add(key)
        kept.append(pair)
    return kept


def similar(
    profiles: Sequence[str],
    texts: Sequence[str],
    rng: random.Random,
    *,
    groups: Sequence[str] | None = None,
    profile_cap: float = 1.01,
    text_cap: float = 0.6,
    among: int = 4,
) -> list[int | None]:
    """For each text, another one that looks like it without being a near-duplicate.

    Args:
        profiles: what likeness is judged by (TF-IDF cosine), one a text.
        texts: the texts themselves; two whose word sets have a Jaccard index of ``text_cap`` or more are
            near-duplicates.
        rng: picks among the ``among`` most alike.
        groups: texts of one group are never each other's negative.
        profile_cap: cosines of this and above count as near-duplicates too.

    Returns:
        A position in ``texts``, or None where nothing fits.
    """
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    matrix = TfidfVectorizer(sublinear_tf=True, max_df=0.05 if len(profiles) > 5000 else 0.5, dtype=np.float32)
    vectors = matrix.fit_transform(profiles)
    bags = [frozenset(words(text)) for text in texts]
    chosen: list[int | None] = []
    for start in range(0, len(texts), 256):
        scores = (vectors[start : start + 256] @ vectors.T).toarray()
        scores[scores >= profile_cap] = 0.0
        wide = min(60, len(texts))
        top = np.argpartition(-scores, wide - 1, axis=1)[:, :wide]
        for row, candidates in enumerate(top):
            here = start + row
            ranked = sorted(map(int, candidates), key=lambda c: (-float(scores[row, c]), c))
            fits: list[int] = []
            for other in ranked:
                if other == here or scores[row, other] <= 0 or (groups and groups[other] == groups[here]):
                    continue
                if jaccard(bags[here], bags[other]) < text_cap:
                    fits.append(other)
                    if len(fits) == among:
                        break
            chosen.append(rng.choice(fits) if fits else None)
    return chosen
