"""What a recipe minimises: the nested contrastive loss, and the teachers of its sources beside it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.util import batch_to_device
from torch import nn
from transformers import AutoModel

from metaembed_rag.embedding.backbone import resolve_backbone
from metaembed_rag.embedding.build import parts
from metaembed_rag.training.alignment import nearest_directions, principal_directions, targets
from metaembed_rag.training.compilation import compile_layers
from metaembed_rag.training.data import Source, Triplet
from metaembed_rag.training.distillation import Distillation
from metaembed_rag.training.lexicon import inverse_document_frequencies
from metaembed_rag.training.loss import MMRLoss, Objective, parse_groups
from metaembed_rag.training.nesting import Nesting
from metaembed_rag.training.recipe import Recipe
from metaembed_rag.training.teacher import TokenTeacher

#: Documents from which the teacher learns which words are rare, and the first of them from which the projection starts.
SAMPLED, SPANNED = 8192, 256
#: Documents from which it learns where a trained model has what it says.
SHOWN = 512


def objective_of(recipe: Recipe) -> Objective:
    """The loss that a recipe asks for."""
    return Objective(
        groups=parse_groups(recipe.groups),
        weights=None if recipe.weights is None else tuple(recipe.weights),
        temperature=recipe.temperature,
        similarity=recipe.similarity,
    )


def loss_of(
    recipe: Recipe, encoder: MultiVectorEncoder, triplets: dict[str, list[Triplet]], *, bf16: bool
) -> MMRLoss | dict[str, MMRLoss]:
    """The loss of every batch, with its teacher; by source where a recipe has two.

    Args:
        recipe: what to do.
        encoder: the model that is trained, before its first step.
        triplets: the pairs of each source.
        bf16: let the frozen backbone compute in bfloat16.
    """
    objective = objective_of(recipe)
    teachers: dict[str, nn.Module] = {}
    if recipe.asks_backbone:
        teachers["backbone"] = _distillation(recipe, encoder, triplets, objective, bf16=bf16)
    if recipe.nested_weight:
        teachers["widest"] = _nesting(recipe, encoder, triplets, objective)

    def taught_by(teacher: nn.Module | None) -> MMRLoss:
        return MMRLoss(
            encoder,
            objective=objective,
            mini_batch_size=recipe.mini_batch_size,
            gather=recipe.gather,
            distillation=teacher,
        )

    if len(teachers) < 2:
        return taught_by(next(iter(teachers.values()), None))
    losses = {name: taught_by(teacher) for name, teacher in teachers.items()}
    return {name: losses[str(_teacher(recipe, name))] for name in recipe.sources}


def _teacher(recipe: Recipe, source: str) -> str | None:
    return Source.parse(source, recipe.sources[source]).teacher


def _nesting(
    recipe: Recipe, encoder: MultiVectorEncoder, triplets: dict[str, list[Triplet]], objective: Objective
) -> Nesting:
    """The widest group as a teacher of the others."""
    words = parts(encoder)[0].words
    return Nesting(
        inverse_document_frequencies(_sample(recipe, triplets), words).to(encoder.device),
        words.all_special_ids,
        weight=recipe.nested_weight,
        lexical=recipe.lexical_share,
        temperature=objective.temperature,
        groups=objective.groups,
        similarity=objective.similarity,
    )


def _sample(recipe: Recipe, triplets: dict[str, list[Triplet]]) -> list[str]:
    """Some of the documents, to count words in."""
    texts = [str(row["positive"]) for rows in triplets.values() for row in rows]
    return random.Random(recipe.seed).sample(texts, min(len(texts), SAMPLED))  # noqa: S311 - nothing secret


def _distillation(
    recipe: Recipe,
    encoder: MultiVectorEncoder,
    triplets: dict[str, list[Triplet]],
    objective: Objective,
    *,
    bf16: bool,
) -> Distillation:
    """The frozen backbone as a teacher. For alignment, the projection starts from what the teacher's states span, or
    the states are turned to where a trained model has them.
    """
    transformer, head = parts(encoder)
    backbone = AutoModel.from_pretrained(resolve_backbone(recipe.backbone), attn_implementation=recipe.attention)
    if bf16:
        backbone = backbone.to(torch.bfloat16)  # nobody trains it: half the time, and its rankings stay the same
    if recipe.compile:
        compile_layers(backbone)
    sample = _sample(recipe, triplets)
    weights = inverse_document_frequencies(sample, transformer.words)
    special = transformer.words.all_special_ids
    teacher = TokenTeacher(backbone.to(encoder.device), weights.to(encoder.device), special, recipe.lexical_share)
    projection = None
    if (recipe.alignment_weight or recipe.pooled_weight) and head.projection is not None:
        if recipe.start is not None:
            taught = {name: rows for name, rows in triplets.items() if _teacher(recipe, name) != "widest"}
            projection = _turned(teacher, encoder, _sample(recipe, taught)[:SHOWN])
        else:
            read = [teacher.read(features) for features in _features(encoder, sample[:SPANNED])]
            projection = principal_directions(read, head.projection.out_features - 1)
            with torch.no_grad():
                head.projection.weight[:-1] = projection
    return Distillation(
        teacher,
        ranking=recipe.teacher_weight,
        alignment=recipe.alignment_weight,
        projection=projection,
        temperature=objective.temperature,
        first=recipe.pooled_weight,
        pooled=recipe.pooled_share,
        groups=objective.groups,
        similarity=objective.similarity,
    )


def _features(encoder: MultiVectorEncoder, texts: list[str]) -> Iterator[dict[str, Any]]:
    """Documents as the encoder reads them, 32 at a time."""
    for start in range(0, len(texts), 32):
        yield batch_to_device(encoder.preprocess(texts[start : start + 32], task="document"), encoder.device)


@torch.no_grad()
def _turned(teacher: TokenTeacher, encoder: MultiVectorEncoder, texts: list[str]) -> torch.Tensor:
    """``nearest_directions`` of what teacher and encoder make of documents, before anything is trained."""
    states, embeddings = [], []
    encoder.eval()
    for features in _features(encoder, texts):
        column = teacher.read(features)
        everything = torch.eye(column.states.shape[-1], device=encoder.device)
        states.append(targets(column, everything)[0].flatten(0, 1))
        # Documents have nothing in the last direction, which is for the weights of queries.
        embeddings.append(encoder(features)["token_embeddings"][..., :-1].float().flatten(0, 1))
    encoder.train()
    return nearest_directions(torch.cat(states), torch.cat(embeddings))
