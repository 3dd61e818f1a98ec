"""Failure signatures of nested training, measured on a model and put into plain words.

What is known to go wrong (arXiv 2509.18095): scores that do not rise along the ladder, a wide gap between (1,1)
and (16,64), Meta Tokens that get no gradient, and Meta Tokens that all say the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaembed_rag.budget import LADDER, Budget
from metaembed_rag.errors import InputError
from metaembed_rag.scoring import maxsim
from metaembed_rag.training.data import Sample, Triplet, identity

if TYPE_CHECKING:
    from metaembed_rag.embedding.model import MetaEmbed
    from metaembed_rag.training.loss import Objective

FloatArray = npt.NDArray[np.float32]

#: A fall in MRR of at most this is noise.
TOLERANCE = 0.005
#: The paper's widest gap of a nested model is 6.3 points (32B); without nesting (1,1) loses 9 more.
WIDEST_GAP = 0.10
#: Mean cosine of two different Meta Tokens of one text above which they say the same.
REDUNDANT = 0.95
#: Effective rank below which more Meta Tokens cannot add anything.
LOWEST_RANK = 1.5
#: A gradient below this share of the median counts as none.
DEAD = 0.01
#: The first Meta Token takes part in every group, so it should get no less than this share of the others' gradient.
FIRST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Quality:
    """Ranking at one budget.

    Attributes:
        budget: Meta Tokens used.
        accuracy: share of queries whose positive ranks first.
        mrr: mean reciprocal rank of the positive.
    """

    budget: Budget
    accuracy: float
    mrr: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How different the Meta Tokens of one text are, averaged over texts.

    Attributes:
        effective_rank: ``exp(entropy of the normalised singular values)`` of the ``[tokens, dim]`` matrix (Roy and
            Vetterli 2007): 1 where all tokens are equal, at most ``min(tokens, dim)``.
        redundancy: mean cosine of two different tokens.
    """

    effective_rank: float
    redundancy: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is off: what was measured, and the likely cause with what to try."""

    observed: str
    cause: str

    def __str__(self) -> str:
        return f"{self.observed}: {self.cause}"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything ``diagnose`` measures.

    Attributes:
        quality: one entry a budget, narrowest first.
        query_gradients, document_gradients: norm of the loss's gradient at each Meta Token's input row.
        query_spread, document_spread: of the embeddings.
        pairs, documents: how many were ranked.
    """

    quality: tuple[Quality, ...]
    query_gradients: tuple[float, ...]
    document_gradients: tuple[float, ...]
    query_spread: Spread
    document_spread: Spread
    pairs: int
    documents: int

    @property
    def gap(self) -> float:
        """MRR at the widest budget minus that at the narrowest."""
        return self.quality[-1].mrr - self.quality[0].mrr

    @property
    def findings(self) -> list[Finding]:
        """What is off; empty for a model in order."""
        return [
            *judge_quality(self.quality, first_share(self.query_gradients)),
            *judge_gradients("query", self.query_gradients),
            *judge_gradients("document", self.document_gradients),
            *judge_spread("query", self.query_spread),
            *judge_spread("document", self.document_spread),
        ]

    def to_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {
            "pairs": self.pairs,
            "documents": self.documents,
            "quality": [
                {"budget": [one.budget.query, one.budget.document], "accuracy": one.accuracy, "mrr": one.mrr}
                for one in self.quality
            ],
            "gap": self.gap,
            "gradients": {"query": list(self.query_gradients), "document": list(self.document_gradients)},
            "effective_rank": {
                "query": self.query_spread.effective_rank,
                "document": self.document_spread.effective_rank,
            },
            "redundancy": {"query": self.query_spread.redundancy, "document": self.document_spread.redundancy},
            "findings": [str(finding) for finding in self.findings],
        }


def diagnose(
    model: MetaEmbed, pairs: Sequence[Triplet], *, objective: Objective | None = None, batch_size: int = 32
) -> Diagnosis:
    """Measure a model on pairs it was not trained on.

    Every positive and negative of the pairs is a document; texts longer than the window are cut, as in training.

    Args:
        model: what to examine.
        pairs: from ``read_pairs``, at least two with different positives.
        objective: the loss whose gradient is taken; None is the groups and similarity the model was trained with.
        batch_size: texts encoded at once, and pairs in the gradient's batch.

    Raises:
        InputError: too few pairs.
        ModelError: the model's embeddings are not finite.
    """
    from metaembed_rag.training.samples import load_sample

    documents = {identity(row[name]): row[name] for row in pairs for name in ("positive", "negative") if row[name]}
    places = {key: place for place, key in enumerate(documents)}
    if len({identity(row["positive"]) for row in pairs}) < 2:
        raise InputError("a diagnosis needs at least two pairs with different positives; give more data")
    budgets = [rung for rung in LADDER if rung.query <= model.query_tokens and rung.document <= model.document_tokens]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query_rows = model.encode_queries([load_sample(row["query"]) for row in pairs], batch_size=batch_size)
        document_rows = model.encode_documents(
            [load_sample(sample) for sample in documents.values()], batch_size=batch_size
        )
    positives = np.asarray([places[identity(row["positive"])] for row in pairs])
    query_norms, document_norms = gradient_norms(model, pairs[:batch_size], objective)
    return Diagnosis(
        tuple(rank_quality(query_rows, document_rows, positives, budgets)),
        query_norms,
        document_norms,
        spread(query_rows),
        spread(document_rows),
        len(pairs),
        len(documents),
    )


def rank_quality(
    queries: FloatArray, documents: FloatArray, positives: npt.NDArray[np.integer[Any]], budgets: Sequence[Budget]
) -> list[Quality]:
    """Accuracy and MRR at every budget; a document that ties with the positive ranks before it.

    Args:
        queries: ``[n, q, dim]``.
        documents: ``[m, d, dim]``.
        positives: ``[n]``, places in ``documents``.
        budgets: what to score.
    """
    found = []
    for budget in budgets:
        ranks = []
        for start in range(0, len(queries), 64):
            scores = maxsim(queries[start : start + 64, : budget.query], documents[:, : budget.document])
            own = scores[np.arange(len(scores)), positives[start : start + 64]]
            ranks.append((scores >= own[:, None]).sum(axis=1))
        places = np.concatenate(ranks)
        found.append(Quality(budget, float((places == 1).mean()), float((1.0 / places).mean())))
    return found


def spread(embeddings: Any, at_most: int = 256) -> Spread:
    """``Spread`` of ``[n, tokens, dim]`` rows of unit length, from the first ``at_most`` texts."""
    rows = np.asarray(embeddings[:at_most], dtype=np.float64)
    tokens = rows.shape[1]
    values = np.linalg.svd(rows, compute_uv=False)
    shares = values / values.sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
    if tokens == 1:
        return Spread(1.0, 0.0)
    cosines = rows @ rows.transpose(0, 2, 1)
    different = ~np.eye(tokens, dtype=bool)
    return Spread(float(np.exp(entropy).mean()), float(cosines[:, different].mean()))


def gradient_norms(
    model: MetaEmbed, pairs: Sequence[Triplet], objective: Objective | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Norm of the MMR loss's gradient at the input row of each query and each document Meta Token.

    Args:
        model: left as it is.
        pairs: one batch.
        objective: None is the groups and the similarity that the model was trained with.
    """
    from metaembed_rag.embedding.build import parts
    from metaembed_rag.training.loss import MMRLoss, Objective, parse_groups
    from metaembed_rag.training.samples import SampleReader

    if objective is None:
        objective = Objective(groups=parse_groups(model.config.groups), similarity=model.config.similarity)
    loss = MMRLoss(model.encoder, objective=objective, gather=False)
    transformer, _ = parts(model.encoder)
    reader = SampleReader(model.encoder.preprocess)
    columns = []
    texts: list[list[Sample]] = [[row["query"] for row in pairs], [row["positive"] for row in pairs]]
    if all(row["negative"] for row in pairs):
        texts.append([row["negative"] for row in pairs])
    for number, samples in enumerate(texts):
        task = "document" if number else "query"
        features = reader(samples, task=task, prompt=None)
        columns.append(
            {k: v.to(model.encoder.device) if hasattr(v, "to") else v for k, v in features.items()} | {"task": task}
        )
    weight = transformer.model.get_input_embeddings().weight
    needed = {parameter: parameter.requires_grad for parameter in model.encoder.parameters()}
    try:
        model.encoder.requires_grad_(False)
        weight.requires_grad_(True)
        loss(columns).backward()
        rows = weight.grad[[*transformer.query_token_ids, *transformer.document_token_ids]].float().norm(dim=1)
    finally:
        weight.grad = None
        for parameter, flag in needed.items():
            parameter.requires_grad_(flag)
    norms = [float(norm) for norm in rows]
    return tuple(norms[: model.query_tokens]), tuple(norms[model.query_tokens :])


def first_share(norms: Sequence[float]) -> float:
    """The first Meta Token's gradient over the mean of the others'; 1 where there is nothing to compare."""
    others = float(np.mean(norms[1:])) if len(norms) > 1 else 0.0
    return norms[0] / others if others > 0 else 1.0


def judge_quality(quality: Sequence[Quality], share: float | None = None) -> list[Finding]:
    """Whether quality rises along the ladder, where it falls, and whether the narrowest budget lags.

    Args:
        quality: narrowest budget first.
        share: ``first_share`` of the query Meta Tokens, which tells the two causes of a lag apart; None if unknown.
    """
    findings = [
        Finding(
            f"MRR falls from {low.mrr:.3f} at {low.budget} to {high.mrr:.3f} at {high.budget}",
            "the nested loss is wrong or lopsided; check the recipe's groups and weights, and that every group is "
            "a prefix of the next",
        )
        for low, high in pairwise(quality)
        if low.mrr - high.mrr > TOLERANCE
    ]
    gap = quality[-1].mrr - quality[0].mrr
    if gap > WIDEST_GAP:
        findings.append(
            Finding(
                f"{quality[0].budget} lies {gap:.3f} MRR below {quality[-1].budget}",
                "too little gradient reaches the first Meta Tokens; train with the narrow groups, or raise their "
                "weights"
                if share is None or share < FIRST_SHARE
                else "the first Meta Tokens get their gradient, so either the narrow groups were left out of the "
                "training, or one vector holds too little of this data: widen dim, or train longer",
            )
        )
    return findings


def judge_gradients(side: str, norms: Sequence[float]) -> list[Finding]:
    """Whether some Meta Token gets no gradient, or the first less than the others."""
    median = float(np.median(norms))
    if not median > 0:
        return [
            Finding(
                f"most {side} Meta Tokens get no gradient",
                "they lie outside every group, or the loss is already 0 on this data; check groups, or give "
                "harder data",
            )
        ]
    findings = []
    dead = [number for number, norm in enumerate(norms, start=1) if norm < DEAD * median]
    if dead:
        findings.append(
            Finding(
                f"{side} Meta Tokens {_ranges(dead)} get almost no gradient",
                "they lie outside every group, or are never the best match; check groups, or train longer",
            )
        )
    if (share := first_share(norms)) < FIRST_SHARE:
        findings.append(
            Finding(
                f"the first {side} Meta Token gets {share:.2f} of the others' gradient",
                "the narrow groups are missing or weigh too little; (1,1) will lag behind",
            )
        )
    return findings


def judge_spread(side: str, found: Spread) -> list[Finding]:
    """Whether the Meta Tokens of a text all say the same."""
    if found.redundancy <= REDUNDANT and found.effective_rank >= LOWEST_RANK:
        return []
    return [
        Finding(
            f"the {side} Meta Tokens are nearly equal (effective rank {found.effective_rank:.2f}, mean cosine "
            f"{found.redundancy:.2f})",
            "they have collapsed into one vector, so wider budgets add nothing; start their rows at random, lower "
            "the learning rate, or give wide groups more weight",
        )
    ]


def _ranges(numbers: Sequence[int]) -> str:
    """``[1, 2, 3, 7]`` -> ``1-3, 7``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)
