"""The nested loss against analytic values and a direct double-precision reference."""

from __future__ import annotations

import math

import pytest
import torch

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.training.loss import mmr_loss, mmr_scores


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def reference(queries, documents, groups, temperature, mean):
    """Five separate plain losses, one query and one document at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for group in groups:
        for row, query in enumerate(queries):
            scores = []
            for document in documents:
                score = sum(
                    max((query[i] * document[j]).sum() for j in range(group.document)) for i in range(group.query)
                )
                scores.append(score / (group.query if mean else 1))
            logits = torch.stack(scores) / temperature
            total = total + torch.logsumexp(logits, 0) - logits[row]
    return total / len(queries) / len(groups)


@pytest.mark.parametrize("similarity", ["mean", "sum"])
def test_value_and_gradient_equal_separate_plain_losses(similarity):
    queries, documents = unit(3, 16, 8, seed=1), unit(6, 64, 8, seed=2)
    gradients = []
    values = []
    for loss in (
        lambda q, d: mmr_loss(q, d, temperature=0.5, similarity=similarity),
        lambda q, d: reference(q, d, LADDER, 0.5, similarity == "mean"),
    ):
        q, d = queries.clone().requires_grad_(), documents.clone().requires_grad_()
        value = loss(q, d)
        value.backward()
        values.append(value.item())
        gradients.append((q.grad, d.grad))
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-9, rtol=0)


def test_equal_documents_give_log_n():
    documents = unit(1, 64, 8).expand(7, -1, -1)
    assert mmr_loss(unit(7, 16, 8), documents).item() == pytest.approx(math.log(7))


def test_weights_scale_their_groups():
    queries, documents = unit(3, 16, 8), unit(3, 64, 8, seed=5)
    groups = [Budget(1, 1), Budget(16, 64)]
    only_last = mmr_loss(queries, documents, groups=groups, weights=[0.0, 2.0])
    torch.testing.assert_close(only_last, mmr_loss(queries, documents, groups=[Budget(16, 64)]))


def test_scores_read_prefixes_only():
    queries, documents = unit(2, 16, 8), unit(4, 64, 8)
    narrow = mmr_scores(queries, documents, [Budget(2, 4)])[0]
    torch.testing.assert_close(narrow, mmr_scores(queries[:, :2], documents[:, :4], [Budget(2, 4)])[0])


def test_wrong_sizes_are_refused():
    with pytest.raises(InputError, match="groups need"):
        mmr_loss(unit(2, 8, 4), unit(2, 64, 4))
    with pytest.raises(InputError, match="as many weights"):
        mmr_loss(unit(2, 16, 4), unit(2, 64, 4), weights=[1.0])
