"""What storage costs: vectors as they are stored against those that the model makes anew from the same text."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metaembed_rag.scoring import maxsim
from metaembed_rag.search.query import FloatArray

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed
    from metaembed_rag.store.schema import Schema

#: Pages embedded again.
SAMPLE = 24


@dataclass(frozen=True, slots=True)
class PrecisionLoss:
    """Scores by stored vectors against scores by all vectors in float32, over a sample of pages.

    Attributes:
        precision: how the index stores vectors.
        score_error: mean of ``|stored - exact| / |exact|`` over queries and pages.
        overlap: mean share of a query's best quarter of the sample by exact scores that is among its best quarter by
            stored ones, 0 to 1.
        pages: in the sample.
        page_vectors: how many it keeps of a page at most, see ``Schema``; None is all.
    """

    precision: str
    score_error: float
    overlap: float
    pages: int
    page_vectors: int | None = None


def measure_precision(
    schema: Schema,
    model: MetaEmbed,
    texts: Mapping[str, str],
    stored: Mapping[str, FloatArray],
    queries: Sequence[FloatArray],
) -> PrecisionLoss | None:
    """Embed pages again and compare what queries score.

    Args:
        schema: of the index.
        model: the index's.
        texts: of the sampled pages, by id.
        stored: their stored vectors ``[windows, vectors, dim]`` of the widest group, by id.
        queries: query Meta Tokens ``[q, dim]``.

    Returns:
        None where the model looks at pages, whose pictures are not stored, or where nothing was sampled.
    """
    pages = [page for page, text in texts.items() if page in stored and text.strip()]
    if model.sees or not pages or not queries:
        return None
    kept = [stored[page][:1] for page in pages]
    made = model.encode_documents([model.windows(texts[page])[0].text for page in pages])[:, : schema.groups[-1]]
    wanted = max(1, len(pages) // 4)
    errors, overlaps = [], []
    for rows in queries:
        exact = maxsim(rows[None], made)[0]
        found = np.array([maxsim(rows[None], window)[0, 0] for window in kept])
        errors.append(float(np.mean(np.abs(found - exact) / np.maximum(np.abs(exact), 1e-6))))
        best = [set(np.argsort(-scores, kind="stable")[:wanted].tolist()) for scores in (exact, found)]
        overlaps.append(len(best[0] & best[1]) / wanted)
    return PrecisionLoss(
        schema.precision,
        round(statistics.fmean(errors), 6),
        round(statistics.fmean(overlaps), 6),
        len(pages),
        schema.page_vectors,
    )
