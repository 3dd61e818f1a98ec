"""Reading the arguments that the components share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metaembed_rag.budget import Budget, BudgetLike
from metaembed_rag.errors import IndexNotFoundError, InputError
from metaembed_rag.index import INDEX_VARIABLE, MetaEmbedIndex

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed


def open_index(
    index: MetaEmbedIndex | str | os.PathLike[str] | None,
    model: str | Path | MetaEmbed | None = None,
    *,
    create: bool,
) -> tuple[MetaEmbedIndex, bool]:
    """The index, and whether it was opened here, so that whoever asked has to close it.

    Args:
        index: an index, or the path of one; None is ``$METAEMBED_INDEX`` or ``./.metaembed``.
        model: for a path: the model that embeds; None is "mini".
        create: make an index at a path where there is none.

    Raises:
        IndexNotFoundError: there is none, and ``create`` is False.
        InputError: ``index`` is nothing of the above, or a model is given with an open index, which has its own.
    """
    if isinstance(index, MetaEmbedIndex):
        if model is not None:
            raise InputError("an open index has its model already: give model= to MetaEmbedIndex instead")
        return index, False
    if index is not None and not isinstance(index, (str, os.PathLike)):
        raise InputError(f"index must be a MetaEmbedIndex or the path of one, not {type(index).__name__}")
    try:
        return MetaEmbedIndex(index, model="mini" if model is None else model, create=create), True
    except IndexNotFoundError as error:
        if index is not None:
            raise
        raise IndexNotFoundError(f"{error}; or pass index=, or set {INDEX_VARIABLE}") from error


def check_top_k(value: object) -> int:
    """``similarity_top_k``, if it is a number of results.

    Raises:
        InputError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"similarity_top_k must be a whole number of at least 1, not {value!r}")
    return value


def check_effort(budget: BudgetLike | None, latency_ms: float | None) -> dict[str, Any]:
    """The keywords for ``MetaEmbedIndex.search`` that say how much a search may cost: at most one of the two.

    Raises:
        BudgetError: the budget is malformed.
        InputError: both are given, or the latency is no positive number.
    """
    if latency_ms is None:
        if budget is not None:
            Budget.parse(budget)
        return {"budget": budget}
    if budget is not None:
        raise InputError("give a budget or latency_ms, not both: a latency target chooses the budget")
    if isinstance(latency_ms, bool) or not isinstance(latency_ms, (int, float)) or not 0 < latency_ms < float("inf"):
        raise InputError(f"latency_ms must be a positive number of milliseconds, not {latency_ms!r}")
    return {"latency_ms": latency_ms}


def refuse_unknown(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Keywords that mean nothing are refused: dropped in silence, a misspelt budget would be a full one.

    Raises:
        InputError: ``given`` has a key that is not ``known``.
    """
    names = sorted(set(given) - set(known))
    if names:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise InputError(f"{where} does not know the keyword {', '.join(names)}; {takes}")
