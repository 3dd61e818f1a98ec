"""The searches of the vector store: LangChain's names for MetaEmbedIndex.search, sync and async."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_metaembed.arguments import SEARCH_OPTIONS, Dial, check_threshold, refuse_unknown
from langchain_metaembed.documents import to_document, to_documents
from langchain_metaembed.mmr import FloatArray, check_lambda, select_diverse
from langchain_metaembed.pictures import Picture, open_picture
from metaembed_rag.budget import FULL, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.index import MetaEmbedIndex

if TYPE_CHECKING:
    from metaembed_rag.hit import Hit, Hits

#: A flat embedding (``dim`` numbers: the first Meta Token), or the Meta Tokens of a query ``[q, dim]``.
Vectors: TypeAlias = "Sequence[float] | Sequence[Sequence[float]] | FloatArray"

Scores: TypeAlias = "list[tuple[Document, float]]"


class MetaEmbedSearches(VectorStore):
    """What a MetaEmbedVectorStore finds. Every search is one of the index, which decides everything.

    All take ``k`` (documents at most, 4 by default) and these options:

    - ``budget``: Meta Tokens that take part: 4, (4, 64), "full"; see ``Budget.parse``;
    - ``latency_ms``: milliseconds that a search may take, instead of a budget;
    - ``filter``: as ``MetaEmbedIndex.search`` takes it. "id", "source" and "page" are the hit's fields and other keys
      are metadata;
    - ``hybrid``: find documents by their words too; the index must keep them (``MetaEmbedIndex(..., hybrid=True)``),
      and then does so unless this is False.

    Scores are MaxSim: at most the number of query Meta Tokens, and more is better. Relevance is the same, mapped to
    [0, 1]; scores of a hybrid search lie there already. Other keywords are refused with an KeywordError, a malformed
    budget with a BudgetError, a malformed filter with a FilterError, and everything else that cannot be searched for
    with an InputError.
    """

    index: MetaEmbedIndex
    _dial: Dial

    # -- by text ---------------------------------------------------------------------------------------

    def similarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        """The documents that answer a query, best first."""
        return to_documents(self._find(query, k, options))

    async def asimilarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        """As ``similarity_search``."""
        return to_documents(await self._afind(query, k, options))

    def similarity_search_with_score(self, query: str, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search``, each document with its score."""
        return _scored(self._find(query, k, options))

    async def asimilarity_search_with_score(self, query: str, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search_with_score``."""
        return _scored(await self._afind(query, k, options))

    # -- by relevance ----------------------------------------------------------------------------------

    def similarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search``, each document with its relevance from 0 to 1.

        ``score_threshold`` drops documents below it.
        """
        options["score_threshold"] = check_threshold(options.get("score_threshold"))
        return super().similarity_search_with_relevance_scores(query, k, **options)

    async def asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search_with_relevance_scores``."""
        options["score_threshold"] = check_threshold(options.get("score_threshold"))
        return await super().asimilarity_search_with_relevance_scores(query, k, **options)

    # LangChain's own would map every score with the store's budget, also where the call names another.
    def _similarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scores:
        return _relevant(self._find(query, k, options))

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **options: Any) -> Scores:
        return _relevant(await self._afind(query, k, options))

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return partial(relevance, query_tokens=Budget.parse(self._dial.budget or FULL).query)

    # -- by vector and by picture ----------------------------------------------------------------------

    def similarity_search_by_vector(self, embedding: Vectors, k: int = 4, **options: Any) -> list[Document]:
        """The documents nearest to an embedding.

        Args:
            embedding: one vector, as MetaEmbedEmbeddings.embed_query gives it, is compared with the first Meta Token
                of the pages: the budget is (1, 1). Several, as embed_queries_multi gives them for one query, are
                compared at the budget of as many, or with all that a page has where the index keeps fewer.
            k: documents at most.
            **options: see the class.

        Raises:
            InputError: no finite vectors of the index's width.
        """
        return to_documents(self._find(*self._by_vector(embedding, k, options)))

    async def asimilarity_search_by_vector(self, embedding: Vectors, k: int = 4, **options: Any) -> list[Document]:
        """As ``similarity_search_by_vector``."""
        return to_documents(await self._afind(*self._by_vector(embedding, k, options)))

    def similarity_search_with_score_by_vector(self, embedding: Vectors, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search_by_vector``, each document with its score."""
        return _scored(self._find(*self._by_vector(embedding, k, options)))

    async def asimilarity_search_with_score_by_vector(self, embedding: Vectors, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search_with_score_by_vector``."""
        return _scored(await self._afind(*self._by_vector(embedding, k, options)))

    def similarity_search_by_image(self, image: Picture, k: int = 4, **options: Any) -> list[Document]:
        """The documents most like a picture.

        Args:
            image: a PIL picture; the path or ``file:`` URI of a picture or PDF, of which the first page counts; or a
                base64 ``data:`` URI.
            k: documents at most.
            **options: see the class.

        Raises:
            InputError: nothing of these.
            DocumentError: the file cannot be read.
        """
        return to_documents(self._find(open_picture(image, self.index.limits), k, options))

    async def asimilarity_search_by_image(self, image: Picture, k: int = 4, **options: Any) -> list[Document]:
        """As ``similarity_search_by_image``."""
        return to_documents(await self._afind(await self._aopen(image), k, options))

    def similarity_search_with_score_by_image(self, image: Picture, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search_by_image``, each document with its score."""
        return _scored(self._find(open_picture(image, self.index.limits), k, options))

    async def asimilarity_search_with_score_by_image(self, image: Picture, k: int = 4, **options: Any) -> Scores:
        """As ``similarity_search_with_score_by_image``."""
        return _scored(await self._afind(await self._aopen(image), k, options))

    # -- by relevance and diversity --------------------------------------------------------------------

    def max_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """Documents that answer a query and differ from each other, in the order they were picked.

        Args:
            query: a text.
            k: documents at most.
            fetch_k: the best so many documents are picked from; ``k`` where that is more.
            lambda_mult: from 0 (diverse) to 1 (relevant).
            **options: see the class.

        Raises:
            InputError: ``lambda_mult`` lies outside.
        """
        return self._pick(query, k, fetch_k, lambda_mult, options)

    async def amax_marginal_relevance_search(
        self, query: str, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """As ``max_marginal_relevance_search``."""
        return await self._apick(query, k, fetch_k, lambda_mult, options)

    def max_marginal_relevance_search_by_vector(
        self, embedding: Vectors, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """As ``max_marginal_relevance_search``, for an embedding as ``similarity_search_by_vector`` takes it."""
        rows, k, options = self._by_vector(embedding, k, options)
        return self._pick(rows, k, fetch_k, lambda_mult, options)

    async def amax_marginal_relevance_search_by_vector(
        self, embedding: Vectors, k: int = 4, fetch_k: int = 20, lambda_mult: float = 0.5, **options: Any
    ) -> list[Document]:
        """As ``max_marginal_relevance_search_by_vector``."""
        rows, k, options = self._by_vector(embedding, k, options)
        return await self._apick(rows, k, fetch_k, lambda_mult, options)

    # -- inside ----------------------------------------------------------------------------------------

    def _request(self, query: Any, k: int, options: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the index's search."""
        refuse_unknown("a search", options, ("k", *SEARCH_OPTIONS))
        asked = Dial.of(options.get("budget"), options.get("latency_ms"))
        rest = {name: options.get(name) for name in ("filter", "hybrid")}
        return {"query": query, "top_k": k, **rest, **(asked or self._dial).arguments()}

    def _by_vector(self, embedding: Vectors, k: int, options: dict[str, Any]) -> tuple[FloatArray, int, dict[str, Any]]:
        """Query, ``k`` and options for an embedding: at the budget of its rows, unless the options name one."""
        try:
            rows = np.asarray(embedding, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"an embedding is a list of numbers, or one list a Meta Token: {error}") from error
        if rows.ndim == 1:
            rows = rows[np.newaxis]
        if rows.ndim != 2 or not len(rows):
            raise InputError(f"an embedding is one vector or [Meta Tokens, dim], not of shape {list(rows.shape)}")
        if not Dial.of(options.get("budget"), options.get("latency_ms")):
            rung = Budget.parse(min(len(rows), FULL.query))
            stored = self.index.document_tokens[-1]
            options = {**options, "budget": replace(rung, document=min(rung.document, stored))}
        return rows, k, options

    def _find(self, query: Any, k: int, options: Mapping[str, Any]) -> Hits:
        return self.index.search(**self._request(query, k, options))

    async def _afind(self, query: Any, k: int, options: Mapping[str, Any]) -> Hits:
        return await self.index.asearch(**self._request(query, k, options))

    async def _aopen(self, image: Picture) -> Any:
        return await asyncio.to_thread(open_picture, image, self.index.limits)

    def _pick(self, query: Any, k: int, fetch_k: int, weight: float, options: Mapping[str, Any]) -> list[Document]:
        weight = check_lambda(weight)
        hits = self._find(query, _candidates(k, fetch_k), options)
        return _diverse(hits, self.index.vectors([hit.id for hit in hits]), k, weight)

    async def _apick(
        self, query: Any, k: int, fetch_k: int, weight: float, options: Mapping[str, Any]
    ) -> list[Document]:
        weight = check_lambda(weight)
        hits = await self._afind(query, _candidates(k, fetch_k), options)
        vectors = await asyncio.to_thread(self.index.vectors, [hit.id for hit in hits])
        return await asyncio.to_thread(_diverse, hits, vectors, k, weight)


def relevance(score: float, *, query_tokens: int) -> float:
    """MaxSim, a sum of ``query_tokens`` cosines, mapped from [-q, q] to [0, 1]."""
    return min(1.0, max(0.0, (1.0 + score / query_tokens) / 2.0))


def _scored(hits: Sequence[Hit]) -> Scores:
    return [(to_document(hit), hit.score) for hit in hits]


def _relevant(hits: Hits) -> Scores:
    if hits.hybrid:
        return _scored(hits)
    return [(to_document(hit), relevance(hit.score, query_tokens=hit.budget.query)) for hit in hits]


def _candidates(k: int, fetch_k: int) -> int:
    for name, value in (("k", k), ("fetch_k", fetch_k)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
    return max(k, fetch_k)


def _diverse(hits: Hits, vectors: Mapping[str, FloatArray], k: int, weight: float) -> list[Document]:
    # A page that was deleted since the search has no vectors any more.
    present = [hit for hit in hits if hit.id in vectors]
    pages = [vectors[hit.id][:, : hit.budget.document].reshape(-1, vectors[hit.id].shape[-1]) for hit in present]
    scores = [hit.score if hits.hybrid else hit.score / hit.budget.query for hit in present]
    return [to_document(present[place]) for place in select_diverse(scores, pages, k=k, lambda_mult=weight)]
