"""Budgets become stages that fit the size of the index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import BudgetError
from metaembed_rag.search.plan import (
    GRAPH_POINTS,
    MIDDLE,
    NARROW,
    PREFETCH,
    Plan,
    build_stages,
    candidate_plans,
    make_plan,
    needs_whole,
    resolve_budget,
)
from metaembed_rag.store.schema import GROUPS


@pytest.mark.parametrize("budget", LADDER, ids=str)
def test_a_small_index_is_scanned(budget):
    assert make_plan(budget, points=2 * NARROW, top_k=10) == Plan(budget, whole=needs_whole(budget))


def test_pages_are_ranked_by_all_windows_where_that_is_another_order():
    assert [needs_whole(budget) for budget in LADDER] == [False, True, True, True, True]
    assert all(plan.whole == needs_whole(plan.budget) for plan in candidate_plans(points=5_000, codes=True))
    plan = Plan(Budget(4, 8), whole=True)
    assert Plan.from_dict(plan.to_dict()) == plan
    *_, last = build_stages(plan, np.eye(16, dtype=np.float32))
    assert (last.vector, last.query.shape, last.whole) == ("meta_8", (4, 16), True)
    assert len(plan.stages) == 2


def test_a_larger_index_is_scanned_by_fewer_tokens_and_a_large_one_goes_through_the_graph():
    plan = make_plan(Budget(16, 64), points=GRAPH_POINTS, top_k=10)
    assert plan == Plan(Budget(16, 64), narrow=NARROW, whole=True)
    assert plan.describe().startswith("1024 candidates by (4,8) (scan), rescored by (16,64)")
    assert make_plan(MIDDLE, points=GRAPH_POINTS, top_k=10) == Plan(MIDDLE, whole=True)
    for budget in (MIDDLE, Budget(16, 64)):
        large = make_plan(budget, points=GRAPH_POINTS + 1, top_k=10)
        assert large.prefetch == PREFETCH
        assert large.hnsw_ef == 2 * PREFETCH


def test_more_results_ask_for_more_candidates():
    assert make_plan(Budget(16, 64), points=50_000, top_k=100).narrow == 32 * 100
    # So many are wanted that picking candidates would spare nothing.
    assert make_plan(Budget(16, 64), points=50_000, top_k=2_000) == Plan(Budget(16, 64), whole=True)
    few, many = (make_plan(Budget(16, 64), points=200_000, top_k=k) for k in (10, 500))
    assert (few.prefetch, few.narrow, few.hnsw_ef) == (PREFETCH, NARROW, 2 * PREFETCH)
    assert (many.prefetch, many.narrow, many.hnsw_ef) == (4 * 32 * 500, 32 * 500, 8 * 32 * 500)
    # So many that the first token would hand on all: (4,8) looks at them at once.
    assert make_plan(Budget(16, 64), points=200_000, top_k=2_000) == Plan(Budget(16, 64), narrow=64_000, whole=True)
    assert make_plan(Budget(16, 8), points=200_000, top_k=2_000) == Plan(Budget(16, 8), whole=True)


def test_codes_pick_more_than_they_hand_on_and_are_rescored():
    rows = np.eye(4, 8, dtype=np.float32)
    plans = list(candidate_plans(points=5_000, codes=True))
    assert plans[1::2] == [replace(plan, oversampling=2.0) for plan in plans[::2]]
    first, *others = build_stages(Plan(Budget(4, 8), prefetch=100, oversampling=2.0), rows)
    assert (first.quantized, first.oversampling, first.rescore, first.limit) == (True, 2.0, True, 100)
    assert not any(stage.quantized for stage in others)


def test_more_results_widen_every_stage():
    plan = Plan(Budget(16, 64), prefetch=256, narrow=64, hnsw_ef=512)
    # Up to as many as it was measured for: what was measured is what runs.
    assert plan.for_results(4) == plan.for_results(10) == plan
    assert plan.for_results(40) == Plan(Budget(16, 64), prefetch=1024, narrow=256, hnsw_ef=2048)
    wide = Plan(Budget(16, 64), prefetch=8192, narrow=1024)
    assert wide.for_results(32) == wide
    assert wide.for_results(40) == Plan(Budget(16, 64), prefetch=16384, narrow=2048)
    assert Plan.from_dict(plan.to_dict()) == plan


def test_calibration_tries_what_an_index_without_calibration_does():
    for points in (5_000, 20_000, GRAPH_POINTS + 1):
        tried = set(candidate_plans(points=points))
        assert {make_plan(budget, points=points, top_k=10) for budget in LADDER} <= tried


def test_more_results_widen_a_scan_by_fewer_tokens():
    plan = Plan(Budget(16, 64), narrow=64)
    assert plan.for_results(10) == plan
    assert plan.for_results(40) == Plan(Budget(16, 64), narrow=256)


def test_wide_budgets_are_narrowed_where_that_vector_is_stored():
    wide = make_plan(Budget(16, 64), points=20_000, top_k=10)
    large = make_plan(Budget(16, 64), points=2 * GRAPH_POINTS, top_k=10)
    assert large.prefetch is not None
    assert large.narrow is not None
    assert large.prefetch > large.narrow
    for budget, groups in ((Budget(16, 64), (1, 4, 64)), (Budget(16, 8), GROUPS)):
        for points in (20_000, 2 * GRAPH_POINTS):
            plan = make_plan(budget, points=points, top_k=10, groups=groups)
            assert (plan.prefetch, plan.narrow) == (PREFETCH, None)
    for plan, first in ((wide, []), (large, [("meta_1", 1)])):
        stages = build_stages(plan, np.zeros((16, 2), dtype=np.float32))
        assert [(stage.vector, len(np.atleast_2d(stage.query))) for stage in stages] == [
            *first,
            ("meta_8", 4),
            ("meta_64", 16),
            ("meta_64", 16),
        ]


def test_stages_send_prefixes():
    rows = np.arange(32, dtype=np.float32).reshape(16, 2)
    first, last = build_stages(Plan(Budget(4, 8), prefetch=100), rows)
    assert (first.vector, first.limit, first.exact) == ("meta_1", 100, True)
    np.testing.assert_array_equal(first.query, rows[0])
    assert last.vector == "meta_8"
    np.testing.assert_array_equal(last.query, rows[:4])


def test_one_document_token_makes_maxsim_linear():
    rows = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)
    (stage,) = build_stages(Plan(Budget(4, 1)), rows)
    np.testing.assert_allclose(stage.query, rows[:4].sum(0), rtol=1e-6)


def test_budgets_are_checked_against_what_is_stored():
    assert resolve_budget(4, GROUPS) == Budget(4, 8)
    assert resolve_budget("full", (1, 4, 16)) == Budget(16, 16)
    assert resolve_budget((4, 64), GROUPS) == Budget(4, 64)
    with pytest.raises(BudgetError, match="stores prefixes of 1, 4, 8, 16, 64"):
        resolve_budget((4, 10), GROUPS)
