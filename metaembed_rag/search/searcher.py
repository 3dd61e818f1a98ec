"""Searcher: a query and a plan in, scored pages out, with the time each half took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from metaembed_rag.budget import Budget
from metaembed_rag.search.plan import Plan, build_stages
from metaembed_rag.search.query import Asked, Query, embed_queries, is_encoded, query_text
from metaembed_rag.store.engine import Scored
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.store import Store
from metaembed_rag.store.words import query_terms

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed

_ALL = Filter()


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query found.

    Attributes:
        scored: pages, best first.
        budget: the Meta Tokens that took part: those of the plan, or fewer where the query had fewer.
        words: whether words took part.
        encode_seconds: for the query's Meta Tokens.
        search_seconds: in the store.
    """

    scored: list[Scored]
    budget: Budget
    words: bool
    encode_seconds: float
    search_seconds: float

    @classmethod
    def of(cls, scored: list[Scored], plan: Plan, asked: Asked, encoding: float, searching: float) -> Answer:
        """What a plan found for a query."""
        budget = Budget(min(plan.budget.query, len(asked.rows)), plan.budget.document)
        return cls(scored, budget, plan.words and asked.words is not None, encoding, searching)

    @property
    def seconds(self) -> float:
        """From query to answer."""
        return self.encode_seconds + self.search_seconds


class Searcher:
    """Runs plans on a store that holds something.

    Args:
        store: where the pages are.
        model: gives the model, loading it on first use.
        clock: seconds; ``time.perf_counter``.
    """

    def __init__(
        self, store: Store, model: Callable[[], MetaEmbed], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._store = store
        self._model = model
        self._clock = clock

    def encode(self, queries: Sequence[Query], tokens: int) -> tuple[list[Asked], float]:
        """Query Meta Tokens and words of each query, and the seconds that took all of them."""
        if not all(map(is_encoded, queries)):
            self._model()  # loaded outside of what is timed: no plan could make up for it
        begun = self._clock()
        rows = embed_queries(self._model, queries, tokens, self._dim)
        words = [query_terms(query_text(query)) if self._store.keeps_words else None for query in queries]
        return [Asked(*one) for one in zip(rows, words, strict=True)], self._clock() - begun

    def find(self, asked: Asked, plan: Plan, conditions: Filter, top_k: int) -> tuple[list[Scored], float]:
        """Run a plan for a query; the pages, and the seconds that took."""
        begun = self._clock()
        scored = self._store.search(
            build_stages(plan, asked.rows), conditions, top_k, asked.words if plan.words else None
        )
        return scored, self._clock() - begun

    def time_stages(self, asked: Asked, plan: Plan, conditions: Filter, top_k: int) -> list[float]:
        """Seconds of each stage of a plan: what running up to it takes longer than up to the one before."""
        stages = build_stages(plan, asked.rows)
        runs = [partial(self._store.search, stages[: place + 1], conditions, top_k) for place in range(len(stages))]
        if plan.words:
            runs.append(partial(self._store.search, stages, conditions, top_k, asked.words))
        cumulative = [0.0]
        for run in runs:
            begun = self._clock()
            run()
            cumulative.append(self._clock() - begun)
        return [max(0.0, after - before) for before, after in pairwise(cumulative)]

    def run(self, query: Query, plan: Plan, conditions: Filter, top_k: int) -> Answer:
        """Encode and find."""
        return self.run_many([query], plan, conditions, top_k)[0]

    def run_many(self, queries: Sequence[Query], plan: Plan, conditions: Filter, top_k: int) -> list[Answer]:
        """Encode together, find one by one; the encoding time is shared out evenly."""
        encoded, encoding = self.encode(queries, plan.budget.query)
        answers = []
        for one in encoded:
            scored, searching = self.find(one, plan, conditions, top_k)
            answers.append(Answer.of(scored, plan, one, encoding / len(encoded), searching))
        return answers

    def warm_up(self, plan: Plan) -> None:
        """Run a plan once for nothing: first calls allocate, load and compile."""
        encoded, _ = self.encode(["warm up"], plan.budget.query)
        self.find(encoded[0], plan, _ALL, 1)

    @property
    def _dim(self) -> int:
        schema = self._store.schema
        return 0 if schema is None else schema.dim
