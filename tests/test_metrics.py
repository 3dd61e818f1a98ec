"""Metrics against values worked out by hand, and the bounds that hold for any ranking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaembed_rag.errors import InputError
from metaembed_rag.metrics import average, ndcg, precision, recall, reciprocal_rank

RANKED = ["a", "b", "c", "d", "e", "f"]


def test_ndcg_of_one_relevant_document_is_the_discount_of_its_rank() -> None:
    assert ndcg(RANKED, {"a": 1.0}, 5) == 1.0
    assert ndcg(RANKED, {"c": 1.0}, 5) == pytest.approx(0.5)  # 1 / log2(4)
    assert ndcg(RANKED, {"f": 1.0}, 5) == 0.0
    assert ndcg(RANKED, {"f": 1.0}, 6) == pytest.approx(1 / math.log2(7))


def test_ndcg_uses_the_grade_as_gain() -> None:
    # DCG = 1/1 + 3/log2(3) = 2.892789; ideal = 3/1 + 1/log2(3) = 3.630930.
    assert ndcg(RANKED, {"a": 1.0, "b": 3.0}, 5) == pytest.approx(0.7967075, abs=1e-6)


def test_ndcg_compares_with_the_best_ranking_of_k() -> None:
    # Three relevant documents but two ranks: (1 + 0) / (1 + 1/log2(3)).
    assert ndcg(["a", "x", "b"], {"a": 1.0, "b": 1.0, "c": 1.0}, 2) == pytest.approx(0.6131472, abs=1e-6)


def test_precision_counts_missing_ranks_as_misses() -> None:
    assert precision(["a", "b"], {"a": 1.0}, 5) == pytest.approx(0.2)
    assert precision(RANKED, {"b": 1.0}, 1) == 0.0
    assert precision(RANKED, {"a": 2.0}, 1) == 1.0


def test_recall_is_over_all_relevant_documents() -> None:
    assert recall(RANKED, {"a": 1.0, "f": 1.0, "z": 1.0}, 5) == pytest.approx(1 / 3)
    assert recall(RANKED, {"a": 1.0, "f": 1.0}, 6) == 1.0


def test_a_grade_of_zero_is_not_relevant() -> None:
    assert recall(RANKED, {"a": 0.0, "b": 1.0}, 1) == 0.0
    assert reciprocal_rank(RANKED, {"a": 0.0, "b": 1.0}) == 0.5


def test_reciprocal_rank() -> None:
    assert reciprocal_rank(RANKED, {"c": 1.0, "d": 1.0}) == pytest.approx(1 / 3)
    assert reciprocal_rank(RANKED, {"c": 1.0}, 2) == 0.0
    assert reciprocal_rank(RANKED, {"z": 1.0}) == 0.0
    assert reciprocal_rank([], {"z": 1.0}) == 0.0


def test_average_is_the_mean_over_queries() -> None:
    figures = average([(RANKED, {"a": 1.0}), (RANKED, {"c": 1.0}), (RANKED, {"f": 1.0})])
    assert figures.ndcg5 == pytest.approx(0.5)
    assert figures.ndcg10 == pytest.approx((1 + 0.5 + 1 / math.log2(7)) / 3)
    assert figures.p1 == pytest.approx(1 / 3)
    assert figures.r5 == pytest.approx(2 / 3)
    assert figures.r10 == 1.0
    assert figures.mrr == pytest.approx((1 + 1 / 3 + 1 / 6) / 3)
    assert figures.queries == 3


@pytest.mark.parametrize(
    ("ranked", "relevant", "k", "message"),
    [
        (["a", "a"], {"a": 1.0}, 5, "repeats"),
        (["a"], {}, 5, "at least one above 0"),
        (["a"], {"a": 0.0}, 5, "at least one above 0"),
        (["a"], {"a": 1.0, "b": -1.0}, 5, "0 or more"),
        (["a"], {"a": 1.0}, 0, "at least 1"),
        (["a"], {"a": 1.0}, True, "at least 1"),
    ],
)
def test_malformed_input_is_refused(ranked: list[str], relevant: dict[str, float], k: int, message: str) -> None:
    for metric in (ndcg, precision, recall, reciprocal_rank):
        with pytest.raises(InputError, match=message):
            metric(ranked, relevant, k)


def test_average_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="no queries"):
        average([])


grades = st.dictionaries(st.sampled_from("abcdefghij"), st.floats(0, 5), min_size=1).filter(
    lambda g: any(grade > 0 for grade in g.values())
)


@given(st.permutations("abcdefgh"), grades, st.integers(1, 12))
def test_bounds(ranked: list[str], relevant: dict[str, float], k: int) -> None:
    for metric in (ndcg, precision, recall, reciprocal_rank):
        assert 0 <= metric(ranked, relevant, k) <= 1 + 1e-9
    assert recall(ranked, relevant, k) <= recall(ranked, relevant, k + 1)
    assert reciprocal_rank(ranked, relevant, k) <= reciprocal_rank(ranked, relevant)


@given(grades, st.integers(1, 12))
def test_the_best_ranking_scores_one(relevant: dict[str, float], k: int) -> None:
    best = sorted(relevant, key=lambda document: -relevant[document])
    assert ndcg(best, relevant, k) == pytest.approx(1)
    assert precision(best, relevant, 1) == reciprocal_rank(best, relevant) == 1


@given(st.permutations("abcdefgh"), grades, st.integers(0, 6))
def test_moving_a_better_document_up_never_lowers_ndcg(ranked: list[str], relevant: dict[str, float], at: int) -> None:
    first, second = ranked[at], ranked[at + 1]
    if relevant.get(second, 0) >= relevant.get(first, 0):
        swapped = [*ranked[:at], second, first, *ranked[at + 2 :]]
        assert ndcg(swapped, relevant, 5) >= ndcg(ranked, relevant, 5) - 1e-12
