"""Document Meta Tokens that say nearly the same, merged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch.nn.functional import normalize

from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.merging import merge_first
from metaembed_rag.errors import ModelError

CONFIG = ModelConfig(name="test", backbone="all-MiniLM-L6-v2", query_tokens=4, document_tokens=8, dim=32)


def unit(*shape: int, seed: int = 1) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_the_means_are_those_of_average_linkage():
    rows = unit(20, 24, 12)
    merged = merge_first(rows, 16)
    for before, after in zip(rows, merged, strict=True):
        members = before[1:16].numpy()
        labels = fcluster(linkage(members, "average", metric="cosine"), 7, "maxclust")
        wanted = np.stack([members[labels == label].mean(axis=0) for label in range(1, 8)])
        wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
        sizes = np.bincount(labels)[1:]
        found = (wanted @ after[1:8].numpy().T).argmax(axis=1)
        assert sorted(found) == list(range(7))
        np.testing.assert_allclose(after[1:8].numpy()[found], wanted, atol=1e-5)
        assert list(sizes[np.argsort(found)]) == sorted(sizes, reverse=True)


def test_every_member_follows_but_the_first_of_each_cluster():
    rows = unit(20, 24, 12)
    merged = merge_first(rows, 16)
    assert torch.equal(merged[:, :1], rows[:, :1]) and torch.equal(merged[:, 16:], rows[:, 16:])
    for before, after in zip(rows, merged, strict=True):
        labels = fcluster(linkage(before[1:16].numpy(), "average", metric="cosine"), 7, "maxclust").tolist()
        others = [place for place, label in enumerate(labels, 1) if label in labels[: place - 1]]
        assert len(others) == 8
        assert torch.equal(after[8:16], before[others])


def test_rounding_does_not_choose():
    """Two members are equally far from their mean."""
    rows = unit(200, 24, 12)
    noise = 1e-6 * unit(200, 24, 12, seed=2)
    torch.testing.assert_close(merge_first(rows + noise, 16), merge_first(rows, 16), atol=1e-4, rtol=0)


def test_equal_rows_are_merged_first():
    rows = unit(1, 4, 8)[:, [0, 1, 1, 2, 1, 3, 1, 1]]
    merged = merge_first(rows, 8)
    torch.testing.assert_close(merged[0, :4], rows[0, :6][[0, 1, 3, 5]])
    torch.testing.assert_close(merged[0, 4:], rows[0, [1] * 4])


def test_one_document_or_several_and_any_leading_dimensions():
    rows = unit(2, 3, 10, 6)
    merged = merge_first(rows, 8)
    torch.testing.assert_close(merged[1, 2], merge_first(rows[1, 2], 8))
    torch.testing.assert_close(merged[1], merge_first(rows[1], 8))


def test_the_means_have_gradients():
    rows = unit(2, 16, 8).requires_grad_()
    merge_first(rows, 16)[:, 1:8].square()[..., :3].sum().backward()
    assert rows.grad is not None and torch.isfinite(rows.grad).all()
    assert (rows.grad[:, 1:].norm(dim=-1) > 0).all() and (rows.grad[:, 0] == 0).all()


@pytest.mark.parametrize("merged", [2, 5, 10, 0, -4, True, "8", 4.0])
def test_a_config_merges_an_even_number_of_the_tokens_that_there_are(merged):
    with pytest.raises(ModelError, match="merged_tokens must be an even number from 4 to the 8 document_tokens"):
        replace(CONFIG, merged_tokens=merged)


def test_a_model_folder_says_how_many_are_merged(tmp_path):
    replace(CONFIG, merged_tokens=8).save(tmp_path)
    assert ModelConfig.load(tmp_path).merged_tokens == 8
