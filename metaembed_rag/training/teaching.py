"""What a recipe minimises: the nested contrastive loss, and the teachers of its sources beside it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn
from transformers import AutoModel

from metaembed_rag.embedding.backbone import resolve_backbone
from metaembed_rag.embedding.build import build_encoder, load_adapter, parts
from metaembed_rag.embedding.config import ModelConfig
from metaembed_rag.embedding.load import find_model_folder
from metaembed_rag.training.alignment import nearest_directions, principal_directions, targets
from metaembed_rag.training.compilation import compile_layers
from metaembed_rag.training.data import Teacher, Triplet
from metaembed_rag.training.distillation import Distillation
from metaembed_rag.training.lexicon import inverse_document_frequencies
from metaembed_rag.training.loss import MMRLoss, Objective, parse_groups
from metaembed_rag.training.nesting import FrozenModel, Nesting
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
    """The loss of every batch, with its teacher; by source where a recipe has several.

    Args:
        recipe: what to do.
        encoder: the model that is trained, before its first step.
        triplets: the pairs of each source.
        bf16: let what is frozen compute in bfloat16.
    """
    objective = objective_of(recipe)
    named = {source: recipe.teacher_of(source) for source in recipe.sources}
    # Counted once for all teachers: tokenising the sample takes seconds.
    rarity = rarity_of(recipe, encoder, triplets) if any(named.values()) else torch.empty(0)

    def taught_by(name: Teacher | None) -> MMRLoss:
        teacher: nn.Module | None = None
        if name == "backbone":
            teacher = _distillation(recipe, encoder, triplets, rarity, bf16=bf16)
        elif name is not None:
            model = _frozen(recipe, encoder, bf16=bf16) if name == "start" else None
            teacher = _nesting(recipe, encoder, rarity, model)
        return MMRLoss(
            encoder,
            objective=objective,
            mini_batch_size=recipe.mini_batch_size,
            gather=recipe.gather,
            distillation=teacher,
        )

    losses = {name: taught_by(name) for name in dict.fromkeys(named.values())}
    if len(losses) == 1:
        return next(iter(losses.values()))
    return {source: losses[name] for source, name in named.items()}


def _frozen(recipe: Recipe, encoder: MultiVectorEncoder, *, bf16: bool) -> FrozenModel:
    """The model that a recipe starts from, as it was."""
    folder = find_model_folder(str(recipe.start))
    config = ModelConfig.load(folder)
    before = build_encoder(config, device=str(encoder.device), attention=recipe.attention)
    load_adapter(before, config, folder)
    if bf16:
        before = before.to(torch.bfloat16)
    if recipe.compile:
        compile_layers(before)
    return FrozenModel(before)


def rarity_of(recipe: Recipe, encoder: MultiVectorEncoder, triplets: dict[str, list[Triplet]]) -> Tensor:
    """``inverse_document_frequencies`` of the encoder's words in a recipe's sources, on its device."""
    return inverse_document_frequencies(_sample(recipe, triplets), parts(encoder)[0].words).to(encoder.device)


def _nesting(recipe: Recipe, encoder: MultiVectorEncoder, rarity: Tensor, model: FrozenModel | None) -> Nesting:
    """The widest group, of what is trained or of a frozen model, as a teacher."""
    objective = objective_of(recipe)
    return Nesting(
        rarity,
        parts(encoder)[0].words.all_special_ids,
        weight=recipe.nested_weight,
        lexical=recipe.lexical_share,
        temperature=objective.temperature,
        groups=objective.groups,
        similarity=objective.similarity,
        model=model,
    )


def _sample(recipe: Recipe, triplets: dict[str, list[Triplet]]) -> list[str]:
    """Some of the documents, to count words in."""
    texts = [str(row["positive"]) for rows in triplets.values() for row in rows]
    return random.Random(recipe.seed).sample(texts, min(len(texts), SAMPLED))  # noqa: S311 - nothing secret


def _distillation(
    recipe: Recipe,
    encoder: MultiVectorEncoder,
    triplets: dict[str, list[Triplet]],
    rarity: Tensor,
    *,
    bf16: bool,
) -> Distillation:
    """The frozen backbone as a teacher. For alignment, the projection starts from what the teacher's states span, or
    the states are turned to where a trained model has them.
    """
    objective = objective_of(recipe)
    _, head = parts(encoder)
    teacher = token_teacher(recipe, encoder, rarity, bf16=bf16)
    projection = None
    if (recipe.alignment_weight or recipe.pooled_weight) and head.projection is not None:
        if recipe.start is not None:
            taught = {name: rows for name, rows in triplets.items() if recipe.teacher_of(name) == "backbone"}
            projection = _turned(teacher, encoder, _sample(recipe, taught)[:SHOWN])
        else:
            sample = _sample(recipe, triplets)[:SPANNED]
            read = [teacher.read(features) for features in features_of(encoder, sample)]
            projection = principal_directions(read, head.projection.out_features - 1)
            with torch.no_grad():
                for linear in (head.projection, head.first):
                    if linear is not None:
                        linear.weight[:-1] = projection
    return Distillation(
        teacher,
        ranking=recipe.teacher_weight,
        alignment=recipe.alignment_weight,
        projection=projection,
        temperature=objective.temperature,
        first=recipe.pooled_weight,
        division_weights=recipe.division_weights,
        pooled=recipe.pooled_share,
        groups=objective.groups,
        similarity=objective.similarity,
    )


def token_teacher(recipe: Recipe, encoder: MultiVectorEncoder, rarity: Tensor, *, bf16: bool) -> TokenTeacher:
    """A recipe's frozen backbone.

    Args:
        recipe, bf16: as for ``loss_of``.
        encoder: whose words the backbone reads.
        rarity: of ``rarity_of``.
    """
    backbone = AutoModel.from_pretrained(resolve_backbone(recipe.backbone), attn_implementation=recipe.attention)
    if bf16:
        backbone = backbone.to(torch.bfloat16)  # nobody trains it: half the time, and its rankings stay the same
    if recipe.compile:
        compile_layers(backbone)
    special = parts(encoder)[0].words.all_special_ids
    return TokenTeacher(backbone.to(encoder.device), rarity, special, recipe.lexical_share)


def features_of(
    encoder: MultiVectorEncoder, texts: list[str], *, task: str = "document", together: int = 32
) -> Iterator[dict[str, Any]]:
    """Texts as the encoder reads them, so many together, on its device."""
    for start in range(0, len(texts), together):
        yield batch_to_device(encoder.preprocess(texts[start : start + together], task=task), encoder.device)


@torch.no_grad()
def _turned(teacher: TokenTeacher, encoder: MultiVectorEncoder, texts: list[str]) -> Tensor:
    """``nearest_directions`` of what teacher and encoder make of documents, before anything is trained."""
    states, embeddings = [], []
    encoder.eval()
    for features in features_of(encoder, texts):
        column = teacher.read(features)
        everything = torch.eye(column.states.shape[-1], device=encoder.device)
        states.append(targets(column, everything)[0].flatten(0, 1))
        # Documents have nothing in the last direction, which is for the weights of queries.
        embeddings.append(encoder(features)["token_embeddings"][..., :-1].float().flatten(0, 1))
    encoder.train()
    return nearest_directions(torch.cat(states), torch.cat(embeddings))
