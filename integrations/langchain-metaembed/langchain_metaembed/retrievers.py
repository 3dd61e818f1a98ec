"""MetaEmbedRetriever: a LangChain retriever with a budget or a latency target."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, PrivateAttr, field_validator, model_validator
from typing_extensions import Self

from langchain_metaembed.arguments import SEARCH_OPTIONS, Dial, open_index, refuse_unknown
from langchain_metaembed.documents import to_documents
from langchain_metaembed.json_filter import json_filter
from metaembed_rag.budget import BudgetLike, ParsedBudget, parse_budget
from metaembed_rag.index import MetaEmbedIndex


class MetaEmbedRetriever(BaseRetriever):
    """Retrieves pages of an index: what ``MetaEmbedIndex.search`` finds, in its order.

    A context manager. An index that the retriever opened is closed with it; one that it was given stays open. ``k``,
    ``budget``, ``latency_ms``, ``filter`` and ``hybrid`` can also be given to ``invoke`` for one call, and are
    ``configurable_fields``. Unknown arguments are refused.

    ``langchain_core.load.dumpd`` writes it down with the path or address of its index, without any key.

    Attributes:
        index: an index; the path of one that exists; or a mapping of MetaEmbedIndex's arguments.
        k: documents at most.
        budget: Meta Tokens that take part: 4, (4, 64), "full"; see ``Budget.parse``.
        latency_ms: milliseconds that a search may take, instead of a budget. With neither, all Meta Tokens take part.
        filter: as ``MetaEmbedIndex.search`` takes it.
        hybrid: find documents by their words too; None is as the index was made.
    """

    # LangChain's default is to drop what it does not know: a misspelt budget would be a full one.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: MetaEmbedIndex
    k: int = Field(default=4, ge=1)
    budget: BudgetLike | None = None
    latency_ms: float | None = None
    filter: dict[str, Any] | None = None
    hybrid: bool | None = None

    _opened: MetaEmbedIndex | None = PrivateAttr(default=None)

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_budget(cls, value: Any) -> ParsedBudget | None:
        return None if value is None else parse_budget(value)

    @model_validator(mode="wrap")
    @classmethod
    def _open_index(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict) or not isinstance(values.get("index"), (str, os.PathLike, Mapping)):
            return handler(values)
        index, _ = open_index(values["index"], create=False)
        try:
            retriever = handler({**values, "index": index})
        except BaseException:
            index.close()
            raise
        retriever._opened = index
        return retriever

    @model_validator(mode="after")
    def _one_dial(self) -> Self:
        Dial.of(self.budget, self.latency_ms)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the index if the retriever opened it. Safe to call twice."""
        if self._opened is not None:
            self._opened.close()

    # -- retrieving ------------------------------------------------------------------------------------

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return to_documents(self.index.search(query, **self._request(options)))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **options: Any
    ) -> list[Document]:
        return to_documents(await self.index.asearch(query, **self._request(options)))

    def _request(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of the index's search: what the call says, else what the retriever does."""
        # LangChain reads "verbose" itself and passes it on.
        refuse_unknown("a MetaEmbedRetriever's invoke", options.keys() - {"verbose"}, ("k", *SEARCH_OPTIONS))
        k, condition, hybrid = (options.get(name) for name in ("k", "filter", "hybrid"))
        asked = Dial.of(options.get("budget"), options.get("latency_ms"))
        dial = asked or Dial.of(self.budget, self.latency_ms)
        return {
            "top_k": self.k if k is None else k,
            "filter": self.filter if condition is None else condition,
            "hybrid": self.hybrid if hybrid is None else hybrid,
            **dial.arguments(),
        }

    # -- as configuration ------------------------------------------------------------------------------

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def lc_attributes(self) -> dict[str, Any]:
        written: dict[str, Any] = {"index": self.index.configuration()}
        # Whatever was assigned since the retriever was made.
        budget = None if self.budget is None else parse_budget(self.budget)
        if budget is not None:
            written["budget"] = budget if budget == "full" else [budget.query, budget.document]
        if self.filter is not None:
            written["filter"] = json_filter(self.filter)
        return written

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """The constructor's arguments; "not implemented" for an index in memory, which cannot be opened again."""
        if self.index.configuration() is None:
            return self.to_json_not_implemented()
        return super().to_json()
