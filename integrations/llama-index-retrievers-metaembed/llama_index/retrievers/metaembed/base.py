"""MetaEmbedRetriever: a LlamaIndex retriever with a budget."""

from __future__ import annotations

import asyncio
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from llama_index.retrievers.metaembed.filters import to_index_filter
from typing_extensions import Self

from metaembed_rag.budget import Budget, BudgetLike
from metaembed_rag.errors import IndexNotFoundError, InputError
from metaembed_rag.index import INDEX_VARIABLE, MetaEmbedIndex

if TYPE_CHECKING:
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.schema import IndexNode, QueryBundle
    from llama_index.core.vector_stores import MetadataFilters

    from metaembed_rag.hit import Hit


class MetaEmbedRetriever(BaseRetriever):
    """Retrieves pages of an index: what ``MetaEmbedIndex.search`` finds, in its order, with its scores.

    A node's id is the page's id; its metadata is the page's, with "source" and "page" (from 1) unless the metadata
    has keys of these names.

    A context manager. An index that the retriever opened is closed with it; one that it was given stays open.

    Args:
        index: an index, or the path of one that exists; None opens ``$METAEMBED_INDEX`` or ``./.metaembed``.
        budget: Meta Tokens that take part: 4, (4, 64), "full"; see ``Budget.parse``.
        similarity_top_k: nodes at most.
        filters: conditions on "id", "source", "page" and metadata; see ``to_index_filter``.
        callback_manager: as in every LlamaIndex retriever.
        object_map: as in every LlamaIndex retriever.
        objects: as in every LlamaIndex retriever.
        verbose: as in every LlamaIndex retriever.

    Raises:
        BudgetError: the budget is malformed.
        FilterError: the filters use what an index cannot express.
        IndexLockedError: another process has the index open.
        IndexNotFoundError: there is no index at the path.
        InputError: an argument cannot be used.
    """

    def __init__(
        self,
        index: MetaEmbedIndex | str | os.PathLike[str] | None = None,
        *,
        budget: BudgetLike = "full",
        similarity_top_k: int = 5,
        filters: MetadataFilters | None = None,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        if isinstance(similarity_top_k, bool) or not isinstance(similarity_top_k, int) or similarity_top_k < 1:
            raise InputError(f"similarity_top_k must be a whole number of at least 1, not {similarity_top_k!r}")
        self.budget = Budget.parse(budget)
        self.similarity_top_k = similarity_top_k
        self._filter = to_index_filter(filters)
        # Last, so that no other argument's error leaves an index open behind it.
        self._opened = not isinstance(index, MetaEmbedIndex)
        self.index = _open_index(index)
        super().__init__(callback_manager=callback_manager, object_map=object_map, objects=objects, verbose=verbose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index if the retriever opened it. Safe to call twice."""
        if self._opened:
            self.index.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self.index.search(
            _query_text(query_bundle), budget=self.budget, top_k=self.similarity_top_k, filter=self._filter
        )
        return [NodeWithScore(node=_to_node(hit), score=hit.score) for hit in hits]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)


def _open_index(index: MetaEmbedIndex | str | os.PathLike[str] | None) -> MetaEmbedIndex:
    if isinstance(index, MetaEmbedIndex):
        return index
    if index is not None and not isinstance(index, (str, os.PathLike)):
        raise InputError(f"index must be a MetaEmbedIndex or the path of one, not {type(index).__name__}")
    try:
        return MetaEmbedIndex(index, create=False)
    except IndexNotFoundError as error:
        if index is not None:
            raise
        raise IndexNotFoundError(f"{error}; or pass index=, or set {INDEX_VARIABLE}") from error


def _query_text(bundle: QueryBundle) -> str:
    """What to search for.

    A flat ``embedding``, which other retrievers leave in a bundle they share, is of no use here; everything else
    that would change the query is used or refused.
    """
    if bundle.image_path is not None:
        raise InputError("a MetaEmbed index is searched by text: give the question as query_str, not image_path")
    texts = bundle.embedding_strs
    if len(texts) != 1:
        raise InputError(
            f"a MetaEmbed index is searched by one text, not {len(texts)}: give one query_str or one string in "
            "custom_embedding_strs (HyDEQueryTransform: include_original=False)"
        )
    return str(texts[0])


def _to_node(hit: Hit) -> TextNode:
    return TextNode(
        id_=hit.id,
        text=hit.text,
        metadata={"source": hit.source, "page": hit.page, **hit.metadata},
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=hit.source)},
    )
