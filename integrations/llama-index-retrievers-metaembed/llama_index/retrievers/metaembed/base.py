"""MetaEmbedRetriever: a LlamaIndex retriever with a budget."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.ingestion import run_transformations
from llama_index.core.schema import IndexNode
from llama_index.retrievers.metaembed.arguments import check_effort, check_top_k, open_index
from llama_index.retrievers.metaembed.filters import to_index_filter
from llama_index.retrievers.metaembed.nodes import to_nodes
from llama_index.retrievers.metaembed.queries import is_text, to_query
from llama_index.retrievers.metaembed.writing import add_nodes
from typing_extensions import Self

from metaembed_rag.budget import BudgetLike
from metaembed_rag.index import MetaEmbedIndex

if TYPE_CHECKING:
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.schema import BaseNode, Document, NodeWithScore, QueryBundle, TransformComponent
    from llama_index.core.vector_stores import MetadataFilters


class MetaEmbedRetriever(BaseRetriever):
    """Retrieves pages of an index: what ``MetaEmbedIndex.search`` finds, in its order, with its scores.

    A score is MaxSim, at most the number of query Meta Tokens of the budget, or lies between 0 and 1 where words count
    too. A node that was indexed comes back as it was; a page of a file is a TextNode with the page's id and text, and
    "source" and "page" (from 1) in its metadata. What a bundle is searched by, ``to_query`` says: pictures are asked
    with through ``image_path``.

    A context manager. An index that the retriever opened is closed with it; one that it was given stays open.

    Args:
        index: an index, or the path of one that exists; None opens ``$METAEMBED_INDEX`` or ``./.metaembed``.
        budget: Meta Tokens that take part: 4, (4, 64), "full"; see ``Budget.parse``. None is the full budget.
        latency_ms: instead of a budget: the milliseconds that an answer may take.
        similarity_top_k: nodes at most.
        filters: conditions on "id", "source", "page" and metadata; see ``to_index_filter``.
        hybrid: find nodes by their words too; None is as the index was made (``MetaEmbedIndex(..., hybrid=True)``).
        images: pages of PDFs, scans and pictures come as ImageNodes with their picture, for models that see.
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
        budget: BudgetLike | None = None,
        latency_ms: float | None = None,
        similarity_top_k: int = 5,
        filters: MetadataFilters | None = None,
        hybrid: bool | None = None,
        images: bool = False,
        callback_manager: CallbackManager | None = None,
        object_map: dict[str, Any] | None = None,
        objects: list[IndexNode] | None = None,
        verbose: bool = False,
    ) -> None:
        check_effort(budget, latency_ms)
        self.budget = budget
        self.latency_ms = latency_ms
        self.similarity_top_k = check_top_k(similarity_top_k)
        self.hybrid = hybrid
        self.images = images
        self._filter = to_index_filter(filters)
        # Last, so that no other argument's error leaves an index open behind it.
        self.index, self._opened = open_index(index, create=False)
        super().__init__(callback_manager=callback_manager, object_map=object_map, objects=objects, verbose=verbose)

    @classmethod
    def from_nodes(
        cls,
        nodes: Sequence[BaseNode],
        index: MetaEmbedIndex | str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Self:
        """Index nodes and retrieve from them, and from what the index held before.

        Texts are embedded window by window, however long; pictures from what they show. Objects of IndexNodes are kept
        by the retriever, not in the index.

        Args:
            nodes: TextNodes, ImageNodes (``image_path``, ``image`` in base64, with or without text), IndexNodes, Nodes
                or Documents.
            index: an index, or the path of one, which is made if it is missing; None is one in memory.
            **options: the other arguments of MetaEmbedRetriever.

        Raises:
            DocumentError: a picture cannot be read.
            InputError: a node cannot be stored, or an argument cannot be used; then nothing was indexed.
            TypeError: an argument that MetaEmbedRetriever does not have.
        """
        opened, mine = open_index(":memory:" if index is None else index, create=True)
        try:
            retriever = cls(opened, **options)
            retriever._opened = mine
            plain, objects = _without_objects(nodes)
            add_nodes(opened, plain)
        except BaseException:
            if mine:
                opened.close()
            raise
        retriever.object_map = {**objects, **retriever.object_map}
        return retriever

    @classmethod
    def from_documents(
        cls,
        documents: Sequence[Document],
        index: MetaEmbedIndex | str | os.PathLike[str] | None = None,
        *,
        transformations: Sequence[TransformComponent] = (),
        **options: Any,
    ) -> Self:
        """``from_nodes`` of documents.

        Long ones need no splitting: each is one result, found by its best windows and scored by all of them. A
        splitter makes results of its own size.

        Args:
            documents: to be indexed.
            index: as in ``from_nodes``.
            transformations: applied first: splitters, extractors.
            **options: the other arguments of MetaEmbedRetriever.
        """
        return cls.from_nodes(run_transformations(list(documents), list(transformations)), index, **options)

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
        hits = self.index.search(to_query(query_bundle, self.index), **self._options)
        return to_nodes(hits, draw=self.images)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        # Reading a picture, averaging texts and drawing pages take their time: off the event loop, as the search.
        if is_text(query_bundle):
            query = to_query(query_bundle, self.index)
        else:
            query = await asyncio.to_thread(to_query, query_bundle, self.index)
        hits = await self.index.asearch(query, **self._options)
        if self.images:
            return await asyncio.to_thread(to_nodes, hits, draw=True)
        return to_nodes(hits)

    @property
    def _options(self) -> dict[str, Any]:
        # Read each time: they may be turned between two calls.
        effort, top_k = check_effort(self.budget, self.latency_ms), check_top_k(self.similarity_top_k)
        return {**effort, "top_k": top_k, "filter": self._filter, "hybrid": self.hybrid}


def _without_objects(nodes: Sequence[BaseNode]) -> tuple[list[BaseNode], dict[str, Any]]:
    """Nodes as they can be stored, and the objects of the IndexNodes among them."""
    objects = {node.index_id: node.obj for node in nodes if isinstance(node, IndexNode) and node.obj is not None}
    plain = [node.model_copy(update={"obj": None}) if isinstance(node, IndexNode) else node for node in nodes]
    return plain, objects
