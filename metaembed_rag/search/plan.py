"""Plans: the stages that a budget becomes on an index of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import FULL, LADDER, Budget, BudgetLike, parse_budget
from metaembed_rag.errors import BudgetError
from metaembed_rag.store.engine import Stage
from metaembed_rag.store.schema import GROUPS, vector_name

FloatArray = npt.NDArray[np.float32]

#: Dot products an exact scan may take before anything was measured: (16,64) over 1,000 points, (2,4) over 128,000. The
#: embedded engine computes 50 to 140 million of 128 dimensions a second on one core, so a scan takes 7 to 30 ms.
SCAN_DOT_PRODUCTS = 1_024_000

#: Dot products beyond which calibration does not try a scan: half a second and more a query.
SLOW_DOT_PRODUCTS = 50 * SCAN_DOT_PRODUCTS

#: ``MIDDLE`` scans up to here (11 ms at 33,535 points, 27 ms at 86,444); above, the graph of first tokens comes first.
GRAPH_POINTS = 100_000

#: Picks candidates for a budget wider than itself, from all points or from those that the first token picked.
MIDDLE = Budget(4, 8)

#: Points that ``MIDDLE`` hands on, and how many of them each result needs at most. Of 33,535 windows
#: (benchmarks/results/throughput.md) 1,024 hold .97 of the ten best by (16,64) and all of those by (8,16), of 86,444
#: (entry 24 of benchmarks/mini/LOG.md) .98 and all.
NARROW = 1024
NARROW_PER_RESULT = 32

#: Points that the graph hands on to ``MIDDLE``, at least, and at least how many times what that hands on. One vector
#: does not know what a detail is asked of: of 86,444 windows 2,048 first tokens hold .93 of the ten best by (16,64),
#: 8,192 hold .97.
PREFETCH = 8192
PREFETCH_FACTOR = 4

#: Results that a calibrated plan was measured for.
RESULTS = 10

#: Candidates that calibration tries: of the first token, with a quarter of each as the narrower stage (``NARROW`` at
#: most); of ``MIDDLE``.
TRIED_PREFETCH = (256, 1024, 2048)
TRIED_SCANNED = (NARROW // 2, NARROW)

#: Candidates of a graph search, as a multiple of what it must return: at the engine's default the first
#: 256 hold only 84 % of the exact ones at 100,000 points.
GRAPH_EF_FACTOR = 2


#: Times as many points as wanted that codes pick before they are rescored.
TRIED_OVERSAMPLING = 2.0

#: Attributes of a plan that grow with the results wanted.
_WIDTHS = frozenset({"prefetch", "narrow", "hnsw_ef"})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search runs.

    Attributes:
        budget: the Meta Tokens whose MaxSim is the score.
        prefetch: points that the first-token stage hands on; None leaves that stage out.
        narrow: points that ``MIDDLE`` hands on from these, or from all; None leaves that stage out. Without either all
            are scanned by ``budget`` at once.
        hnsw_ef: candidates while the first-token stage searches the graph; None scans instead.
        oversampling: the first stage goes by the 4 bit codes that a "4bit" index keeps in memory, picks so many times
            the points it hands on, and orders these by the stored vectors; None goes by these alone.
        whole: the best pages found are then ranked by all of their windows, each query Meta Token by the best of them
            (``metaembed_rag.scoring.page_maxsim``); else a page counts as its best window, which is the same where
            the budget has one query Meta Token or pages have one window.
        words: pages that share words with the query come into it too, and words count for a part of the score
            (``metaembed_rag.store.fusion``).
    """

    budget: Budget
    prefetch: int | None = None
    narrow: int | None = None
    hnsw_ef: int | None = None
    oversampling: float | None = None
    whole: bool = False
    words: bool = False

    @property
    def stages(self) -> tuple[str, ...]:
        """What each stage does, first to last, in words."""
        parts = []
        if self.prefetch is not None:
            way = "scan" if self.hnsw_ef is None else f"graph, ef {self.hnsw_ef}"
            parts.append(f"{self.prefetch} candidates by the first token ({way})")
        if self.narrow is not None:
            way = f"of them by {MIDDLE}" if parts else f"candidates by {MIDDLE} (scan)"
            parts.append(f"{self.narrow} {way}")
        parts.append(f"rescored by {self.budget}" if parts else f"exact scan by {self.budget}")
        if self.oversampling is not None:
            parts[0] += f" of 4 bit codes, {self.oversampling:g} times as many"
        if self.whole:
            parts.append("the best pages by all of their windows")
        if self.words:
            parts.append("and by their words")
        return tuple(parts)

    def describe(self) -> str:
        """One line for people."""
        return ", ".join(self.stages)

    def for_results(self, top_k: int) -> Plan:
        """A calibrated plan for ``top_k`` results: as it was measured for ``RESULTS``, and wider for more.

        Each result then has as many candidates as it had, or ``NARROW_PER_RESULT`` where these were more.
        """
        handed_on = self.narrow or self.prefetch
        if handed_on is None:
            return self
        factor = -(-top_k * min(handed_on, NARROW_PER_RESULT * RESULTS) // (RESULTS * handed_on))
        if factor <= 1:
            return self
        wider = {name: value and value * factor for name, value in asdict(self).items() if name in _WIDTHS}
        return replace(self, **wider)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; ``from_dict`` reads them."""
        return {**asdict(self), "budget": [self.budget.query, self.budget.document]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Plan:
        """Read what ``to_dict`` made."""
        return cls(**{**content, "budget": Budget(*content["budget"])})


def resolve_budget(value: BudgetLike, groups: Sequence[int]) -> Budget:
    """Read a budget and check it against the stored groups.

    ``"full"`` takes the widest group there is.

    Raises:
        BudgetError: malformed, or a document side that is not stored.
    """
    budget = parse_budget(value)
    if budget == "full":
        return Budget(FULL.query, min(FULL.document, groups[-1]))
    if budget.document not in groups:
        stored = ", ".join(str(group) for group in groups)
        raise BudgetError(
            f"budget {budget}: this index stores prefixes of {stored} document Meta Tokens; name one of these"
        )
    return budget


def make_plan(budget: Budget, *, points: int, top_k: int, groups: Sequence[int] = GROUPS, words: bool = False) -> Plan:
    """The plan for an index of ``points`` points that was never calibrated.

    A scan while it is cheap; beyond, fewer Meta Tokens pick candidates and the budget's own order them.

    Args:
        budget: what the score is made of.
        points: windows in the index.
        top_k: results wanted.
        groups: document Meta Tokens of the stored vectors.
        words: by words too.
    """
    plan = Plan(budget, whole=needs_whole(budget), words=words)
    graph = points > GRAPH_POINTS
    middle = has_middle(budget, groups)
    narrow = max(NARROW, NARROW_PER_RESULT * top_k)
    prefetch = max(PREFETCH, PREFETCH_FACTOR * narrow)
    affordable = SCAN_DOT_PRODUCTS if graph else max(SCAN_DOT_PRODUCTS, _dot_products(MIDDLE, points))
    spares_nothing = (2 * narrow if middle else prefetch) >= points
    if _dot_products(budget, points) <= affordable or spares_nothing:
        return plan
    if middle and (not graph or prefetch >= points):
        return replace(plan, narrow=narrow)
    return replace(
        plan,
        prefetch=prefetch,
        narrow=narrow if middle else None,
        hnsw_ef=prefetch * GRAPH_EF_FACTOR if graph else None,
    )


def needs_whole(budget: Budget) -> bool:
    """Whether a page may score otherwise than its best window does: with one query Meta Token it never does."""
    return budget.query > 1


def candidate_plans(
    *, points: int, groups: Sequence[int] = GROUPS, codes: bool = False, words: bool = False
) -> Iterator[Plan]:
    """Plans worth measuring on an index of ``points`` points, cheapest budget first.

    Args:
        points: windows in the index.
        groups: document Meta Tokens of the stored vectors.
        codes: the index keeps 4 bit codes: every plan is tried with them too.
        words: the index keeps words: every plan goes by them as well.
    """
    for stored in _stored_vector_plans(points, groups):
        plan = replace(stored, words=words)
        yield plan
        if codes:
            yield replace(plan, oversampling=TRIED_OVERSAMPLING)


def _stored_vector_plans(points: int, groups: Sequence[int]) -> Iterator[Plan]:
    graph = points > GRAPH_POINTS
    tried = (*TRIED_PREFETCH, PREFETCH) if graph else TRIED_PREFETCH
    for budget in LADDER:
        if budget.document not in groups:
            continue
        whole, middle = needs_whole(budget), has_middle(budget, groups)
        # The cheapest rung is measured whatever it costs: something must be there to fall back on.
        if _dot_products(budget, points) <= SLOW_DOT_PRODUCTS or budget.document == 1:
            yield Plan(budget, whole=whole)
        if middle and _dot_products(MIDDLE, points) <= SLOW_DOT_PRODUCTS:
            yield from (Plan(budget, narrow=narrow, whole=whole) for narrow in TRIED_SCANNED if narrow < points)
        for prefetch in tried:
            if prefetch >= points:
                continue
            narrows = (None, min(prefetch // PREFETCH_FACTOR, NARROW)) if middle else (None,)
            for ef in (prefetch, prefetch * GRAPH_EF_FACTOR) if graph else (None,):
                for narrow in narrows:
                    if budget.document > 1 or ef is not None:
                        yield Plan(budget, prefetch=prefetch, narrow=narrow, hnsw_ef=ef, whole=whole)


def build_stages(plan: Plan, rows: FloatArray) -> list[Stage]:
    """The engine's stages for the query Meta Tokens ``rows [q, dim]``.

    A single document vector makes MaxSim linear: ``sum_i <q_i, d> = <sum_i q_i, d>``, so ``meta_1`` is asked
    with one vector.
    """
    rows = rows[: plan.budget.query]
    stages: list[Stage] = []
    if plan.prefetch is not None:
        exact = plan.hnsw_ef is None
        stages.append(Stage(vector_name(1), rows[0], plan.prefetch, exact=exact, hnsw_ef=plan.hnsw_ef))
    if plan.narrow is not None:
        stages.append(Stage(vector_name(MIDDLE.document), rows[: MIDDLE.query], plan.narrow))
    if plan.budget.document == 1:
        final = Stage(vector_name(1), rows.sum(axis=0), 0)
    else:
        final = Stage(vector_name(plan.budget.document), rows, 0)
    stages.append(final)
    if plan.oversampling is not None:
        stages[0] = replace(stages[0], quantized=True, oversampling=plan.oversampling)
    if plan.whole:
        stages.append(Stage(vector_name(plan.budget.document), rows, 0, whole=True))
    return stages


def _dot_products(budget: Budget, points: int) -> int:
    return points * (1 if budget.document == 1 else budget.query * budget.document)


def has_middle(budget: Budget, groups: Sequence[int]) -> bool:
    """Whether ``MIDDLE`` can pick candidates for a budget, being narrower and stored."""
    return budget.document > MIDDLE.document and MIDDLE.document in groups
