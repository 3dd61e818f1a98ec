"""Calibrating: run the plans on the index at hand, and note what they cost and what they are worth."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone

import numpy as np

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.metrics import ndcg
from metaembed_rag.search.calibration import Calibration, Measured, Timing
from metaembed_rag.search.machine import describe_machine
from metaembed_rag.search.plan import RESULTS, SLOW_DOT_PRODUCTS, Plan, candidate_plans, has_middle, needs_whole
from metaembed_rag.search.query import Asked
from metaembed_rag.search.searcher import Searcher
from metaembed_rag.store.engine import Scored
from metaembed_rag.store.filters import Filter
from metaembed_rag.store.store import Store

#: ``RESULTS`` pages are compared, as many as answers usually have; of a small index this share, since any answer
#: would hold most of it.
COMPARED_SHARE = 4

#: Candidates of the reference where an exact scan of the full budget would take too long.
REFERENCE_CANDIDATES = 8192

#: Queries whose stages are timed one by one, and calls of each before anything is timed.
STAGE_QUERIES = 5
WARM_UP = 2

#: Ids of the relevant pages of each query.
Labels = Mapping[str, Iterable[str]]


@dataclass(frozen=True, slots=True)
class _Run:
    """Seconds and found page ids of one plan, a query each."""

    seconds: list[float]
    found: list[list[str]]


def calibrate(
    searcher: Searcher,
    store: Store,
    queries: Sequence[str],
    *,
    model: str,
    labels: Labels | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Measure every candidate plan with every query.

    Encoding is timed for each width of the query side and search for each plan, one query at a time as users ask them;
    the sum is the time from query to answer.

    Args:
        searcher: runs them.
        store: what is searched.
        queries: at least one.
        model: its fingerprint.
        labels: relevant page ids by query; every query needs some. Quality is nDCG of the first pages then, else
            their overlap with those of the full budget.
        advance: told the steps done and their number.

    Raises:
        InputError: no queries, or queries without labels.
    """
    schema = store.schema
    if schema is None or store.points == 0:
        raise InputError("an empty index cannot be calibrated: add documents first")
    if not queries:
        raise InputError("calibrating needs at least one query")
    if labels is not None and (missing := [query for query in queries if not list(labels.get(query, ()))]):
        raise InputError(f"{len(missing)} of {len(queries)} queries have no labels; the first is {missing[0]!r}")
    top_k = max(1, min(RESULTS, store.points // COMPARED_SHARE))
    codes = schema.precision == "4bit"
    plans = list(candidate_plans(points=store.points, groups=schema.groups, codes=codes, words=schema.words))
    widths = sorted({plan.budget.query for plan in plans})
    steps = len(widths) + 1 + len(plans)
    tell = advance or (lambda done, total: None)

    widest: list[Asked] = []
    encoding: dict[int, list[float]] = {}
    for number, width in enumerate(widths):  # ascending: the last rows hold all the others
        widest, encoding[width] = _encode(searcher, queries, width)
        tell(number + 1, steps)
    best = replace(_reference(store.points, schema.groups), words=schema.words)
    reference = _run(searcher, best, widest, top_k)
    tell(len(widths) + 1, steps)
    measured = []
    for number, plan in enumerate(plans):
        run = reference if plan == best else _run(searcher, plan, widest, top_k)
        stages = _stage_times(searcher, plan, widest[:STAGE_QUERIES])
        gains = None if labels is None else _gains(queries, run, labels, top_k)
        measured.append(_measure(plan, run, encoding[plan.budget.query], reference, gains, stages))
        tell(len(widths) + 2 + number, steps)
    return Calibration(
        measured=tuple(measured),
        points=store.points,
        groups=schema.groups,
        model=model,
        machine=describe_machine(),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        queries=len(queries),
        top_k=top_k,
        labelled=labels is not None,
    )


def _reference(points: int, groups: Sequence[int]) -> Plan:
    full = Budget(LADDER[-1].query, groups[-1])
    plan = Plan(full, whole=needs_whole(full))
    if points * full.query * full.document <= SLOW_DOT_PRODUCTS or points <= REFERENCE_CANDIDATES:
        return plan
    if has_middle(full, groups):
        return replace(plan, narrow=REFERENCE_CANDIDATES)
    return replace(plan, prefetch=REFERENCE_CANDIDATES)


def _encode(searcher: Searcher, queries: Sequence[str], width: int) -> tuple[list[Asked], list[float]]:
    for query in queries[:WARM_UP]:
        searcher.encode([query], width)
    encoded = [searcher.encode([query], width) for query in queries]
    return [asked[0] for asked, _ in encoded], [seconds for _, seconds in encoded]


def _run(searcher: Searcher, plan: Plan, asked: Sequence[Asked], top_k: int) -> _Run:
    for one in asked[:WARM_UP]:
        searcher.find(one, plan, Filter(), top_k)
    answers = [searcher.find(one, plan, Filter(), top_k) for one in asked]
    return _Run([seconds for _, seconds in answers], [_ids(scored) for scored, _ in answers])


def _measure(
    plan: Plan,
    run: _Run,
    encoding: Sequence[float],
    reference: _Run,
    gains: Sequence[float] | None,
    stages: tuple[float, ...],
) -> Measured:
    overlaps = [_overlap(found, wanted) for found, wanted in zip(run.found, reference.found, strict=True)]
    return Measured(
        plan=plan,
        encode=_timing(encoding),
        search=_timing(run.seconds),
        total=_timing([one + other for one, other in zip(encoding, run.seconds, strict=True)]),
        overlap=round(statistics.fmean(overlaps), 6),
        ndcg=None if gains is None else round(statistics.fmean(gains), 6),
        stages=stages,
    )


def _gains(queries: Sequence[str], run: _Run, labels: Labels, top_k: int) -> list[float]:
    return [
        ndcg(found, dict.fromkeys(labels[query], 1.0), top_k) for query, found in zip(queries, run.found, strict=True)
    ]


def _stage_times(searcher: Searcher, plan: Plan, asked: Sequence[Asked]) -> tuple[float, ...]:
    """Median milliseconds of each stage."""
    times = [searcher.time_stages(one, plan, Filter(), RESULTS) for one in asked]
    return tuple(round(statistics.median(seconds) * 1000, 4) for seconds in zip(*times, strict=True))


def _timing(seconds: Sequence[float]) -> Timing:
    p50, p95 = np.percentile(np.asarray(seconds) * 1000, [50, 95])
    return Timing(round(float(p50), 4), round(float(p95), 4))


def _ids(scored: Sequence[Scored]) -> list[str]:
    return [one.payload["id"] for one in scored]


def _overlap(found: Sequence[str], wanted: Sequence[str]) -> float:
    return len(set(found) & set(wanted)) / len(wanted) if wanted else 1.0
