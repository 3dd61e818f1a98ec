"""MetaEmbedVectorStore: a MetaEmbed index with the interface of a LangChain vector store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import run_in_executor
from langchain_core.vectorstores import VectorStore, VectorStoreRetriever
from typing_extensions import Self

from langchain_metaembed.arguments import open_index, refuse_unknown
from langchain_metaembed.documents import to_document
from langchain_metaembed.embeddings import MetaEmbedEmbeddings
from metaembed_rag.budget import Budget, BudgetLike
from metaembed_rag.errors import InputError
from metaembed_rag.index import MetaEmbedIndex

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed
    from metaembed_rag.hit import Hit

_SEARCH = ("k", "budget", "filter")
_THRESHOLD = "score_threshold"
_BY_THRESHOLD = "similarity_score_threshold"


class MetaEmbedVectorStore(VectorStore):
    """A MetaEmbed index as a LangChain vector store.

    Every search is ``MetaEmbedIndex.search``: it takes ``k``, ``budget`` and ``filter``, and refuses other keywords.
    In a filter "id", "source" and "page" are the hit's fields and other keys are metadata; for metadata keys of
    these names write "metadata.page". Files are indexed with ``store.index.add(...)``.

    A context manager. An index that the store opened from a path is closed with it; one that it was given stays
    open.

    Args:
        index: an index, or the path of one, which is made if it is missing.
        model: for a path: the model that embeds, as in MetaEmbedIndex; None is "mini".
        budget: for searches that name none: 4, (4, 64), "full"; see ``Budget.parse``.

    Raises:
        BudgetError: the budget is malformed.
        InputError: ``index`` is neither of the two, or a model is given with an open index.
    """

    def __init__(
        self,
        index: MetaEmbedIndex | str | os.PathLike[str],
        *,
        model: str | Path | MetaEmbed | None = None,
        budget: BudgetLike = "full",
    ) -> None:
        self.budget = Budget.parse(budget)
        self.index, self._opened = open_index(index, model, create=True)
        self._embeddings = MetaEmbedEmbeddings.from_index(self.index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index if the store opened it. Safe to call twice."""
        if self._opened:
            self.index.close()

    @property
    def embeddings(self) -> MetaEmbedEmbeddings:
        """The embeddings of the index's model."""
        return self._embeddings

    # -- writing ---------------------------------------------------------------------------------------

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Index texts. A text under an id that exists replaces the older one.

        Args:
            texts: what to index; long ones are embedded whole, window by window.
            metadatas: JSON values, one mapping a text.
            ids: one a text; None, for all or among others, derives an id from text and metadata.

        Returns:
            the ids, one a text.

        Raises:
            InputError: lengths differ, an id occurs twice, or a value is of the wrong type.
        """
        refuse_unknown("add_texts", kwargs, ("texts", "metadatas", "ids"))
        if isinstance(texts, str):
            raise InputError("add_texts takes a list of texts, not a single one: wrap it in a list")
        return list(self.index.add_texts(list(texts), ids=ids, metadatas=metadatas))

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents by id; ids that do not exist are no error.

        Returns:
            True: failures are raised.

        Raises:
            InputError: no ids are given.
        """
        refuse_unknown("delete", kwargs, ("ids",))
        if ids is None:
            raise InputError("delete needs ids; for all pages of a file use store.index.delete(source=...)")
        self.index.delete(ids)
        return True

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        index: MetaEmbedIndex | str | os.PathLike[str] = ":memory:",
        budget: BudgetLike = "full",
        **kwargs: Any,
    ) -> Self:
        """A store with these texts in it.

        Args:
            texts: what to index.
            embedding: MetaEmbedEmbeddings, whose model embeds; None for the index's own, or "mini".
            metadatas: JSON values, one mapping a text.
            ids: one a text.
            index: an index, or the path of one; the default is gone when the store is closed.
            budget: for searches that name none.

        Raises:
            InputError: the embedding is of another kind, or not the one of the index given.
        """
        refuse_unknown("from_texts", kwargs, ("texts", "embedding", "metadatas", "ids", "index", "budget"))
        store = cls(index, model=_model_for(embedding, index), budget=budget)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    # -- reading ---------------------------------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id, in the order given; ids that do not exist are left out."""
        return [to_document(hit) for hit in self.index.get(ids)]

    def similarity_search(
        self,
        query: str,
        k: int = 4,
        *,
        budget: BudgetLike | None = None,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """The documents that answer a query, best first.

        Args:
            query: a text.
            k: documents at most.
            budget: Meta Tokens that take part; None is the store's budget.
            filter: as ``MetaEmbedIndex.search`` takes it.

        Raises:
            BudgetError: the budget is malformed or not stored in the index.
            FilterError: the filter is malformed.
            InputError: the query is empty, or k is below 1.
            TypeError: an unknown keyword.
        """
        return [to_document(hit) for hit in self._search(query, k, budget, filter, kwargs)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        budget: BudgetLike | None = None,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        """As ``similarity_search``, with MaxSim: at most the number of query Meta Tokens; more is better."""
        return [(to_document(hit), hit.score) for hit in self._search(query, k, budget, filter, kwargs)]

    def as_retriever(self, **kwargs: Any) -> VectorStoreRetriever:
        """A retriever on this store.

        Args:
            **kwargs: ``k``, ``budget`` and ``filter`` for every search, directly or in ``search_kwargs``;
                ``search_type="similarity_score_threshold"`` with ``score_threshold`` keeps what is relevant enough;
                ``tags``, ``metadata`` and ``name`` are for tracing.

        Raises:
            BudgetError: the budget is malformed.
            NotImplementedError: ``search_type="mmr"``.
            TypeError: an unknown keyword, or one that is given twice.
        """
        search = {key: kwargs.pop(key) for key in (*_SEARCH, _THRESHOLD) if key in kwargs}
        more = dict(kwargs.pop("search_kwargs", None) or {})
        rest = ("search_type", "search_kwargs", "tags", "metadata", "name")
        refuse_unknown("as_retriever", kwargs.keys() - set(rest), (*_SEARCH, _THRESHOLD, *rest))
        refuse_unknown("as_retriever's search_kwargs", more.keys() - {*_SEARCH, _THRESHOLD}, (*_SEARCH, _THRESHOLD))
        if twice := sorted(search.keys() & more.keys()):
            raise TypeError(f"as_retriever got {', '.join(twice)} twice: directly and in search_kwargs")
        search.update(more)
        search_type = kwargs.get("search_type", "similarity")
        if search_type == "mmr":
            raise NotImplementedError("search_type='mmr' is not available on a MetaEmbed index: use 'similarity'")
        if _THRESHOLD in search and search_type != _BY_THRESHOLD:
            raise TypeError(f"{_THRESHOLD} has an effect only with search_type={_BY_THRESHOLD!r}: pass that too")
        if search.get("budget") is not None:
            Budget.parse(search["budget"])
        return super().as_retriever(search_kwargs=search, **kwargs)

    def _search(
        self, query: str, k: int, budget: BudgetLike | None, condition: dict[str, Any] | None, unknown: dict[str, Any]
    ) -> list[Hit]:
        refuse_unknown("a similarity search", unknown, ("query", *_SEARCH))
        return self.index.search(query, budget=self.budget if budget is None else budget, top_k=k, filter=condition)

    # -- relevance -------------------------------------------------------------------------------------

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return partial(_relevance, query_tokens=self.budget.query)

    def _similarity_search_with_relevance_scores(
        self,
        query: str,
        k: int = 4,
        *,
        budget: BudgetLike | None = None,
        filter: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[tuple[Document, float]]:
        # LangChain's own would map every score with the store's budget, also where the call names another.
        hits = self._search(query, k, budget, filter, kwargs)
        return [(to_document(hit), _relevance(hit.score, query_tokens=hit.budget.query)) for hit in hits]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> list[tuple[Document, float]]:
        return await run_in_executor(None, self._similarity_search_with_relevance_scores, query, k, **kwargs)


def _relevance(score: float, *, query_tokens: int) -> float:
    """MaxSim, a sum of ``query_tokens`` cosines, mapped from [-q, q] to [0, 1]."""
    return min(1.0, max(0.0, (1.0 + score / query_tokens) / 2.0))


def _model_for(embedding: Embeddings | None, index: MetaEmbedIndex | str | os.PathLike[str]) -> MetaEmbed | None:
    if embedding is None:
        return None
    if not isinstance(embedding, MetaEmbedEmbeddings):
        raise InputError(
            f"a MetaEmbed index holds several vectors a page and cannot be filled by {type(embedding).__name__}: "
            "pass MetaEmbedEmbeddings, or None"
        )
    if not isinstance(index, MetaEmbedIndex):
        return embedding.model
    if embedding.model.fingerprint != index.model.fingerprint:
        raise InputError("the embedding and the index have different models: leave embedding out (None)")
    return None
