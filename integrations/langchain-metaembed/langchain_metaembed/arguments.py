"""Reading the arguments that the components share."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from metaembed_rag.budget import BudgetLike, ParsedBudget, parse_budget
from metaembed_rag.errors import InputError
from metaembed_rag.index import MetaEmbedIndex

if TYPE_CHECKING:
    from metaembed_rag import MetaEmbed

#: An open index, the path of one, or the arguments of MetaEmbedIndex as a mapping.
IndexLike: TypeAlias = "MetaEmbedIndex | str | os.PathLike[str] | Mapping[str, Any]"

#: What every search takes beside the query and ``k``.
SEARCH_OPTIONS = ("budget", "latency_ms", "filter", "hybrid")


class KeywordError(InputError, TypeError):
    """A keyword that nothing here takes, which LangChain would drop in silence; or one that is given twice."""


def refuse_unknown(where: str, given: Iterable[str], known: Collection[str]) -> None:
    """Refuse keywords that mean nothing.

    Args:
        where: what was called, for the message.
        given: the keywords of the call.
        known: the ones it takes.

    Raises:
        KeywordError: ``given`` holds others.
    """
    names = sorted(set(given) - set(known))
    if not names:
        return
    close = get_close_matches(names[0], known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise KeywordError(f"{where} does not take {', '.join(names)}; {hint}It takes {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Dial:
    """How much a search may spend: a budget, a latency, or neither, which leaves it to whoever is asked next.

    Attributes:
        budget: Meta Tokens that take part.
        latency_ms: milliseconds that a search may take.
    """

    budget: ParsedBudget | None = None
    latency_ms: float | None = None

    @classmethod
    def of(cls, budget: BudgetLike | None = None, latency_ms: float | None = None) -> Dial:
        """Read the two as users write them.

        Raises:
            BudgetError: the budget is malformed.
            InputError: both are given, or the latency is no number above 0.
        """
        if budget is not None and latency_ms is not None:
            raise InputError("give budget or latency_ms, not both: a latency target chooses the budget itself")
        if latency_ms is not None and (
            isinstance(latency_ms, bool) or not isinstance(latency_ms, (int, float)) or not 0 < latency_ms < math.inf
        ):
            raise InputError(f"latency_ms must be a number of milliseconds above 0, not {latency_ms!r}")
        return cls(None if budget is None else parse_budget(budget), latency_ms)

    def __bool__(self) -> bool:
        return self.budget is not None or self.latency_ms is not None

    def arguments(self) -> dict[str, Any]:
        """What to hand to ``MetaEmbedIndex.search``."""
        return {"latency_ms": self.latency_ms} if self.latency_ms is not None else {"budget": self.budget}


def whole_dial(options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` over others: one that names a budget or a latency replaces both."""
    named = any(options.get(key) is not None for key in ("budget", "latency_ms"))
    return {"budget": None, "latency_ms": None, **options} if named else dict(options)


def check_threshold(value: object) -> float | None:
    """A relevance below which documents are dropped; None keeps all.

    Raises:
        InputError: no number from 0 to 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"score_threshold is a relevance from 0 to 1, not {value!r}")
    return float(value)


def open_index(
    index: IndexLike, model: str | Path | MetaEmbed | None = None, *, create: bool
) -> tuple[MetaEmbedIndex, bool]:
    """The index, and whether it was opened here, so that whoever asked has to close it.

    Args:
        index: an index, the path of one, or a mapping of MetaEmbedIndex's arguments.
        model: for a path: the model that embeds; None is "mini".
        create: make an index at a path where there is none.

    Raises:
        InputError: ``index`` is nothing of these, or a model is given with an index that has its own.
        IndexNotFoundError: there is none at the path and ``create`` is False.
    """
    if isinstance(index, (str, os.PathLike)):
        return MetaEmbedIndex(index, model="mini" if model is None else model, create=create), True
    if model is not None:
        raise InputError("model= goes with a path: give it to MetaEmbedIndex instead, or into the mapping")
    if isinstance(index, MetaEmbedIndex):
        return index, False
    if isinstance(index, Mapping):
        try:
            return MetaEmbedIndex(**{"create": create, **index}), True
        except TypeError as error:
            raise InputError(f"the mapping for an index holds the arguments of MetaEmbedIndex: {error}") from error
    raise InputError(f"index must be a MetaEmbedIndex, the path of one or a mapping, not {type(index).__name__}")
