"""Where Meta Tokens stand, as a bidirectional backbone counts positions."""

from __future__ import annotations

import torch
from torch import Tensor

from metaembed_rag.embedding.config import Positions


def meta_positions(lengths: Tensor, count: int, positions: Positions) -> Tensor:
    """Positions of the first ``count`` Meta Tokens; that of each depends on its rank and the text alone.

    Args:
        lengths: ``[n]`` tokens of each text, special tokens included.
        count: Meta Tokens appended.
        positions: one of ``Positions``.

    Returns:
        int64 ``[n, count]``.
    """
    if positions == "fixed":
        return lengths.new_zeros(len(lengths), count)
    if positions == "running":
        return lengths[:, None] + torch.arange(count, device=lengths.device)
    inner = (lengths[:, None] - 2).clamp(min=1)
    # The first position is the opening token's, and floor keeps the rest before the closing one's.
    anchors = 1 + (bit_reversed(count, device=lengths.device) * inner).floor().to(lengths.dtype)
    anchors[:, 0] = 0
    return anchors


def bit_reversed(count: int, device: torch.device | None = None) -> Tensor:
    """The first ``count`` fractions of van der Corput's sequence in base 2: 0, 1/2, 1/4, 3/4, 1/8, ...

    Args:
        count: how many.
        device: where.

    Returns:
        float32 ``[count]``, each in [0, 1).
    """
    ranks = torch.arange(count, device=device)
    fractions = torch.zeros(count, device=device)
    for bit in range(max(count - 1, 1).bit_length()):
        fractions += ((ranks >> bit) & 1) / 2 ** (bit + 1)
    return fractions
