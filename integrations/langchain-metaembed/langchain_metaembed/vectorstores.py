"""MetaEmbedVectorStore: a MetaEmbed index with the interface of a LangChain vector store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from typing_extensions import Self

from langchain_metaembed.arguments import Dial, IndexLike, open_index, refuse_unknown
from langchain_metaembed.documents import to_documents
from langchain_metaembed.embeddings import MetaEmbedEmbeddings
from langchain_metaembed.searches import MetaEmbedSearches
from langchain_metaembed.store_retriever import MetaEmbedStoreRetriever, read_arguments
from langchain_metaembed.writes import MetaEmbedWrites
from metaembed_rag.budget import BudgetLike, ParsedBudget
from metaembed_rag.errors import InputError
from metaembed_rag.index import MetaEmbedIndex

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed


class MetaEmbedVectorStore(MetaEmbedSearches, MetaEmbedWrites):
    """A MetaEmbed index as a LangChain vector store.

    Files are indexed with ``store.index.add(...)`` or ``add_images``. Everything works on the index itself, so what
    the store writes, the core and the LlamaIndex integration find.

    A context manager. An index that the store opened is closed with it; one that it was given stays open.

    Args:
        index: an index; the path of one, which is made if it is missing; or a mapping of MetaEmbedIndex's arguments.
        model: for a path: the model that embeds, as in MetaEmbedIndex; None is "mini".
        budget: for searches that name neither a budget nor a latency: 4, (4, 64), "full"; see ``Budget.parse``.
        latency_ms: the same as a time that a search may take; not both. With neither, all Meta Tokens take part.

    Raises:
        BudgetError: the budget is malformed.
        InputError: ``index`` is nothing of these, or arguments contradict each other.
    """

    def __init__(
        self,
        index: IndexLike,
        *,
        model: str | Path | MetaEmbed | None = None,
        budget: BudgetLike | None = None,
        latency_ms: float | None = None,
    ) -> None:
        self._dial = Dial.of(budget, latency_ms)
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

    @property
    def budget(self) -> ParsedBudget | None:
        """For searches that name neither a budget nor a latency."""
        return self._dial.budget

    @property
    def latency_ms(self) -> float | None:
        """For searches that name neither a budget nor a latency."""
        return self._dial.latency_ms

    # -- making ----------------------------------------------------------------------------------------

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        index: IndexLike = ":memory:",
        budget: BudgetLike | None = None,
        latency_ms: float | None = None,
        **kwargs: Any,
    ) -> Self:
        """A store with these texts in it.

        Args:
            texts: what to index.
            embedding: MetaEmbedEmbeddings, whose model embeds; None for the index's own, or "mini".
            metadatas: JSON values, one mapping a text.
            ids: one a text.
            index: as in the constructor; the default is gone when the store is closed.
            budget: as in the constructor.
            latency_ms: as in the constructor.
            **kwargs: nothing; what is misspelt is refused.

        Raises:
            InputError: the embedding is of another kind, or not the one of the index given.
            KeywordError: any other keyword.
        """
        store = cls._make(embedding, index, budget, latency_ms, kwargs)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    async def afrom_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        index: IndexLike = ":memory:",
        budget: BudgetLike | None = None,
        latency_ms: float | None = None,
        **kwargs: Any,
    ) -> Self:
        """As ``from_texts``."""
        store = await asyncio.to_thread(cls._make, embedding, index, budget, latency_ms, kwargs)
        try:
            await store.aadd_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def _make(
        cls,
        embedding: Embeddings | None,
        index: IndexLike,
        budget: BudgetLike | None,
        latency_ms: float | None,
        unknown: dict[str, Any],
    ) -> Self:
        refuse_unknown(
            "from_texts", unknown, ("texts", "embedding", "metadatas", "ids", "index", "budget", "latency_ms")
        )
        return cls(index, model=_model_for(embedding, index), budget=budget, latency_ms=latency_ms)

    # -- reading ---------------------------------------------------------------------------------------

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Documents by id, in the order given; ids that do not exist are left out."""
        return to_documents(self.index.get(ids))

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """As ``get_by_ids``."""
        return to_documents(await self.index.aget(ids))

    def as_retriever(self, **kwargs: Any) -> MetaEmbedStoreRetriever:
        """A retriever on this store.

        Args:
            **kwargs: ``k``, ``budget``, ``latency_ms`` and ``filter`` for every search, directly or in
                ``search_kwargs``; ``search_type="similarity_score_threshold"`` with ``score_threshold`` keeps what is
                relevant enough, ``search_type="mmr"`` with ``fetch_k`` and ``lambda_mult`` what differs;
                ``tags``, ``metadata`` and ``name`` are for tracing.

        Raises:
            BudgetError: the budget is malformed.
            InputError: a value that cannot be used.
            KeywordError: a keyword that the search type does not take, or that is given twice.
        """
        search_type, search_kwargs, rest = read_arguments(kwargs)
        made: MetaEmbedStoreRetriever = MetaEmbedStoreRetriever(
            vectorstore=self,
            search_type=search_type,
            search_kwargs=search_kwargs,
            **{**rest, "tags": rest.get("tags") or self._get_retriever_tags()},
        )
        return made


def _model_for(embedding: Embeddings | None, index: IndexLike) -> MetaEmbed | None:
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
