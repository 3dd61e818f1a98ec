"""Late interaction with pages of several windows, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metaembed_rag.errors import InputError
from metaembed_rag.scoring import (
    RUN,
    best_per_page,
    best_run,
    maxsim,
    page_maxsim,
    reduce_maxsim,
    token_similarities,
)

GENERATOR = np.random.default_rng(0)
QUERIES = GENERATOR.standard_normal((3, 4, 8)).astype(np.float32)
WINDOWS = GENERATOR.standard_normal((9, 5, 8)).astype(np.float32)
STARTS = np.asarray([0, 1, 4, 5])


def test_a_page_is_scored_as_one_document_of_all_its_windows() -> None:
    pages = [WINDOWS[start:end].reshape(1, -1, 8) for start, end in zip(STARTS, [1, 4, 5, 9], strict=True)]
    expected = np.concatenate([maxsim(QUERIES, page) for page in pages], axis=1)
    np.testing.assert_allclose(page_maxsim(QUERIES, WINDOWS, STARTS), expected, rtol=1e-6)
    best = np.maximum.reduceat(maxsim(QUERIES, WINDOWS), STARTS, axis=1)
    assert (expected >= best - 1e-5).all()
    assert (expected > best + 0.1).any()


def test_a_long_text_counts_as_its_best_windows_in_a_row() -> None:
    long = np.concatenate([WINDOWS, WINDOWS[::-1], WINDOWS]) * GENERATOR.uniform(0.5, 1.5, (27, 1, 1)).astype(
        np.float32
    )
    runs = [long[start : start + RUN].reshape(1, -1, 8) for start in range(len(long) - RUN + 1)]
    expected = np.concatenate([maxsim(QUERIES, run) for run in runs], axis=1).max(axis=1)
    found = page_maxsim(QUERIES, np.concatenate([WINDOWS[:2], long, WINDOWS[:1]]), np.asarray([0, 2, 29]))
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-6)
    assert (found[:, 1] < maxsim(QUERIES, long.reshape(1, -1, 8))[:, 0] - 0.1).any()
    terms = best_run((QUERIES[0] @ long.reshape(-1, 8).T).reshape(4, 27, 5).max(axis=2))
    assert terms.sum() == pytest.approx(expected[0], rel=1e-6)


@pytest.mark.parametrize("elements", [1, 3 * 4 * 5 * 2, 3 * 4 * 5 * 4, 10**9])
def test_blocks_change_nothing(elements: int) -> None:
    whole = page_maxsim(QUERIES, WINDOWS, STARTS)
    np.testing.assert_allclose(page_maxsim(QUERIES, WINDOWS, STARTS, chunk_elements=elements), whole, rtol=1e-6)


def test_nothing_gives_nothing() -> None:
    nothing = np.arange(0)
    assert page_maxsim(QUERIES, WINDOWS[:0], nothing).shape == (3, 0)
    assert page_maxsim(QUERIES[:0], WINDOWS, STARTS).shape == (0, 4)


@pytest.mark.parametrize("starts", [[], [1, 3], [0, 4, 4], [0, 5, 3], [0, 9]])
def test_starts_that_do_not_cover_the_windows_are_refused(starts: list[int]) -> None:
    with pytest.raises(InputError, match="starts must ascend from 0 and stay below the 9 windows"):
        page_maxsim(QUERIES, WINDOWS, np.asarray(starts, dtype=np.int64))


def test_torch_and_numpy_score_pages_alike():
    similarities = token_similarities(torch.from_numpy(QUERIES), torch.from_numpy(WINDOWS))
    pages = torch.from_numpy(np.searchsorted(STARTS, np.arange(len(WINDOWS)), side="right") - 1)
    found = reduce_maxsim(similarities, pages)
    np.testing.assert_allclose(found.numpy(), page_maxsim(QUERIES, WINDOWS, STARTS), rtol=1e-5)
    alone = reduce_maxsim(similarities, torch.arange(len(WINDOWS)))
    torch.testing.assert_close(alone, reduce_maxsim(similarities))


def test_a_maximum_s_gradient_is_whole_whatever_memory_held_before() -> None:
    # Memory that is taken again holds the same maxima; scatter_reduce would share the gradient with them.
    values, pages = torch.randn(64, 40, 16, generator=torch.Generator().manual_seed(1)), torch.arange(40) // 2
    for _ in range(20):
        asked = values.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(best_per_page(asked, pages).sum(), asked)
        assert torch.equal(gradient.unflatten(1, (20, 2)).sum(dim=2), torch.ones(64, 20, 16))
