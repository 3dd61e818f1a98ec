"""Budget: how many query and document Meta Tokens take part in a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from metaembed_rag.errors import BudgetError


@dataclass(frozen=True, order=True, slots=True)
class Budget:
    """Meta Tokens used on each side of the late interaction.

    A search with ``Budget(q, d)`` scores ``sum over the first q query tokens of the max over the
    first d document tokens`` (arXiv 2509.18095, section on Matryoshka multi-vector retrieval).

    Attributes:
        query: query Meta Tokens, at least 1.
        document: document Meta Tokens, at least 1.
    """

    query: int
    document: int

    def __post_init__(self) -> None:
        for side, value in (("query", self.query), ("document", self.document)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BudgetError(f"budget: the {side} side must be a whole number of at least 1, not {value!r}")

    def __str__(self) -> str:
        return f"({self.query},{self.document})"

    @classmethod
    def parse(cls, value: BudgetLike) -> Budget:
        """Read a budget as users write it.

        Args:
            value: a Budget; ``"full"``; a whole number of query tokens (``4`` means ``(4, 8)``: the
                document side is the partner on the ladder; between two rungs, the wider one's);
                a pair ``(query, document)``; or the same as text (``"4"``, ``"4,64"``, ``"(4, 64)"``).

        Raises:
            BudgetError: nothing of the above, or more than the full budget on a side.
        """
        if isinstance(value, str):
            value = _parse_text(value)
        if isinstance(value, Budget):
            budget = value
        elif isinstance(value, int) and not isinstance(value, bool):
            budget = cls(value, _partner(value))
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            budget = cls(value[0], value[1])
        else:
            raise BudgetError(_advice(value))
        if budget.query > FULL.query or budget.document > FULL.document:
            raise BudgetError(f"budget {budget} exceeds the full budget {FULL}; use budget='full'")
        return budget


BudgetLike: TypeAlias = Budget | int | str | tuple[int, int]

#: The groups of the nested training, narrowest first (arXiv 2509.18095).
LADDER: tuple[Budget, ...] = (Budget(1, 1), Budget(2, 4), Budget(4, 8), Budget(8, 16), Budget(16, 64))

#: Every Meta Token on both sides.
FULL: Budget = LADDER[-1]


#: A budget, or the word for whatever an index holds.
ParsedBudget: TypeAlias = "Budget | Literal['full']"


def parse_budget(value: BudgetLike) -> ParsedBudget:
    """As ``Budget.parse``, but ``"full"`` stays a word: what it comes to depends on the index that is asked.

    Raises:
        BudgetError: see ``Budget.parse``.
    """
    if isinstance(value, str) and _is_full(value):
        return "full"
    return Budget.parse(value)


def _advice(value: object) -> str:
    rungs = ", ".join(str(rung) for rung in LADDER)
    return (
        f"budget {value!r} is not understood: pass a number of query tokens (4), a pair (4, 64), "
        f"or 'full'; the ladder is {rungs}"
    )


def _partner(query: int) -> int:
    if query < 1:
        raise BudgetError(_advice(query))
    return next((rung.document for rung in LADDER if rung.query >= query), FULL.document)


def _is_full(text: str) -> bool:
    return text.strip().lower() == "full"


def _parse_text(text: str) -> BudgetLike:
    if _is_full(text):
        return FULL
    parts = text.strip().strip("()[]").split(",")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        raise BudgetError(_advice(text)) from None
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise BudgetError(_advice(text))
