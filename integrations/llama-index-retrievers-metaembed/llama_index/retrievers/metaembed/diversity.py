"""Maximal marginal relevance by LlamaIndex's own rule, over pages of many Meta Tokens."""

from __future__ import annotations

from llama_index.core.indices.query.embedding_utils import get_top_k_mmr_embeddings
from llama_index.retrievers.metaembed.flat import FloatArray

from metaembed_rag.errors import InputError
from metaembed_rag.hit import Hit, Hits
from metaembed_rag.scoring import maxsim


def check_threshold(*values: object) -> float:
    """``mmr_threshold``, if one of ``values`` says it; else 0.5, LlamaIndex's default.

    Raises:
        InputError: no number from 0 to 1, or two that differ.
    """
    given = [value for value in values if value is not None] or [0.5]
    value = given[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1 or len(set(given)) > 1:
        raise InputError(f"mmr_threshold is one number from 0 (unlike each other) to 1 (relevant only), not {given}")
    return float(value)


def pick_diverse(
    query: FloatArray, hits: Hits, vectors: dict[str, FloatArray], *, top_k: int, threshold: float
) -> list[tuple[Hit, float]]:
    """Pages near the query and unlike each other, in the order they are picked, with their marginal relevance.

    Similarity is MaxSim divided by the first side's Meta Tokens, a mean cosine, of the best pair of windows. How near
    the query a page of a hybrid search is, its score says, in which its words have their part.

    Args:
        query: ``[q, dim]``, as many rows as the budget has.
        hits: candidates, all of one budget.
        vectors: their Meta Tokens ``[windows, document tokens, dim]`` by id.
        top_k: pages at most.
        threshold: see ``check_threshold``.
    """
    kept = [hit for hit in hits if hit.id in vectors]
    if not kept:
        return []
    # LlamaIndex takes lists of numbers, and hands them to the similarity function as they are.
    pages = [vectors[hit.id][:, : hit.budget.document] for hit in kept]
    asked = query[None]
    near = {id(page): hit.score for page, hit in zip(pages, kept, strict=True)}

    def similarity(first: FloatArray, second: FloatArray) -> float:
        return near[id(second)] if hits.hybrid and first is asked else _similarity(first, second)

    scores, places = get_top_k_mmr_embeddings(
        asked,  # type: ignore[arg-type]
        pages,  # type: ignore[arg-type]
        similarity_fn=similarity,
        similarity_top_k=top_k,
        mmr_threshold=threshold,
    )
    return [(kept[place], float(score)) for place, score in zip(places, scores, strict=True)]


def _similarity(first: FloatArray, second: FloatArray) -> float:
    return float(maxsim(first, second).max()) / len(first[0])
