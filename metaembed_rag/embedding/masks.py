"""Who may attend to whom when the last positions of a bidirectional backbone are Meta Tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def prefix_attention_mask(padding_mask: Tensor, count: int) -> Tensor:
    """Who may attend to whom when the last ``count`` positions are Meta Tokens.

    Args:
        padding_mask: ``[n, tokens]``, 1 for tokens and 0 for padding.
        count: Meta Tokens at the end of each row.

    Returns:
        bool ``[n, 1, tokens, tokens]``; ``[_, _, i, j]`` says whether i attends to j.
    """
    tokens = padding_mask.shape[1]
    position = torch.arange(tokens, device=padding_mask.device)
    is_meta = position >= tokens - count
    # Only Meta Tokens see Meta Tokens, and only those before or at their own place.
    allowed = ~is_meta[None, :] | (is_meta[:, None] & (position[None, :] <= position[:, None]))
    return allowed[None, None] & padding_mask.bool()[:, None, None, :]


def sliding_window_mask(tokens: int, count: int, window: int, *, device: Any = None) -> Tensor:
    """Who may attend to whom in a layer whose text tokens see ``window`` positions to either side.

    Meta Tokens, the last ``count`` positions, have no place in the text; they see all of it.

    Returns:
        bool ``[tokens, tokens]``.
    """
    position = torch.arange(tokens, device=device)
    near = (position[:, None] - position[None, :]).abs() <= window
    return near | (position >= tokens - count)[:, None]


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where attention is allowed and the most negative number elsewhere: what every attention kernel takes."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, torch.finfo(dtype).min)
