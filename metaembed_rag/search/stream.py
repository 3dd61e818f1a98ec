"""Anytime search: a coarse ranking first, better ones as their stages finish, until the deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from metaembed_rag.search.plan import Plan
from metaembed_rag.search.query import Query
from metaembed_rag.search.searcher import Answer, Searcher
from metaembed_rag.store.filters import Filter

#: Each answer of a stream takes at least this many times the search time of the one before.
PACE = 2.0


@dataclass(frozen=True, slots=True)
class Step:
    """A plan of a stream; its predicted search seconds are None where nothing was measured."""

    plan: Plan
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """An answer of a stream, the plan behind it, and whether nothing better will follow."""

    answer: Answer
    plan: Plan
    final: bool


def pick_steps(steps: Sequence[Step]) -> list[Step]:
    """Those worth showing: the first, the last, and between them each that takes ``PACE`` times the one before."""
    picked: list[Step] = []
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        known = picked[-1].seconds if picked else None
        if not picked or last or known is None or step.seconds is None or step.seconds >= PACE * known:
            picked.append(step)
    return picked


def stream_answers(
    searcher: Searcher,
    query: Query,
    steps: Sequence[Step],
    conditions: Filter,
    top_k: int,
    *,
    seconds: float | None,
    load: float = 1.0,
    clock: Callable[[], float],
) -> Iterator[Reached]:
    """Answers of ``steps``, coarsest first.

    The query is encoded once, by the widest step, whose prefixes serve the others. The first answer always comes. A
    step that is predicted to end after the deadline is not begun, and an answer that comes after it is not given: the
    last one given is the answer.

    Args:
        searcher: runs them.
        query: checked.
        steps: at least one, cheapest first.
        conditions: a filter.
        top_k: pages an answer.
        seconds: from now to the deadline; None waits for every step.
        load: how much slower than predicted things are now.
        clock: seconds.
    """
    begun = clock()
    encoded, encoding = searcher.encode([query], max(step.plan.budget.query for step in steps))
    for place, step in enumerate(steps):
        scored, _ = searcher.find(encoded[0], step.plan, conditions, top_k)
        elapsed = clock() - begun
        if place and seconds is not None and elapsed > seconds:
            return
        following = steps[place + 1] if place + 1 < len(steps) else None
        left = None if seconds is None else seconds - elapsed
        final = following is None or (left is not None and left <= (following.seconds or 0.0) * load)
        answer = Answer.of(scored, step.plan, encoded[0], encoding, elapsed - encoding)
        yield Reached(answer, step.plan, final)
        if final:
            return
