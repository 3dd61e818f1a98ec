"""Calibrating a real index: what is measured, kept, found stale, drawn, and steered by."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from metaembed_rag import Budget, MetaEmbedIndex
from metaembed_rag.commands.calibrate import read_queries
from metaembed_rag.errors import IndexMismatchError, InputError
from metaembed_rag.search.calibration import Calibration, Measured, Timing
from metaembed_rag.search.plan import Plan, candidate_plans
from metaembed_rag.search.questions import make_queries

TEXTS = [
    f"Ferry number {n} leaves pier {n % 7} at {n % 24} o'clock with {n * 3} passengers on board." for n in range(40)
]
QUERIES = ["which ferry leaves from pier 3?", "passengers of ferry number 12"]


def measured(budget, p50, quality, **changes):
    timing = Timing(p50, p50 * 1.2)
    return replace(Measured(Plan(Budget(*budget)), timing, timing, timing, quality), **changes)


def made(*plans, **changes):
    fixed = {
        "points": 100,
        "groups": (1, 4, 8),
        "model": "m",
        "machine": "here",
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Calibration(measured=plans, queries=3, top_k=10, labelled=False, **{**fixed, **changes})


@pytest.fixture(scope="module")
def calibrated(model, tmp_path_factory):
    with MetaEmbedIndex(tmp_path_factory.mktemp("calibration") / "index", model=model) as index:
        index.add_texts(TEXTS, ids=[str(n) for n in range(len(TEXTS))])
        index.calibrate(QUERIES, progress=False)
        yield index


def test_every_plan_is_measured_and_the_full_budget_agrees_with_itself(calibrated):
    found = calibrated.calibration
    assert [one.plan for one in found.measured] == list(candidate_plans(points=40))
    by_budget = {one.plan.budget: one for one in found.measured}
    assert by_budget[Budget(16, 64)].overlap == 1.0
    assert 0 < by_budget[Budget(1, 1)].overlap <= 1
    for one in found.measured:
        assert 0 < one.encode.p50 <= one.encode.p95
        assert 0 < one.search.p50 <= one.search.p95
        assert len(one.stages) == len(one.plan.stages)
    assert (found.points, found.queries, found.labelled) == (40, 2, False)


def test_figures_are_kept_in_the_index_and_plan_its_budgets(calibrated, model, tmp_path):
    kept = Calibration.from_dict(calibrated._store.annotation("calibration"))
    assert kept == calibrated.calibration
    assert calibrated.plan(4) == kept.plan_for(Budget(4, 8))
    assert calibrated.info()["calibration"] == {"created": kept.created, "points": 40, "stale": []}


def test_a_latency_target_is_met_by_the_best_plan_that_affords_it(calibrated):
    front = calibrated.calibration.front
    generous = calibrated.search(QUERIES[0], latency_ms=60_000)
    assert generous.plan == front[-1].plan.describe()
    assert (generous.target_ms, generous.reachable) == (60_000, True)
    assert 0 < generous.seconds < 60
    hopeless = calibrated.search(QUERIES[0], latency_ms=0.001)
    assert hopeless.budget == front[0].plan.budget
    assert not hopeless.reachable
    assert [hit.id for hit in hopeless] == [hit.id for hit in calibrated.search(QUERIES[0], budget=hopeless.budget)]


def test_an_explanation_names_plan_target_and_every_part(calibrated):
    explanation = calibrated.explain(QUERIES[0], latency_ms=60_000)
    assert explanation.plan.describe() == explanation.hits.plan
    assert [part.name for part in explanation.parts] == ["encode the query", *explanation.plan.stages]
    assert all(part.predicted_ms is not None and part.observed_ms >= 0 for part in explanation.parts)
    shown = str(explanation)
    assert "target: 60000 ms" in shown
    assert "can be met" in shown
    assert "cannot be met" in str(calibrated.explain(QUERIES[0], latency_ms=0.001))
    assert "target" not in str(calibrated.explain(QUERIES[0], budget=4))


def test_labels_make_quality_ndcg(calibrated):
    labels = {QUERIES[0]: ["3"], QUERIES[1]: ["12"]}
    found = calibrated.calibrate(QUERIES, labels=labels, progress=False)
    assert found.labelled
    assert all(0 <= one.ndcg <= 1 and one.quality == one.ndcg for one in found.measured)
    with pytest.raises(InputError, match="no labels"):
        calibrated.calibrate(QUERIES, labels={QUERIES[0]: ["3"]}, progress=False)
    assert calibrated.calibrate(QUERIES, labels={q: iter(ids) for q, ids in labels.items()}, progress=False).labelled


def test_an_index_that_was_never_calibrated_measures_itself_for_its_first_target(index):
    index.add_texts(TEXTS[:5])
    assert index.calibration is None
    assert index.info()["calibration"] is None
    assert len(index.search("ferry", latency_ms=60_000)) == 5
    assert index.calibration.queries == 5


def test_pages_without_text_are_no_queries(index):
    index.add_texts(["", " ", *([""] * 30), "a ferry leaves at six"], ids=[str(number) for number in range(33)])
    assert index.search("ferry", latency_ms=60_000, top_k=1)[0].id == "32"
    index.delete(["32"])
    with pytest.raises(InputError, match="queries="):
        index.calibrate(progress=False)


def test_what_cannot_be_calibrated_is_refused(index):
    with pytest.raises(InputError, match="empty"):
        index.calibrate(progress=False)
    index.add_texts(["a ferry"])
    with pytest.raises(InputError, match="wrap it"):
        index.calibrate("boat")
    with pytest.raises(InputError, match="at least one query"):
        index.calibrate([], progress=False)
    with pytest.raises(InputError, match="not both"):
        index.search("boat", budget=4, latency_ms=20)
    with pytest.raises(InputError, match="latency_ms"):
        index.search("boat", latency_ms=-1)


def test_the_front_holds_what_is_faster_or_better_than_all_else():
    fast, slow_and_worse = measured((1, 1), 5, 0.7), measured((2, 4), 9, 0.6)
    better, hardly_better = measured((4, 8), 10, 0.9), measured((8, 16), 20, 0.9005)
    assert made(hardly_better, better, slow_and_worse, fast).front == (fast, better)


def test_a_budget_takes_its_fastest_plan_that_keeps_the_quality():
    scan = measured((16, 64), 50, 1.0)
    staged = replace(scan, plan=Plan(Budget(16, 64), prefetch=1024), search=Timing(9, 10), overlap=0.995)
    hasty = replace(scan, plan=Plan(Budget(16, 64), prefetch=256), search=Timing(5, 6), overlap=0.9)
    assert made(scan, staged, hasty).plan_for(Budget(16, 64)) == staged.plan
    assert made(scan).plan_for(Budget(4, 8)) is None


def test_figures_of_another_size_or_machine_are_stale():
    calibration = made(measured((1, 1), 5, 0.7))
    assert calibration.stale(points=110, groups=(1, 4, 8), machine="here") == []
    reasons = calibration.stale(points=300, groups=(1, 4), machine="there")
    assert [word in reason for word, reason in zip(("300", "Meta Tokens", "there"), reasons, strict=True)] == [True] * 3


def test_figures_of_a_model_that_read_queries_otherwise_are_stale():
    calibration = made(measured((1, 1), 5, 0.7))
    now = {"points": 100, "groups": (1, 4, 8), "machine": "here"}
    assert calibration.stale(**now, model=calibration.model) == []
    (reason,) = calibration.stale(**now, model="another")
    assert reason == f"model {calibration.model} asked then and another asks now"


def test_figures_of_searches_by_the_best_window_alone_are_stale():
    narrow, wide = measured((1, 1), 1, 0.5), measured((4, 8), 2, 0.9)
    now = replace(wide, plan=replace(wide.plan, whole=True))
    assert made(narrow, now).stale(points=100, groups=(1, 4, 8), machine="here") == []
    (reason,) = made(narrow, wide).stale(points=100, groups=(1, 4, 8), machine="here")
    assert "best window alone" in reason


def test_a_calibration_survives_json_and_damage_is_named():
    calibration = made(measured((1, 1), 5, 0.7, stages=(5.0,)), measured((4, 8), 9, 0.9, ndcg=0.5))
    content = calibration.to_dict()
    assert Calibration.from_dict(content) == calibration
    with pytest.raises(IndexMismatchError, match="another version"):
        Calibration.from_dict({**content, "version": 99})
    with pytest.raises(IndexMismatchError, match="damaged"):
        Calibration.from_dict({**content, "measured": [{"plan": 3}]})


def test_the_plot_shows_the_front(tmp_path):
    calibration = made(measured((1, 1), 5, 0.7), measured((4, 8), 9, 0.9), measured((2, 4), 12, 0.8))
    figure = calibration.plot(tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    line = figure.axes[0].lines[0]
    assert [tuple(point) for point in line.get_xydata()] == [(5, 0.7), (9, 0.9)]
    assert {text.get_text() for text in figure.axes[0].texts} == {"(1,1)", "(4,8)"}


@pytest.mark.parametrize("name", ["front.yaml", "front", ".", "absent/front.png", "taken.png"])
def test_a_place_that_takes_no_picture_is_refused(tmp_path, name):
    (tmp_path / "taken.png").mkdir()
    with pytest.raises(InputError, match="name another file"):
        made(measured((1, 1), 5, 0.7)).plot(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


def test_queries_are_stretches_of_the_pages_and_the_same_each_time():
    made_queries = make_queries(TEXTS[:5], seed=1)
    assert made_queries == make_queries(TEXTS[:5], seed=1)
    assert all(query in text for query, text in zip(made_queries, TEXTS, strict=False))
    assert all(5 <= len(query.split()) <= 12 for query in made_queries)
    assert make_queries(["", "  \n"]) == []
    assert make_queries(["Two words"]) == ["Two words"]


def test_targets_go_on_after_a_resize_with_the_plans_that_are_left(index):
    index.add_texts(TEXTS[:6])
    assert index.calibrate(QUERIES, progress=False).top_k == 1
    index.search("ferry", latency_ms=60_000)
    index.resize(8, progress=False)
    assert index.search("ferry", latency_ms=60_000).budget.document <= 8
    assert "Meta Tokens" in index.info()["calibration"]["stale"][0]


def test_a_four_bit_index_is_measured_with_its_codes_too(model, tmp_path):
    with MetaEmbedIndex(tmp_path / "codes", model=model, precision="4bit") as index:
        index.add_texts(TEXTS[:6])
        # Queries that a page answers without doubt: the order of near ties is not what codes must keep.
        found = index.calibrate(TEXTS[:2], progress=False)
        assert {one.plan.oversampling for one in found.measured} == {None, 2.0}
        assert index.search("ferry", latency_ms=60_000)
        assert found.loss.precision == "4bit"
        assert found.loss.pages == 6
        assert 0 < found.loss.score_error < 0.02
        assert found.loss.overlap == 1.0
        assert Calibration.from_dict(found.to_dict()) == found


def test_queries_of_a_file_end_at_line_feeds_alone(tmp_path):
    queries = ["first\u2028still the first", "second"]
    rows = [{"query": query, "relevant": ["a"]} for query in queries]
    labelled, plain = tmp_path / "q.jsonl", tmp_path / "q.txt"
    labelled.write_bytes("\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    plain.write_text("first\n\n second \n", encoding="utf-8")
    assert read_queries(labelled) == (queries, {query: ["a"] for query in queries})
    assert read_queries(plain) == (["first", "second"], None)
