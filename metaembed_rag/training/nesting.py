"""The widest budget as a teacher of the narrower ones, with BM25 beside it: the pupil's own, or that of a frozen model.

Measured (``benchmarks/mini/LOG.md``): a trained model's widest ranking with BM25 is better than either, and better than
that of the frozen backbone, which a trained model has left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from sentence_transformers import MultiVectorEncoder
from torch import Tensor, nn

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.embedding.tokens import META_TOKENS
from metaembed_rag.training.distillation import divergence
from metaembed_rag.training.lexicon import lexical_scores
from metaembed_rag.training.loss import mmr_scores
from metaembed_rag.training.samples import PAGES


class FrozenModel:
    """A trained model that teaches and learns nothing.

    Args:
        encoder: adapter merged; it is frozen.
    """

    def __init__(self, encoder: MultiVectorEncoder) -> None:
        self.encoder = encoder.eval().requires_grad_(False)

    @torch.no_grad()
    def embed(self, features: dict[str, Any]) -> Tensor:
        """``[n, tokens, dim]`` of what a pupil of the same tokens reads."""
        # The backbone may change the features it is given, and knows of no pages.
        read = {key: value for key, value in features.items() if key != PAGES}
        embeddings: Tensor = self.encoder(read)["token_embeddings"]
        return embeddings.float()


class Nesting(nn.Module):
    """KL divergence of every group's in-batch ranking from the widest group's, to which BM25 is added.

    The widest group learns from BM25 alone where its own scores are the rest of its target. Where that of a frozen
    model is, it is held to what that model knew.

    Args:
        weights: ``[vocabulary]`` of ``inverse_document_frequencies``.
        special_ids: pieces that are no words.
        weight: of the divergence, averaged over groups.
        lexical: of BM25, which lies in [0, 1], before it is divided by ``lexical_temperature``.
        temperature: of the scores.
        lexical_temperature: of BM25.
        groups: the budgets.
        similarity: see ``mmr_scores``.
        model: whose widest group teaches; None is the pupil itself.
    """

    def __init__(
        self,
        weights: Tensor,
        special_ids: Sequence[int],
        *,
        weight: float,
        lexical: float,
        temperature: float,
        lexical_temperature: float = 0.03,
        groups: Sequence[Budget] = LADDER,
        similarity: Literal["sum", "mean"] = "mean",
        model: FrozenModel | None = None,
    ) -> None:
        super().__init__()
        self.weights = weights
        self.special_ids = list(special_ids)
        self.weight = weight
        self.lexical = lexical / lexical_temperature
        self.temperature = temperature
        self.groups = tuple(groups)
        self.similarity: Literal["sum", "mean"] = similarity
        # No module of ours: the trainer must neither save nor move nor count its weights.
        self.model = model
        #: The term of the last batch, unweighted, for the log.
        self.terms: dict[str, float] = {}

    def forward(
        self,
        queries: Tensor,
        documents: Tensor,
        query_features: dict[str, Any],
        document_features: Sequence[dict[str, Any]],
        pages: Tensor | None = None,
    ) -> Tensor:
        """A scalar; arguments as for ``Distillation``."""
        scores = mmr_scores(queries, documents, self.groups, self.similarity, pages)
        widest = scores[-1].detach()
        if self.model is not None:
            asking, telling = self.model.embed(query_features), [self.model.embed(part) for part in document_features]
            (widest,) = mmr_scores(asking, torch.cat(telling), self.groups[-1:], self.similarity, pages)
        target = widest / self.temperature
        if self.lexical:
            asked = _words(query_features)
            target = target + self.lexical * torch.cat(
                [
                    lexical_scores(asked, _words(features), self.weights, self.special_ids, features.get(PAGES))
                    for features in document_features
                ],
                dim=1,
            )
        mean = torch.stack([divergence(group / self.temperature, target) for group in scores]).mean()
        self.terms["divergence"] = round(mean.item(), 4)
        return self.weight * mean


def _words(features: dict[str, Any]) -> Tensor:
    """Pieces of the text, Meta Tokens left out."""
    ids: Tensor = features["input_ids"]
    return ids[:, : -features[META_TOKENS]]
