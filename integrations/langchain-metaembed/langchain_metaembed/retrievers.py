"""MetaEmbedRetriever: a LangChain retriever with a budget."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import run_in_executor
from pydantic import ConfigDict, Field, ModelWrapValidatorHandler, PrivateAttr, field_validator, model_validator
from typing_extensions import Self

from langchain_metaembed.arguments import open_index
from langchain_metaembed.documents import to_document
from metaembed_rag.budget import FULL, Budget, BudgetLike
from metaembed_rag.index import MetaEmbedIndex


class MetaEmbedRetriever(BaseRetriever):
    """Retrieves pages of an index: what ``MetaEmbedIndex.search`` finds, in its order.

    A context manager. An index that the retriever opened from a path is closed with it; one that it was given stays
    open. ``k``, ``budget`` and ``filter`` can also be given to ``invoke`` for one call, and are
    ``configurable_fields``. Unknown arguments are refused.

    Attributes:
        index: an index, or the path of one that exists.
        k: documents at most.
        budget: Meta Tokens that take part: 4, (4, 64), "full"; see ``Budget.parse``.
        filter: as ``MetaEmbedIndex.search`` takes it.
    """

    # LangChain's default is to drop what it does not know: a misspelt budget would be a full one.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    index: MetaEmbedIndex
    k: int = Field(default=4, ge=1)
    budget: Budget = FULL
    filter: dict[str, Any] | None = None

    _opened: MetaEmbedIndex | None = PrivateAttr(default=None)

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_budget(cls, value: Any) -> Budget:
        return Budget.parse(value)

    @model_validator(mode="wrap")
    @classmethod
    def _open_path(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(values, dict) or not isinstance(values.get("index"), (str, os.PathLike)):
            return handler(values)
        index, _ = open_index(values["index"], create=False)
        try:
            retriever = handler({**values, "index": index})
        except BaseException:
            index.close()
            raise
        retriever._opened = index
        return retriever

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

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        budget: BudgetLike | None = None,
        filter: dict[str, Any] | None = None,
    ) -> list[Document]:
        hits = self.index.search(
            query,
            budget=self.budget if budget is None else budget,
            top_k=self.k if k is None else k,
            filter=self.filter if filter is None else filter,
        )
        return [to_document(hit) for hit in hits]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        budget: BudgetLike | None = None,
        filter: dict[str, Any] | None = None,
    ) -> list[Document]:
        return await run_in_executor(
            None,
            self._get_relevant_documents,
            query,
            run_manager=run_manager.get_sync(),
            k=k,
            budget=budget,
            filter=filter,
        )
