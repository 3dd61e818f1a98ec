"""What the frozen backbone teaches beside the labels: rankings of the batch, and each Meta Token's own direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.training.alignment import document_targets, query_targets
from metaembed_rag.training.loss import mmr_scores
from metaembed_rag.training.teacher import TokenTeacher

#: Share of the pooled scores in the narrowest group's target.
NARROWEST = 0.5


class Distillation(nn.Module):
    """KL divergence between the student's and the teacher's in-batch rankings, plus distance from the targets.

    The narrowest group learns from the mean of pooled and token-level scores, the wider ones from the token-level
    ranking, with a share of the pooled scores: a teacher that differs by budget gives the extra Meta Tokens something
    to add.

    Args:
        teacher: reads the batch.
        ranking: weight of the divergence, averaged over groups; 0 leaves it out.
        alignment: weight of ``1 - cosine`` with the targets of ``metaembed_rag.training.alignment``; 0 leaves it out.
        first: weight of the same of the first Meta Token alone, whose target is the pooled vector; 0 leaves it out.
        projection: ``[dim - 1, hidden]``, of ``principal_directions`` or ``nearest_directions``; needed for both.
        division_weights: the student's, see ``ModelConfig``.
        pooled: share of the pooled scores in the wider groups' target, from 0 to 1.
        temperature: of the student's distribution.
        teacher_temperature: of the teacher's.
        groups: the student's budgets.
        similarity: see ``mmr_scores``.
    """

    def __init__(
        self,
        teacher: TokenTeacher,
        *,
        ranking: float,
        alignment: float,
        projection: Tensor | None,
        temperature: float,
        first: float = 0.0,
        division_weights: Sequence[float] | None = None,
        pooled: float = 0.0,
        teacher_temperature: float = 0.03,
        groups: Sequence[Budget] = LADDER,
        similarity: Literal["sum", "mean"] = "mean",
    ) -> None:
        super().__init__()
        # No module of ours: the trainer must neither save nor move nor count the teacher's weights.
        self.teacher = teacher
        self.ranking = ranking
        self.alignment = alignment
        self.projection = projection
        self.first = first
        self.division_weights = division_weights
        self.temperature = temperature
        self.pooled = pooled
        self.teacher_temperature = teacher_temperature
        self.groups = tuple(groups)
        self.similarity: Literal["sum", "mean"] = similarity
        #: The terms of the last batch, unweighted, for the log.
        self.terms: dict[str, float] = {}

    def forward(
        self,
        queries: Tensor,
        documents: Tensor,
        query_features: dict[str, Any],
        document_features: Sequence[dict[str, Any]],
        pages: Tensor | None = None,
    ) -> Tensor:
        """A scalar.

        Args:
            queries: ``[n, q, dim]``, the student's.
            documents: ``[m, d, dim]``, the student's, all columns one after the other.
            query_features: what the student read.
            document_features: the same, a column each.
            pages: of all columns' windows, see ``mmr_scores``.
        """
        asked = self.teacher.read(query_features)
        columns = [self.teacher.read(features) for features in document_features]
        loss = queries.new_zeros(())
        if self.ranking:
            ranked = self._divergence(queries, documents, *self.teacher.scores(asked, columns), pages)
            self.terms["divergence"] = round(ranked.item(), 4)
            loss = loss + self.ranking * ranked
        if (self.alignment or self.first) and self.projection is not None:
            wanted = torch.cat([document_targets(column, self.projection) for column in columns])
            wished = query_targets(asked, self.projection, self.division_weights)
            asking, telling = _distance(queries, wished), _distance(documents, wanted)
            first = _distance(queries[:, :1], wished[:, :1]) + _distance(documents[:, :1], wanted[:, :1])
            self.terms |= {"distance_query": round(asking.item(), 4), "distance_document": round(telling.item(), 4)}
            self.terms["distance_first"] = round(first.item() / 2, 4)
            loss = loss + self.alignment * (asking + telling) + self.first * first
        return loss

    def _divergence(
        self, queries: Tensor, documents: Tensor, pooled: Tensor, token_level: Tensor, pages: Tensor | None
    ) -> Tensor:
        terms = []
        for index, scores in enumerate(mmr_scores(queries, documents, self.groups, self.similarity, pages)):
            share = NARROWEST if index == 0 else self.pooled
            target = share * pooled + (1 - share) * token_level
            terms.append(divergence(scores / self.temperature, target / self.teacher_temperature))
        return torch.stack(terms).mean()


def divergence(logits: Tensor, target: Tensor) -> Tensor:
    """KL divergence of one ranking from another, a scalar; both ``[n, m]`` logits, the mean over n."""
    return nn.functional.kl_div(
        logits.log_softmax(dim=-1), target.log_softmax(dim=-1), log_target=True, reduction="batchmean"
    )


def _distance(embeddings: Tensor, wanted: Tensor) -> Tensor:
    return 1 - (embeddings * wanted).sum(dim=-1).mean()
