"""Which part of a text each anchored Meta Token stands for: its cell.

The first stands for the whole text. Those after it come in divisions of 3, 12, 48, ..., each of which parts the text
among its own: a Meta Token's cell is the text nearest to its place. So every width has coarse tokens that see it all
and the finest that it can pay for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metaembed_rag.embedding.divisions import divisions
from metaembed_rag.embedding.positions import meta_positions


def cells(positions: Tensor, lengths: Tensor, tokens: int) -> Tensor:
    """Which tokens are nearest to which Meta Token of a division; the opening and closing ones belong to none.

    Args:
        positions: ``[n, k]`` of the division's Meta Tokens.
        lengths: ``[n]`` tokens of each text, special tokens included.
        tokens: the longest of them.

    Returns:
        float ``[n, k, tokens]`` of 0 and 1. Meta Tokens at one place share a cell; a token midway is in both.
    """
    places = torch.arange(tokens, device=positions.device)
    distances = (positions.unsqueeze(-1) - places).abs()
    nearest = distances <= distances.amin(dim=1, keepdim=True)
    inside = (places > 0) & (places < lengths.unsqueeze(-1) - 1)
    return (nearest & inside.unsqueeze(1)).float()


def cell_means(states: Tensor, mask: Tensor, count: int) -> Tensor:
    """What the text says in the cell of each Meta Token.

    A division is parted as if all its Meta Tokens were there, so the first rows are the same whatever ``count`` is.

    Args:
        states: ``[n, tokens, hidden]`` of the text, padding behind it.
        mask: ``[n, tokens]``, 1 for tokens and 0 for padding.
        count: Meta Tokens.

    Returns:
        ``[n, count, hidden]``: the mean of all states for the first, of those in its cell for each other; 0 where there
        are none.
    """
    lengths, tokens = mask.sum(dim=1), mask.shape[1]
    parts = [mask.unsqueeze(1).to(states.dtype)]
    for first, end in divisions(count):
        places = meta_positions(lengths, 4 * first, "anchored")[:, first:]
        parts.append(cells(places, lengths, tokens)[:, : end - first].to(states.dtype))
    inside = torch.cat(parts, dim=1)
    means: Tensor = (inside @ states) / inside.sum(dim=2, keepdim=True).clamp(min=1)
    return means
