"""The nested contrastive loss: Matryoshka multi-vector retrieval (MMR), arXiv 2509.18095."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from sentence_transformers.multi_vector_encoder.losses import CachedMultiVectorMultipleNegativesRankingLoss
from sentence_transformers.util import all_gather_with_grad
from sentence_transformers.util.distributed import get_rank, get_world_size
from torch import Tensor, nn

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.scoring import reduce_maxsim, token_similarities
from metaembed_rag.training.samples import PAGES

Similarity = Literal["sum", "mean"]


@dataclass(frozen=True, slots=True)
class Objective:
    """What MMR minimises: one InfoNCE a group, weighted and averaged over the groups.

    Attributes:
        groups: nested budgets trained in parallel, narrowest first.
        weights: one a group; None is 1 each. The loss is ``mean(weight * InfoNCE)`` over the groups.
        temperature: divides the scores.
        similarity: "sum" MaxSim over the query tokens, or their "mean", which keeps the temperature comparable
            between groups.

    Raises:
        InputError: no groups, groups that are not nested, as many weights as there are not groups, a negative
            weight, no weight above 0, or a temperature that is not above 0.
    """

    groups: tuple[Budget, ...] = LADDER
    weights: tuple[float, ...] | None = None
    temperature: float = 0.03
    similarity: Similarity = "mean"

    def __post_init__(self) -> None:
        if not self.groups:
            raise InputError("the loss needs at least one group of Meta Tokens, e.g. (16, 64)")
        for narrow, wide in pairwise(self.groups):
            if narrow == wide or narrow.query > wide.query or narrow.document > wide.document:
                raise InputError(f"groups must be nested, narrowest first: {narrow} does not lie inside {wide}")
        if self.weights is not None:
            if len(self.weights) != len(self.groups):
                raise InputError(f"{len(self.groups)} groups need as many weights, not {len(self.weights)}")
            if min(self.weights) < 0 or sum(self.weights) == 0:
                raise InputError(f"weights are 0 or more, and one is above 0, unlike {self.weights}")
        if not self.temperature > 0:
            raise InputError(f"temperature must be above 0, not {self.temperature!r}")
        if self.similarity not in ("sum", "mean"):
            raise InputError(f"similarity must be 'sum' or 'mean', not {self.similarity!r}")

    @property
    def widest(self) -> Budget:
        """The tokens that take part in any group."""
        return self.groups[-1]

    def losses(
        self, queries: Tensor, documents: Tensor, labels: Tensor, pages: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """InfoNCE and hits of each query in each group.

        Args:
            queries: ``[n, q, dim]``.
            documents: ``[m, d, dim]``.
            labels: ``[n]``, which document is each query's positive; all others are its negatives.
            pages: see ``mmr_scores``; labels then count pages.

        Returns:
            ``[groups, n]`` losses, and bool ``[groups, n]``: whether the positive scores highest.
        """
        losses, hits = [], []
        for scores in mmr_scores(queries, documents, self.groups, self.similarity, pages):
            losses.append(nn.functional.cross_entropy(scores / self.temperature, labels, reduction="none"))
            positive = scores.detach().gather(1, labels[:, None])
            # Ties count as misses: equal embeddings rank nothing.
            hits.append((scores.detach() >= positive).sum(dim=1) == 1)
        return torch.stack(losses), torch.stack(hits)

    def combine(self, losses: Tensor) -> Tensor:
        """``[groups, n]`` -> ``[n]``: the weighted mean over the groups."""
        if self.weights is None:
            return losses.mean(dim=0)
        return losses.new_tensor(self.weights) @ losses / len(self.groups)


def mmr_scores(
    queries: Tensor,
    documents: Tensor,
    groups: Sequence[Budget] = LADDER,
    similarity: Similarity = "mean",
    pages: Tensor | None = None,
) -> list[Tensor]:
    """MaxSim of every query with every document for every group.

    The token similarities are computed once; a group reads their leading ``[q, d]`` corner.

    Args:
        queries: ``[n, q, dim]``.
        documents: ``[m, d, dim]``.
        groups: budgets, each at most ``(q, d)``.
        similarity: see ``Objective``.
        pages: ``[m]`` ascending from 0, where documents are windows of pages: see ``reduce_maxsim``.

    Returns:
        one ``[n, m]`` tensor a group, or ``[n, pages]``.
    """
    widest = Budget(max(group.query for group in groups), max(group.document for group in groups))
    if queries.shape[1] < widest.query or documents.shape[1] < widest.document:
        raise InputError(
            f"groups need {widest} Meta Tokens but the batch has ({queries.shape[1]},{documents.shape[1]})"
        )
    # Autocast would round the similarities to bfloat16: an error of 0.004 is 0.13 after division by 0.03.
    with torch.autocast(queries.device.type, enabled=False):
        similarities = token_similarities(queries[:, : widest.query], documents[:, : widest.document])
        scores = [reduce_maxsim(similarities[..., : group.query, : group.document], pages) for group in groups]
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
    similarity: Similarity = "mean",
) -> Tensor:
    """The weighted mean over groups of InfoNCE with in-batch and explicit negatives, in one process.

    Args:
        queries: ``[n, q, dim]``.
        documents: ``[m, d, dim]`` with m >= n; row i is the positive of query i, every other row a negative.
        groups, weights, temperature, similarity: see ``Objective``.

    Returns:
        a scalar.
    """
    objective = Objective(tuple(groups), None if weights is None else tuple(weights), temperature, similarity)
    labels = torch.arange(len(queries), device=queries.device)
    return objective.combine(objective.losses(queries, documents, labels)[0]).mean()


@dataclass(frozen=True, slots=True)
class Reading:
    """What the last batch showed, detached and of this process alone.

    Attributes:
        losses: InfoNCE a group, ``[groups]``.
        accuracies: share of queries whose positive scores highest in the batch, ``[groups]``.
        queries: a few of the batch's query embeddings, ``[n, q, dim]``.
        documents: a few of its positives' or their windows' embeddings, ``[n, d, dim]``.
    """

    losses: Tensor
    accuracies: Tensor
    queries: Tensor
    documents: Tensor


class MMRLoss(CachedMultiVectorMultipleNegativesRankingLoss):
    """``mmr_loss`` as the sentence-transformers trainer calls it, across processes and in bounded memory.

    Columns of a batch: query, positive, and optionally one hard negative. Every process scores its own queries
    against the documents of all processes and averages over its own queries; gradients flow back through the
    gathering, and since distributed training averages them, the scale does not depend on the number of processes.

    Documents cut into windows bring ``PAGES`` and count as wholes, as they do in an index; without
    ``mini_batch_size`` and gathering.

    Args:
        model: a MultiVectorEncoder ending in a MetaTokenHead.
        objective: groups, weights, temperature and similarity.
        mini_batch_size: GradCache (arXiv 2101.06983): so many samples go through the backbone at a time, twice,
            and the batch may be as large as one likes; value and gradient stay the same. None: all at once.
        gather: documents of the other processes are negatives too.
        distillation: adds, for every group, the KL divergence to a teacher's in-batch ranking; see
            ``metaembed_rag.training.teacher``. None trains on labels alone, as the paper does.

    Raises:
        InputError: distillation together with ``mini_batch_size``.
    """

    #: How many embeddings of a batch a Reading keeps.
    KEPT = 16

    def __init__(
        self,
        model: nn.Module,
        *,
        objective: Objective | None = None,
        mini_batch_size: int | None = None,
        gather: bool = True,
        distillation: nn.Module | None = None,
    ) -> None:
        objective = objective or Objective()
        if distillation is not None and mini_batch_size is not None:
            raise InputError("distillation needs a whole batch at once: leave out mini_batch_size or teacher_weight")
        super().__init__(
            model,  # type: ignore[arg-type]
            scale=1 / objective.temperature,
            mini_batch_size=mini_batch_size or 1,
            gather_across_devices=gather,
        )
        self.objective = objective
        self.uses_gradient_cache = mini_batch_size is not None
        self.distillation = distillation
        self.reading: Reading | None = None

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> Tensor:
        """The loss of one batch, a scalar."""
        columns = [dict(features) for features in sentence_features]
        if self.uses_gradient_cache:
            return super().forward(columns, labels)
        pages = _laid_end_to_end([features[PAGES] for features in columns[1:] if PAGES in features])
        # The backbone may change the features it is given; the teacher reads them afterwards.
        read = [{key: value for key, value in features.items() if key != PAGES} for features in columns]
        outputs = [self.model(features)["token_embeddings"] for features in read]
        loss = self._loss(outputs[0], torch.cat(outputs[1:]), pages, with_backward=False)
        if self.distillation is not None:
            loss = loss + self.distillation(outputs[0], torch.cat(outputs[1:]), columns[0], columns[1:], pages)
        return loss

    def calculate_loss(
        self, reps: list[list[Tensor]], masks_chunks: list[list[Tensor]], *, with_backward: bool = False
    ) -> Tensor:
        """The loss from mini-batches of embeddings, one list a column; Meta Tokens need no masks."""
        queries, *documents = [torch.cat(column) for column in reps]
        return self._loss(queries, torch.cat(documents), with_backward=with_backward)

    def _loss(self, queries: Tensor, documents: Tensor, pages: Tensor | None = None, *, with_backward: bool) -> Tensor:
        """Score the queries a mini-batch at a time, so that the similarities never stand in memory all at once."""
        gathering = self.gather_across_devices and get_world_size() > 1
        everything = all_gather_with_grad(documents) if gathering else documents
        first = get_rank() * len(documents) if gathering else 0
        labels = torch.arange(first, first + len(queries), device=queries.device)
        step = self.mini_batch_size if self.uses_gradient_cache else len(queries)
        # Gradients of all mini-batches meet here and go through the gathering once.
        leaf = everything.detach().requires_grad_() if with_backward else everything
        total = queries.new_zeros(())
        losses, hits = [], []
        for start in range(0, len(queries), step):
            rows = slice(start, start + step)
            part, found = self.objective.losses(queries[rows], leaf, labels[rows], pages)
            loss = self.objective.combine(part).sum() / len(queries)
            if with_backward:
                loss.backward()  # type: ignore[no-untyped-call]
            total = total + (loss.detach() if with_backward else loss)
            losses.append(part.detach())
            hits.append(found)
        if with_backward:
            everything.backward(leaf.grad)  # type: ignore[no-untyped-call]
        self.reading = Reading(
            torch.cat(losses, dim=1).mean(dim=1),
            torch.cat(hits, dim=1).float().mean(dim=1),
            queries[: self.KEPT].detach(),
            documents[: min(self.KEPT, len(queries))].detach(),
        )
        return total

    def get_config_dict(self) -> dict[str, Any]:
        return {key: str(value) for key, value in asdict(self.objective).items()}


def _laid_end_to_end(columns: Sequence[Tensor]) -> Tensor | None:
    """Page numbers of all columns' windows, each column counting on from the one before; None without windows."""
    pages: list[Tensor] = []
    for column in columns:
        pages.append(column + (pages[-1][-1] + 1 if pages else 0))
    return torch.cat(pages) if pages else None


def parse_groups(value: Any) -> tuple[Budget, ...]:
    """Groups as a recipe writes them: pairs ``[[1, 1], [16, 64]]``.

    Raises:
        InputError: anything else.
    """
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise InputError(f"groups must be a list of pairs such as [[1, 1], [16, 64]], not {value!r}")
    groups = []
    for pair in value:
        if isinstance(pair, Budget):
            groups.append(pair)
        elif isinstance(pair, (list, tuple)) and len(pair) == 2:
            groups.append(Budget(pair[0], pair[1]))
        else:
            raise InputError(f"a group is a pair of query and document Meta Tokens such as [4, 8], not {pair!r}")
    return tuple(groups)
