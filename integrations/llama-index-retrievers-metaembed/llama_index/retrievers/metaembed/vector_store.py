"""MetaEmbedVectorStore: a MetaEmbed index with the interface of a LlamaIndex vector store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from llama_index.core.schema import BaseNode, ImageNode, IndexNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.retrievers.metaembed.arguments import check_effort, check_top_k, open_index, refuse_unknown
from llama_index.retrievers.metaembed.base import MetaEmbedRetriever
from llama_index.retrievers.metaembed.diversity import check_threshold, pick_diverse
from llama_index.retrievers.metaembed.embedding import MetaEmbedEmbedding
from llama_index.retrievers.metaembed.filters import all_of, of_documents, to_index_filter
from llama_index.retrievers.metaembed.flat import query_rows
from llama_index.retrievers.metaembed.nodes import is_kind, to_node
from llama_index.retrievers.metaembed.queries import with_words
from llama_index.retrievers.metaembed.writing import add_nodes
from pydantic import ConfigDict, Field, PrivateAttr
from typing_extensions import Self

from metaembed_rag.budget import LADDER, Budget, BudgetLike
from metaembed_rag.errors import InputError
from metaembed_rag.index import MetaEmbedIndex

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed
    from metaembed_rag.hit import Hit
    from metaembed_rag.search.query import Query

_QUERY = ("budget", "latency_ms", "node_ids", "mmr_threshold", "mmr_prefetch_factor")
#: Fields of a VectorStoreQuery that speak of searches which an index does not have.
_FOREIGN = ("alpha", "sparse_top_k", "hybrid_top_k", "output_fields", "embedding_field")
_MODES = (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.MMR)
#: Stands for the place of an index that has no path.
_SERVER = ":server:"
#: Candidates for each result of a diverse search, as in LlamaIndex's other stores.
_PREFETCH_FACTOR = 4.0


class MetaEmbedVectorStore(BasePydanticVectorStore):
    """A MetaEmbed index as a LlamaIndex vector store: for ``VectorStoreIndex.from_vector_store`` and pipelines.

    Nodes bring flat embeddings by MetaEmbedEmbedding, which are stored as they are; those without one are embedded by
    the index, and nodes with a picture from it, whatever they bring. Every search is ``MetaEmbedIndex.search``. Through
    LlamaIndex's own retriever: ``index.as_retriever(vector_store_kwargs={"budget": 2})``, which also takes
    ``latency_ms``, ``node_ids``, and for the mode "mmr" ``mmr_threshold`` and ``mmr_prefetch_factor``; other keywords
    are refused. ``as_retriever`` gives a MetaEmbedRetriever on the same index, which can be asked with pictures.

    A VectorStoreQuery's ``node_ids`` that names nothing but ImageNodes and IndexNodes is no restriction: it is what a
    VectorStoreIndex remembers of the nodes it has written, also once this store has deleted them, and would hide all
    texts. Give ``node_ids`` among the ``vector_store_kwargs`` to restrict a search to pictures.

    A context manager. An index that the store opened is closed with it; one that it was given stays open.

    Args:
        index: an index, or the path of one, which is made if it is missing; None is ``path``, then
            ``$METAEMBED_INDEX`` or ``./.metaembed``.
        model: for a path: the model that embeds, as in MetaEmbedIndex; None is ``model_name``, then "mini".
        **kwargs: the fields below; unknown ones are refused. ``to_dict`` gives them, ``from_dict`` opens the index
            anew; for one in memory or on a server, give it the open index: ``from_dict(config, index=index)``.

    Attributes:
        path: of the index.
        model_name: of the model that embeds, where it was opened by name.
        budget: for searches that name none: 4, (4, 64), "full"; see ``Budget.parse``.
        latency_ms: instead of a budget: the milliseconds that an answer may take.

    Raises:
        BudgetError: the budget is malformed.
        InputError: an argument cannot be used.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())

    stores_text: bool = True
    is_embedding_query: bool = True
    path: str | None = Field(default=None, description="The folder of the index.")
    model_name: str | None = Field(default=None, description="The model that embeds; none is the default one.")
    budget: int | tuple[int, int] | str | None = Field(default=None, description="Meta Tokens that take part.")
    latency_ms: float | None = Field(default=None, description="Milliseconds that an answer may take.")

    _index: MetaEmbedIndex = PrivateAttr()
    _opened: bool = PrivateAttr(default=False)
    _pictures_only: tuple[tuple[str, ...], bool] | None = PrivateAttr(default=None)
    _deleted_pictures: set[str] = PrivateAttr(default_factory=set)

    def __init__(
        self,
        index: MetaEmbedIndex | str | os.PathLike[str] | None = None,
        *,
        model: str | Path | MetaEmbed | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs["budget"] = _plain_budget(kwargs.get("budget"))
        check_effort(kwargs["budget"], kwargs.get("latency_ms"))
        path = kwargs.pop("path", None)
        if isinstance(index, MetaEmbedIndex):
            if path is not None and path != _place(index):
                raise InputError(f"the configuration is of the index at {path}, and this is {_place(index)}")
            path = _place(index)
        elif index is not None:
            if path is not None:
                raise InputError("give an index or a path, not both")
            path = os.fspath(index) if isinstance(index, (str, os.PathLike)) else None
        elif path in (":memory:", _SERVER):
            raise InputError(
                f"an index in memory or on a server cannot be opened by {path!r}: open it, and give index="
            )
        if isinstance(model, (str, Path)):
            kwargs["model_name"] = str(model)
        # Fields first, so that none of their errors leaves an index open behind it.
        super().__init__(**{**kwargs, "path": path})
        if not isinstance(index, MetaEmbedIndex) and model is None:
            model = self.model_name
        self._index, self._opened = open_index(path if index is None else index, model, create=True)
        self.path = _place(self._index)

    @classmethod
    def class_name(cls) -> str:
        return "MetaEmbedVectorStore"

    @property
    def client(self) -> MetaEmbedIndex:
        """The index."""
        return self._index

    @property
    def embedding(self) -> MetaEmbedEmbedding:
        """The embedding that goes with this store: of the index's own model, which is not loaded twice."""
        return MetaEmbedEmbedding.from_index(self._index)

    def as_retriever(self, **options: Any) -> MetaEmbedRetriever:
        """A MetaEmbedRetriever on the same index; its budget or latency is the store's unless given."""
        if not {"budget", "latency_ms"} & options.keys():
            options = {"budget": self.budget, "latency_ms": self.latency_ms, **options}
        return MetaEmbedRetriever(self._index, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index if the store opened it. Safe to call twice."""
        if self._opened:
            self._index.close()

    # -- writing ---------------------------------------------------------------------------------------

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Index nodes; one under an id that exists replaces the older one.

        Returns:
            their ids.

        Raises:
            DocumentError: a picture cannot be read.
            InputError: a node cannot be stored, or its embedding is not one of this index's model.
        """
        refuse_unknown("add", kwargs, ())
        return add_nodes(self._index, nodes)

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """``add`` off the event loop."""
        return await asyncio.to_thread(self.add, nodes, **kwargs)

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document; one of a file's pages is its path."""
        refuse_unknown("delete", delete_kwargs, ())
        self._delete(of_documents([ref_doc_id]))

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """``delete`` off the event loop."""
        await asyncio.to_thread(self.delete, ref_doc_id, **delete_kwargs)

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes by id, those that match filters, or those of the ids that match.

        Raises:
            InputError: neither is given; ``clear`` deletes everything.
        """
        refuse_unknown("delete_nodes", delete_kwargs, ())
        if node_ids is None and filters is None:
            raise InputError("delete_nodes needs node_ids or filters; clear() deletes everything")
        if filters is None:
            self._delete_hits(self._index.get(list(node_ids or ())))
        else:
            self._delete(all_of(to_index_filter(filters), _ids(node_ids)))

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """``delete_nodes`` off the event loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters, **delete_kwargs)

    def clear(self) -> None:
        """Delete everything in the index, whoever put it there."""
        self._delete(None)

    async def aclear(self) -> None:
        """``clear`` off the event loop."""
        await asyncio.to_thread(self.clear)

    # -- reading ---------------------------------------------------------------------------------------

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Nodes by id (those that are there, in the order of the ids), those that match filters, both, or all."""
        if node_ids is not None and filters is None:
            hits = self._index.get(node_ids)
        else:
            hits = self._matching(all_of(to_index_filter(filters), _ids(node_ids)))
        return [to_node(hit) for hit in hits]

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """``get_nodes`` off the event loop."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search.

        Args:
            query: in the mode "default", "hybrid" (by words too, as an index that keeps them does by default) or "mmr".
                Its embedding counts, and its text where it has none.
            **kwargs: ``budget`` or ``latency_ms``, ``node_ids``; for "mmr" ``mmr_threshold`` and
                ``mmr_prefetch_factor`` (candidates for each result).

        Returns:
            nodes, ids, and MaxSim as similarities: at most the number of query Meta Tokens of the budget; where words
            count, from 0 to 1; in the mode "mmr" marginal relevance, in [-1, 1].

        Raises:
            BudgetError: the budget is malformed.
            FilterError: the filters use what an index cannot express.
            InputError: a mode, field or keyword that an index does not have, or a foreign embedding.
        """
        options = self._options(query, kwargs)
        asked = self._asked(query)
        if query.mode == VectorStoreQueryMode.MMR:
            return self._query_diverse(query, asked, options, kwargs)
        return _result(self._index.search(asked, **options))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """``query`` off the event loop."""
        if query.mode == VectorStoreQueryMode.MMR or query.node_ids:
            return await asyncio.to_thread(self.query, query, **kwargs)
        options = self._options(query, kwargs)
        return _result(await self._index.asearch(self._asked(query), **options))

    # -- inside ----------------------------------------------------------------------------------------

    def _options(self, query: VectorStoreQuery, kwargs: dict[str, Any]) -> dict[str, Any]:
        refuse_unknown("vector_store_kwargs of a MetaEmbedVectorStore", kwargs, _QUERY)
        if query.mode not in _MODES:
            raise InputError(f"a MetaEmbed index has no {query.mode.value!r} search: use 'default', 'hybrid' or 'mmr'")
        foreign = [name for name in _FOREIGN if getattr(query, name) is not None]
        if foreign:
            raise InputError(f"a MetaEmbed index cannot make use of {', '.join(foreign)}: leave it out")
        mmr = [name for name in ("mmr_threshold", "mmr_prefetch_factor") if kwargs.get(name) is not None]
        if mmr and query.mode != VectorStoreQueryMode.MMR:
            raise InputError(f"{', '.join(mmr)} has an effect only with vector_store_query_mode='mmr': set that too")
        effort: tuple[BudgetLike | None, float | None] = kwargs.get("budget"), kwargs.get("latency_ms")
        if effort == (None, None):
            effort = self.budget, self.latency_ms
        condition = all_of(
            to_index_filter(query.filters),
            of_documents(query.doc_ids) if query.doc_ids else None,
            _ids(kwargs.get("node_ids")),
            _ids(query.node_ids) if query.node_ids and not self._are_pictures(query.node_ids) else None,
        )
        # The default mode is as the index was made.
        hybrid = True if query.mode == VectorStoreQueryMode.HYBRID else None
        top_k = check_top_k(query.similarity_top_k)
        return {**check_effort(*effort), "top_k": top_k, "filter": condition, "hybrid": hybrid}

    def _asked(self, query: VectorStoreQuery) -> Query:
        if query.query_embedding is not None:
            return with_words(query_rows(query.query_embedding, self._index.model.dim), query.query_str)
        if query.query_str:
            return query.query_str
        raise InputError(
            "a query needs an embedding or a text; to ask with a picture (image_path) use the store's as_retriever()"
        )

    def _query_diverse(
        self, query: VectorStoreQuery, asked: Query, options: dict[str, Any], kwargs: dict[str, Any]
    ) -> VectorStoreQueryResult:
        threshold = check_threshold(query.mmr_threshold, kwargs.get("mmr_threshold"))
        factor = kwargs.get("mmr_prefetch_factor")
        factor = _PREFETCH_FACTOR if factor is None else factor
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor < float("inf"):
            raise InputError(f"mmr_prefetch_factor is a number of at least 1, not {factor!r}")
        rows = asked["vectors"] if isinstance(asked, Mapping) else asked
        if not isinstance(rows, np.ndarray):
            rows = self._index.model.encode_queries([str(asked)])[0]
        hits = self._index.search(
            with_words(rows, query.query_str), **{**options, "top_k": round(query.similarity_top_k * factor)}
        )
        picked = pick_diverse(
            rows[: hits.budget.query],
            hits,
            self._index.vectors([hit.id for hit in hits]),
            top_k=query.similarity_top_k,
            threshold=threshold,
        )
        return _result([hit for hit, _ in picked], [score for _, score in picked])

    def _are_pictures(self, node_ids: Sequence[str]) -> bool:
        """Whether ids name nothing but ImageNodes and IndexNodes: see the class docstring."""
        key = tuple(node_ids)
        if self._pictures_only is None or self._pictures_only[0] != key:
            hits = self._index.get(key)
            known = bool(hits) or self._deleted_pictures.issuperset(key)
            self._pictures_only = key, known and all(_is_picture(hit) for hit in hits)
        return self._pictures_only[1]

    def _matching(self, condition: dict[str, Any] | None) -> list[Hit]:
        """Every page that matches, in no order of meaning."""
        size = len(self._index)
        if not size:
            return []
        # An index lists pages by searching: with as many results as it has pages, any direction finds all of them.
        direction = np.eye(1, int(self._index.info()["dim"]), dtype=np.float32)
        return list(self._index.search(direction, budget=LADDER[0], top_k=size, filter=condition))

    def _delete(self, condition: dict[str, Any] | None) -> None:
        # Again until nothing is left: the plan of a large calibrated index may find most pages rather than all.
        while self._delete_hits(self._matching(condition)):
            pass

    def _delete_hits(self, hits: Sequence[Hit]) -> int:
        self._pictures_only = None
        self._deleted_pictures.update(hit.id for hit in hits if _is_picture(hit))
        return self._index.delete([hit.id for hit in hits])


def _is_picture(hit: Hit) -> bool:
    """Whether a VectorStoreIndex remembers a hit's node, although the store keeps texts."""
    return is_kind(hit, ImageNode, IndexNode)


def _plain_budget(budget: Any) -> Any:
    """A budget as JSON holds it, or as it comes out of JSON."""
    if isinstance(budget, Budget):
        return budget.query, budget.document
    return tuple(budget) if isinstance(budget, list) else budget


def _place(index: MetaEmbedIndex) -> str:
    return _SERVER if index.path is None else index.path


def _ids(node_ids: Sequence[str] | None) -> dict[str, Any] | None:
    return None if node_ids is None else {"id": {"in": list(node_ids)}}


def _result(hits: Sequence[Hit], scores: list[float] | None = None) -> VectorStoreQueryResult:
    return VectorStoreQueryResult(
        nodes=[to_node(hit) for hit in hits],
        similarities=[hit.score for hit in hits] if scores is None else scores,
        ids=[hit.id for hit in hits],
    )
