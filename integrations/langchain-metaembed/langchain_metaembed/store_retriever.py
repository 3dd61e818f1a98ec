"""The retriever that MetaEmbedVectorStore.as_retriever gives: LangChain's own, with fields that can be configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStoreRetriever
from pydantic import ConfigDict, Field, field_validator

from langchain_metaembed.arguments import (
    SEARCH_OPTIONS,
    Dial,
    KeywordError,
    check_threshold,
    refuse_unknown,
    whole_dial,
)
from langchain_metaembed.mmr import check_lambda
from metaembed_rag.budget import BudgetLike, ParsedBudget, parse_budget
from metaembed_rag.errors import InputError

#: What each search type takes beside what all of them do.
_EXTRA: dict[str, tuple[str, ...]] = {
    "similarity": (),
    "similarity_score_threshold": ("score_threshold",),
    "mmr": ("fetch_k", "lambda_mult"),
}
_COMMON = ("k", *SEARCH_OPTIONS)
_REST = ("search_type", "search_kwargs", "tags", "metadata", "name")


class MetaEmbedStoreRetriever(VectorStoreRetriever):
    """LangChain's VectorStoreRetriever over a MetaEmbedVectorStore; made by ``as_retriever``.

    ``invoke`` takes what the search type takes, for one call. ``k``, ``budget`` and ``latency_ms`` are
    ``configurable_fields``; where they are set, they come before ``search_kwargs``. Unknown keywords are refused.

    Attributes:
        k: documents at most; None leaves it to ``search_kwargs``, and so do the others.
        budget: Meta Tokens that take part.
        latency_ms: milliseconds that a search may take, instead of a budget.
    """

    # LangChain's default is to drop what it does not know: a misspelt budget would be a full one.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    k: int | None = Field(default=None, ge=1)
    budget: BudgetLike | None = None
    latency_ms: float | None = Field(default=None, gt=0)

    @field_validator("budget", mode="before")
    @classmethod
    def _parse_budget(cls, value: Any) -> ParsedBudget | None:
        return None if value is None else parse_budget(value)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return super()._get_relevant_documents(query, run_manager=run_manager, **self._over(kwargs))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **kwargs: Any
    ) -> list[Document]:
        return await super()._aget_relevant_documents(query, run_manager=run_manager, **self._over(kwargs))

    def _over(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """What the fields and the call say, which goes before ``search_kwargs``."""
        fields = {"k": self.k, "budget": self.budget, "latency_ms": self.latency_ms}
        named = {key: value for key, value in fields.items() if value is not None}
        # LangChain reads "verbose" itself and passes it on.
        call = {key: value for key, value in kwargs.items() if key != "verbose"}
        return {**whole_dial(named), **whole_dial(call)}


def read_arguments(kwargs: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The arguments of ``as_retriever``, checked now rather than at the first search.

    Returns:
        the search type, its keywords, and what is for tracing.

    Raises:
        BudgetError: the budget is malformed.
        InputError: a value that cannot be used.
        KeywordError: a keyword that the search type does not take, or that is given twice.
    """
    search_type = kwargs.get("search_type", "similarity")
    if search_type not in _EXTRA:
        raise InputError(f"search_type={search_type!r} is not known: it is one of {', '.join(_EXTRA)}")
    takes = (*_COMMON, *_EXTRA[search_type])
    where = f"as_retriever(search_type={search_type!r})"
    refuse_unknown(where, kwargs, (*takes, *_REST))
    search = {key: value for key, value in kwargs.items() if key in takes}
    more = dict(kwargs.get("search_kwargs") or {})
    refuse_unknown(f"search_kwargs of {where}", more, takes)
    if twice := sorted(search.keys() & more.keys()):
        raise KeywordError(f"as_retriever got {', '.join(twice)} twice: directly and in search_kwargs")
    search.update(more)
    Dial.of(search.get("budget"), search.get("latency_ms"))
    if search_type == "similarity_score_threshold":
        # LangChain insists on a float.
        search["score_threshold"] = check_threshold(search.get("score_threshold"))
        if search["score_threshold"] is None:
            raise InputError("search_type='similarity_score_threshold' needs score_threshold=, from 0 to 1")
    if "lambda_mult" in search:
        search["lambda_mult"] = check_lambda(search["lambda_mult"])
    return search_type, search, {key: kwargs[key] for key in ("tags", "metadata", "name") if key in kwargs}
