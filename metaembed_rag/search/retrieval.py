"""Retrieval: from what a caller asks, as a budget or as a latency, to hits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from metaembed_rag.budget import LADDER, Budget, BudgetLike
from metaembed_rag.errors import IndexMismatchError, InputError
from metaembed_rag.hit import Hit, Hits
from metaembed_rag.pages.clean import check_ids
from metaembed_rag.search.explanation import Explanation, make_parts
from metaembed_rag.search.latency import check_target
from metaembed_rag.search.plan import Plan, make_plan, resolve_budget
from metaembed_rag.search.query import Query, check_query, describe_query, query_text
from metaembed_rag.search.searcher import Answer, Searcher
from metaembed_rag.search.stream import Step, pick_steps, stream_answers
from metaembed_rag.search.targets import Targets
from metaembed_rag.store.engine import Scored
from metaembed_rag.store.filters import Filter as Conditions
from metaembed_rag.store.filters import parse_filter
from metaembed_rag.store.schema import GROUPS, check_hybrid
from metaembed_rag.store.store import Store

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed

Filter: TypeAlias = "Mapping[str, Any] | None"


#: Results of one search: engines set memory aside for all that are asked for.
_MOST_RESULTS = 1_000_000


class Retrieval:
    """Chooses plans, runs them and makes hits of what they find.

    Args:
        store: what is searched.
        model: gives the model, loading it on first use.
        loaded: its fingerprint, None before it was loaded.

    Attributes:
        targets: the index's calibration and the controller of its latency targets.
    """

    def __init__(self, store: Store, model: Callable[[], MetaEmbed], loaded: Callable[[], str | None]) -> None:
        self._store = store
        self._searcher = Searcher(store, model)
        self.targets = Targets(store, self._searcher, model, loaded)

    def search(
        self,
        queries: Sequence[Query],
        *,
        budget: BudgetLike | None,
        latency_ms: float | None,
        top_k: int,
        filter: Filter,
        hybrid: bool | None,
    ) -> list[Hits]:
        """See ``MetaEmbedIndex.search_many``."""
        if isinstance(queries, (str, Mapping)) or not isinstance(queries, Iterable):
            raise InputError("search_many takes a list of queries, not a single one: wrap it in a list")
        queries = list(queries)
        for query in queries:
            check_query(query)
        conditions = _check_search(budget, latency_ms, top_k, filter)
        words = self._check_hybrid(hybrid, queries)
        if latency_ms is None:
            plan = replace(self.plan("full" if budget is None else budget, top_k), words=words)
            if self._store.points == 0:
                return [_no_hits(query, plan.budget) for query in queries]
            answers = self._searcher.run_many(queries, plan, conditions, top_k)
            return [_hits(query, answer, plan) for query, answer in zip(queries, answers, strict=True)]
        if self._store.points == 0:
            return [_no_hits(query, Budget(1, 1)) for query in queries]
        return [self._search_within(query, latency_ms, conditions, top_k, words) for query in queries]

    def stream(
        self, query: Query, *, latency_ms: float | None, top_k: int, filter: Filter, hybrid: bool | None
    ) -> Iterator[Hits]:
        """See ``MetaEmbedIndex.stream``."""
        check_query(query)
        conditions = _check_search(None, latency_ms, top_k, filter)
        words = self._check_hybrid(hybrid, [query])
        if self._store.points == 0:
            return iter([_no_hits(query, Budget(1, 1))])
        seconds = None if latency_ms is None else latency_ms / 1000
        reached = stream_answers(
            self._searcher,
            query,
            self._steps(seconds, top_k, words),
            conditions,
            top_k,
            seconds=seconds,
            load=self.targets.load(),
            clock=time.perf_counter,
        )
        return (_hits(query, one.answer, one.plan, target_ms=latency_ms, final=one.final) for one in reached)

    def explain(
        self,
        query: Query,
        *,
        budget: BudgetLike | None,
        latency_ms: float | None,
        top_k: int,
        filter: Filter,
        hybrid: bool | None,
    ) -> Explanation:
        """See ``MetaEmbedIndex.explain``."""
        check_query(query)
        conditions = _check_search(budget, latency_ms, top_k, filter)
        words = self._check_hybrid(hybrid, [query])
        if self._store.points == 0:
            raise InputError("there is nothing to explain: the index is empty")
        choice = None if latency_ms is None else self.targets.choose(latency_ms / 1000)
        base = self.plan("full" if budget is None else budget, top_k) if choice is None else choice.plan
        (asked,), encoding = self._searcher.encode([query], base.budget.query)
        base = replace(base, words=words and asked.words is not None)
        plan = base if choice is None else base.for_results(top_k)
        scored, searching = self._searcher.find(asked, plan, conditions, top_k)
        answer = Answer.of(scored, plan, asked, encoding, searching)
        if choice is not None:
            self.targets.observe(choice, answer.seconds)
        observed = self._searcher.time_stages(asked, plan, conditions, top_k)
        measured = self.targets.measured(base)
        return Explanation(
            query=describe_query(query),
            plan=plan,
            target_ms=latency_ms,
            predicted_p95_ms=None if choice is None else choice.p95 * 1000,
            reachable=choice is None or choice.reachable,
            parts=make_parts(plan, measured, self.targets.load(), encoding, observed),
            hits=_hits(query, answer, plan, target_ms=latency_ms, reachable=choice is None or choice.reachable),
            notes=tuple(f"the calibration is stale: {reason}" for reason in self.targets.stale()),
        )

    def plan(self, budget: BudgetLike, top_k: int) -> Plan:
        """See ``MetaEmbedIndex.plan``."""
        groups = self.groups
        wanted = resolve_budget(budget, groups)
        measured = self.targets.plan_for(wanted)
        if measured is not None:
            return measured.for_results(top_k)
        return make_plan(wanted, points=self._store.points, top_k=top_k, groups=groups, words=self._store.keeps_words)

    def get(self, ids: Sequence[str]) -> list[Hit]:
        """See ``MetaEmbedIndex.get``."""
        return [_hit(scored, Budget(1, 1)) for scored in self._store.get(check_ids(ids))]

    def _search_within(self, query: Query, latency_ms: float, conditions: Conditions, top_k: int, words: bool) -> Hits:
        choice = self.targets.choose(latency_ms / 1000)
        begun = time.perf_counter()
        plan = replace(choice.plan.for_results(top_k), words=words)
        answer = self._searcher.run(query, plan, conditions, top_k)
        self.targets.observe(choice, time.perf_counter() - begun)
        return _hits(query, answer, plan, target_ms=latency_ms, reachable=choice.reachable)

    def _steps(self, seconds: float | None, top_k: int, words: bool) -> list[Step]:
        """Plans for a stream, cheapest first: measured ones that fit the time, or the ladder."""
        load = self.targets.load() / 1000
        rungs = self.targets.rungs()
        if not rungs:
            plans = [self.plan(rung, top_k) for rung in LADDER if rung.document in self.groups]
            return [Step(replace(plan, words=words)) for plan in plans]
        fitting = [one for one in rungs if seconds is None or one.total.p50 * load <= seconds]
        steps = [
            Step(replace(one.plan.for_results(top_k), words=words), one.search.p50 / 1000)
            for one in fitting or rungs[:1]
        ]
        return pick_steps(sorted(steps, key=lambda step: step.seconds or 0.0))

    def _check_hybrid(self, hybrid: bool | None, queries: Sequence[Query]) -> bool:
        """Whether words come into a search: as asked, or as the index is."""
        check_hybrid(hybrid)
        if hybrid is None:
            return self._store.keeps_words
        if hybrid and self._store.schema is not None and not self._store.keeps_words:
            raise IndexMismatchError(
                "this index keeps no words of its pages: copy it (metaembed copy SRC DST --hybrid), or index the "
                "documents anew with hybrid=True"
            )
        if hybrid and any(not query_text(query) for query in queries):
            raise InputError("hybrid=True needs queries with a text: leave it out, and pictures are searched without")
        return hybrid

    @property
    def groups(self) -> tuple[int, ...]:
        """Document Meta Tokens of the stored vectors."""
        return self._store.known_schema.groups if self._store.exists else GROUPS


def _check_search(budget: BudgetLike | None, latency_ms: float | None, top_k: int, filter: Filter) -> Conditions:
    if budget is not None and latency_ms is not None:
        raise InputError("give a budget or latency_ms, not both: a latency target chooses the budget")
    if latency_ms is not None:
        check_target(latency_ms)
    if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= _MOST_RESULTS:
        raise InputError(f"top_k must be a whole number of at least 1 and at most {_MOST_RESULTS:,}, not {top_k!r}")
    return parse_filter(filter)


def _hits(
    query: Query,
    answer: Answer,
    plan: Plan,
    *,
    target_ms: float | None = None,
    reachable: bool = True,
    final: bool = True,
) -> Hits:
    return Hits(
        (_hit(scored, answer.budget) for scored in answer.scored),
        query=describe_query(query),
        budget=answer.budget,
        plan=replace(plan, words=answer.words).describe(),
        hybrid=answer.words,
        seconds=answer.seconds,
        target_ms=target_ms,
        reachable=reachable,
        final=final,
    )


def _no_hits(query: Query, budget: Budget) -> Hits:
    return Hits(query=describe_query(query), budget=budget, plan="the index is empty", seconds=0.0)


def _hit(scored: Scored, budget: Budget) -> Hit:
    payload = scored.payload
    return Hit(
        id=payload["id"],
        score=scored.score,
        source=payload["source"],
        page=payload["page"],
        text=payload["text"],
        metadata=payload["metadata"],
        budget=budget,
        span=(payload["span"][0], payload["span"][1]),
        route=payload["route"],
    )
