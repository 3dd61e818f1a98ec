"""The nested contrastive loss: Matryoshka multi-vector retrieval (MMR), arXiv 2509.18095."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.scoring import reduce_maxsim, token_similarities


def mmr_scores(
    queries: Tensor,
    documents: Tensor,
    groups: Sequence[Budget] = LADDER,
    similarity: Literal["sum", "mean"] = "mean",
) -> list[Tensor]:
    """MaxSim of every query with every document for every group.

    The token similarities are computed once; a group reads their leading ``[q, d]`` corner.

    Args:
        queries: ``[n, q, dim]``.
        documents: ``[m, d, dim]``.
        groups: budgets, each at most ``(q, d)``.
        similarity: "sum" over query tokens, or their "mean", which keeps the temperature comparable
            between groups.

    Returns:
        one ``[n, m]`` tensor a group.
    """
    widest = Budget(max(group.query for group in groups), max(group.document for group in groups))
    if queries.shape[1] < widest.query or documents.shape[1] < widest.document:
        raise InputError(
            f"groups need {widest} Meta Tokens but the batch has ({queries.shape[1]},{documents.shape[1]})"
        )
    similarities = token_similarities(queries, documents)
    scores = [reduce_maxsim(similarities[..., : group.query, : group.document]) for group in groups]
    if similarity == "mean":
        scores = [score / group.query for score, group in zip(scores, groups, strict=True)]
    return scores


def mmr_loss(
    queries: Tensor,
    documents: Tensor,
    *,
    groups: Sequence[Budget] = LADDER,
    weights: Sequence[float] | None = None,
    temperature: float = 0.03,
    similarity: Literal["sum", "mean"] = "mean",
) -> Tensor:
    """The weighted mean over groups of InfoNCE with in-batch and explicit negatives.

    Args:
        queries: ``[n, q, dim]``.
        documents: ``[m, d, dim]`` with m >= n; row i is the positive of query i, every other row a negative.
        groups: nested budgets trained in parallel.
        weights: one a group, 1 each by default; their mean scales the loss.
        temperature: divides the scores.
        similarity: see ``mmr_scores``.

    Returns:
        a scalar.
    """
    weights = [1.0] * len(groups) if weights is None else list(weights)
    if len(weights) != len(groups):
        raise InputError(f"{len(groups)} groups need as many weights, not {len(weights)}")
    labels = torch.arange(len(queries), device=queries.device)
    losses = [
        weight * nn.functional.cross_entropy(scores / temperature, labels)
        for weight, scores in zip(weights, mmr_scores(queries, documents, groups, similarity), strict=True)
    ]
    return torch.stack(losses).mean()


class MMRLoss(nn.Module):
    """``mmr_loss`` as the sentence-transformers trainer calls it.

    Columns of a batch: query, positive, and optionally one hard negative.

    Args:
        model: a MultiVectorEncoder ending in a MetaTokenHead.
        distillation: adds, for every group, the KL divergence to a teacher's in-batch ranking; see
            ``metaembed_rag.training.teacher``. None trains on labels alone, as the paper does.
        options: as for ``mmr_loss``.
    """

    def __init__(self, model: nn.Module, *, distillation: nn.Module | None = None, **options: Any) -> None:
        super().__init__()
        self.model = model
        self.distillation = distillation
        self.options = options

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        query_features, *document_features = [dict(features) for features in sentence_features]
        queries = self.model(dict(query_features))["token_embeddings"]
        documents = torch.cat([self.model(dict(features))["token_embeddings"] for features in document_features])
        loss = mmr_loss(queries, documents, **self.options)
        if self.distillation is not None:
            loss = loss + self.distillation(queries, documents, query_features, document_features)
        return loss

    def get_config_dict(self) -> dict[str, Any]:
        return {key: str(value) for key, value in self.options.items()}
