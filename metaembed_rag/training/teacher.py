"""The frozen backbone as a teacher: its token-level late interaction, in which rare words count for more.

Measured before any training (``benchmarks/mini/LOG.md``): weighting query tokens by inverse document frequency
lifts the backbone's all-token MaxSim by three points of nDCG@5 on TAT-QA, and BM25 beside it by five more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metaembed_rag.embedding.tokens import META_TOKENS
from metaembed_rag.scoring import best_per_page, token_similarities
from metaembed_rag.training.lexicon import lexical_scores
from metaembed_rag.training.samples import PAGES


@dataclass(frozen=True, slots=True)
class Column:
    """What the frozen backbone makes of one column of a batch.

    Attributes:
        ids: ``[n, t]`` pieces.
        mask: bool ``[n, t]``, where there are any.
        states: ``[n, t, hidden]`` of the last layer, unit length, 0 where there are none.
        weights: ``[n, t]`` how much each piece says, 0 where there are none.
        pooled: ``[n, hidden]`` the mean of the states before they were scaled, unit length.
        positions: ``[n, tokens]`` of the Meta Tokens.
        pages: ``[n]``, the page of each, where they are windows; None where each stands alone.
    """

    ids: Tensor
    mask: Tensor
    states: Tensor
    weights: Tensor
    pooled: Tensor
    positions: Tensor
    pages: Tensor | None = None


class TokenTeacher:
    """Reads texts and ranks documents; holds no parameter that trains.

    Args:
        backbone: the frozen, unadapted transformers encoder.
        weights: ``[vocabulary]`` of ``inverse_document_frequencies``.
        special_ids: pieces that are no words.
        lexical: share of BM25 in the ranking, from 0 to 1; the rest is weighted MaxSim.
    """

    def __init__(self, backbone: nn.Module, weights: Tensor, special_ids: Sequence[int], lexical: float = 0.0) -> None:
        self.backbone = backbone.eval().requires_grad_(False)
        self.weights = weights
        self.special_ids = list(special_ids)
        self.lexical = lexical

    @torch.no_grad()
    def read(self, features: dict[str, Any]) -> Column:
        """The text of a batch's features, Meta Tokens left out."""
        count = features[META_TOKENS]
        ids, mask = features["input_ids"][:, :-count], features["attention_mask"][:, :-count]
        raw = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state.float() * mask.unsqueeze(-1)
        return Column(
            ids,
            mask.bool(),
            nn.functional.normalize(raw, dim=-1),
            self.weights[ids] * mask,
            nn.functional.normalize(raw.sum(dim=1), dim=-1),
            features.get("position_ids", ids)[:, -count:],
            features.get(PAGES),
        )

    @torch.no_grad()
    def scores(self, queries: Column, documents: Sequence[Column]) -> tuple[Tensor, Tensor]:
        """Cosines of the pooled vectors, and the token-level ranking: each ``[n, m]``, or ``[n, pages]``.

        A page's vectors rank as its best window does: with hundreds of them, more match by chance the longer it is,
        which costs the backbone's late interaction up to 1.7 points (``benchmarks/mini/LOG.md``). Its words are one
        text.
        """
        pooled, token_level = [], []
        for column in documents:
            near = queries.pooled @ column.pooled.T
            late = weighted_maxsim(queries.states, queries.weights, column.states, column.mask)
            if column.pages is not None:
                near, late = best_per_page(near, column.pages), best_per_page(late, column.pages)
            if self.lexical:
                words = lexical_scores(queries.ids, column.ids, self.weights, self.special_ids, column.pages)
                late = (1 - self.lexical) * late + self.lexical * words
            pooled.append(near)
            token_level.append(late)
        return torch.cat(pooled, dim=1), torch.cat(token_level, dim=1)


def weighted_maxsim(queries: Tensor, weights: Tensor, documents: Tensor, mask: Tensor) -> Tensor:
    """``sum_i w_i max_j q_i d_j / sum_i w_i``.

    Args:
        queries: ``[n, q, dim]``.
        weights: ``[n, q]``.
        documents: ``[m, d, dim]``.
        mask: bool ``[m, d]``, which document tokens there are.

    Returns:
        ``[n, m]``.
    """
    best = token_similarities(queries, documents).masked_fill_(~mask[None, :, None], -1.0).amax(dim=-1)
    return (best * weights.unsqueeze(1)).sum(dim=-1) / weights.sum(dim=1, keepdim=True)
