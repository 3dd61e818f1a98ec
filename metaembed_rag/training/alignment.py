"""What each anchored Meta Token should say: the frozen backbone's states around its place.

A dense signal that needs no labels: 64 vectors a document instead of one ranking. A Meta Token's target is the mean of
the states in its cell (``metaembed_rag.embedding.cells``), weighted by what their words say. The first stands for the
text as a whole: its target is the backbone's pooled vector.

A query token's target says by its length in the last direction how little it counts: ``weighted_queries`` of
``ModelConfig``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metaembed_rag.embedding.cells import cells
from metaembed_rag.embedding.divisions import divisions, token_weights
from metaembed_rag.training.teacher import Column

#: A query token never loses all weight, or it could not learn.
LEAST = 0.05


def targets(reading: Column, projection: Tensor) -> tuple[Tensor, Tensor]:
    """Direction and weight of every Meta Token.

    Args:
        reading: the teacher's, of queries or documents.
        projection: ``[dim - 1, hidden]``, of ``principal_directions``.

    Returns:
        ``[n, k, dim - 1]`` of unit length, and ``[n, k]`` in (0, 1]: what the words of a cell say, shared among the
        Meta Tokens of a place, relative to the most that one of its division says; 1 for the first.
    """
    lengths, tokens = reading.mask.sum(dim=1), reading.mask.shape[1]
    said, weights = [reading.pooled.unsqueeze(1)], [torch.ones_like(reading.pooled[:, :1])]
    for first, end in divisions(reading.positions.shape[1]):
        places = reading.positions[:, first:end]
        inside = cells(places, lengths, tokens) * reading.weights.unsqueeze(1)
        said.append(inside @ reading.states)
        weight = inside.sum(dim=2) / (places.unsqueeze(2) == places.unsqueeze(1)).sum(dim=2)
        weights.append((weight / weight.amax(dim=1, keepdim=True).clamp(min=1e-6)).clamp(LEAST, 1.0))
    return nn.functional.normalize(torch.cat(said, dim=1) @ projection.T, dim=-1), torch.cat(weights, dim=1)


def query_targets(reading: Column, projection: Tensor, division_weights: Sequence[float] | None = None) -> Tensor:
    """``[n, k, dim]`` of unit length, each token's weight in the last direction.

    Args:
        reading, projection: as for ``targets``.
        division_weights: the model's, by which its own query tokens are shortened too; None is 1 each.
    """
    directions, weights = targets(reading, projection)
    if division_weights is not None:
        weights = weights * weights.new_tensor(token_weights(division_weights, weights.shape[1]))
    weights = weights.unsqueeze(-1)
    return torch.cat([directions * weights, (1 - weights.square()).sqrt()], dim=-1)


def document_targets(reading: Column, projection: Tensor) -> Tensor:
    """``[n, k, dim]`` of unit length, nothing in the last direction."""
    return nn.functional.pad(targets(reading, projection)[0], (0, 1))


def nearest_directions(states: Tensor, embeddings: Tensor) -> Tensor:
    """Directions in which what the backbone says comes nearest to what a model says, angles kept as well as can be.

    The orthogonal Procrustes problem (Schönemann 1966): of all matrices with orthonormal rows the one that maximises
    the sum of inner products. A model that has learned to turn away from the backbone is drawn to what it ranks by,
    and not around to other coordinates.

    Args:
        states: ``[n, hidden]``.
        embeddings: ``[n, dim]``, what the model makes of the same.

    Returns:
        ``[dim, hidden]`` with orthonormal rows.
    """
    left, _, right = torch.linalg.svd(embeddings.T @ states, full_matrices=False)
    nearest: Tensor = left @ right
    return nearest


def principal_directions(readings: list[Column], dim: int) -> Tensor:
    """The ``dim`` directions in which the teacher's weighted states lie, strongest first: ``[dim, hidden]``."""
    states = torch.cat([reading.states.flatten(0, 1) for reading in readings])
    weights = torch.cat([reading.weights.flatten() for reading in readings])
    directions: Tensor = torch.linalg.eigh((states * weights.unsqueeze(-1)).T @ states).eigenvectors
    return directions[:, -dim:].flip(1).T.contiguous()
