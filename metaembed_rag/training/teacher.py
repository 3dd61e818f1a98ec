"""Distillation of the backbone's own token-level late interaction into the nested Meta Tokens.

The narrowest group learns from the backbone's one pooled vector, the wider ones from MaxSim over all of its
tokens (about 300 a page): a teacher that differs by budget gives the extra Meta Tokens something to add.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.embedding.tokens import META_TOKENS
from metaembed_rag.training.loss import mmr_scores


class TokenTeacher(nn.Module):
    """KL divergence between the student's and the frozen backbone's in-batch rankings, averaged over groups.

    Args:
        backbone: the frozen, unadapted transformers encoder.
        weight: multiplies the term.
        temperature: of the teacher's and the student's distributions.
        groups: the student's budgets; the first takes the pooled teacher, the others the token-level one.
        similarity: see ``mmr_scores``.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        weight: float,
        temperature: float = 0.05,
        groups: Sequence[Budget] = LADDER,
        similarity: Literal["sum", "mean"] = "mean",
    ) -> None:
        super().__init__()
        backbone.eval().requires_grad_(False)
        # Kept out of the module tree: the trainer must neither save nor move nor count it.
        self._backbone = (backbone,)
        self.weight = weight
        self.temperature = temperature
        self.groups = tuple(groups)
        self.similarity: Literal["sum", "mean"] = similarity

    def forward(
        self,
        queries: Tensor,
        documents: Tensor,
        query_features: dict[str, Any],
        document_features: Sequence[dict[str, Any]],
    ) -> Tensor:
        pooled, token_level = self.teacher_scores(query_features, document_features)
        terms = []
        for index, scores in enumerate(mmr_scores(queries, documents, self.groups, self.similarity)):
            target = pooled if index == 0 else token_level
            terms.append(
                nn.functional.kl_div(
                    (scores / self.temperature).log_softmax(dim=-1),
                    (target / self.temperature).log_softmax(dim=-1),
                    log_target=True,
                    reduction="batchmean",
                )
            )
        return self.weight * torch.stack(terms).mean()

    @torch.no_grad()
    def teacher_scores(
        self, query_features: dict[str, Any], document_features: Sequence[dict[str, Any]]
    ) -> tuple[Tensor, Tensor]:
        """Cosine of the mean-pooled vectors, and mean MaxSim over all tokens: each ``[n, m]``."""
        query_tokens, query_mask = self._states(query_features)
        columns = [self._states(features) for features in document_features]
        pooled_query = _pool(query_tokens, query_mask)
        pooled, token_level = [], []
        for tokens, mask in columns:
            pooled.append(pooled_query @ _pool(tokens, mask).T)
            token_level.append(_mean_maxsim(query_tokens, query_mask, tokens, mask))
        return torch.cat(pooled, dim=1), torch.cat(token_level, dim=1)

    def _states(self, features: dict[str, Any]) -> tuple[Tensor, Tensor]:
        count = features[META_TOKENS]
        mask = features["attention_mask"][:, :-count]
        output = self._backbone[0](input_ids=features["input_ids"][:, :-count], attention_mask=mask)
        return output.last_hidden_state.float(), mask.bool()


def _pool(tokens: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    return nn.functional.normalize((tokens * weights).sum(1) / weights.sum(1), dim=-1)


def _mean_maxsim(queries: Tensor, query_mask: Tensor, documents: Tensor, document_mask: Tensor) -> Tensor:
    queries, documents = nn.functional.normalize(queries, dim=-1), nn.functional.normalize(documents, dim=-1)
    n, q, dim = queries.shape
    m, d, _ = documents.shape
    similarities = (queries.reshape(-1, dim) @ documents.reshape(-1, dim).T).view(n, q, m, d)
    best = similarities.masked_fill_(~document_mask[None, None], -1.0).amax(dim=-1)
    weights = query_mask.to(best.dtype)
    return (best * weights.unsqueeze(-1)).sum(dim=1) / weights.sum(dim=1, keepdim=True)
