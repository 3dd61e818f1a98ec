"""Marginal relevance over many vectors a page: equal to LangChain's where that applies, and to its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from langchain_metaembed.mmr import check_lambda, select_diverse
from metaembed_rag.errors import InputError


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
def test_pages_of_one_vector_are_picked_as_langchain_does(weight):
    draw = np.random.default_rng(7)
    query, pages = unit(draw.normal(size=8)), unit(draw.normal(size=(12, 8)))
    expected = maximal_marginal_relevance(query, [page.tolist() for page in pages], lambda_mult=weight, k=7)
    picked = select_diverse(list(pages @ query), [page[np.newaxis] for page in pages], k=7, lambda_mult=weight)
    assert picked == expected


def test_pages_of_many_vectors_follow_the_definition():
    draw = np.random.default_rng(11)
    pages = [unit(draw.normal(size=(rows, 6))) for rows in (4, 8, 4, 12, 4, 8)]
    relevance = draw.uniform(size=len(pages))

    def overlap(one, other):
        return float((pages[one] @ pages[other].T).max(axis=1).mean())

    chosen = [int(np.argmax(relevance))]
    while len(chosen) < 5:
        gains = {
            page: 0.4 * relevance[page] - 0.6 * max(overlap(page, other) for other in chosen)
            for page in range(len(pages))
            if page not in chosen
        }
        chosen.append(max(gains, key=gains.__getitem__))
    assert select_diverse(list(relevance), pages, k=5, lambda_mult=0.4) == chosen


def test_a_copy_comes_last_and_a_page_is_picked_once():
    draw = np.random.default_rng(3)
    first, second = unit(draw.normal(size=(4, 16))), unit(draw.normal(size=(4, 16)))
    assert select_diverse([0.9, 0.9, 0.2], [first, first.copy(), second], k=9, lambda_mult=0.5) == [0, 2, 1]
    assert select_diverse([], [], k=3, lambda_mult=0.5) == []


@pytest.mark.parametrize("value", [-0.1, 1.1, True, "0.5", float("nan")])
def test_a_weight_lies_between_zero_and_one(value):
    with pytest.raises(InputError, match="lambda_mult"):
        check_lambda(value)
