"""Vectors of a document that say nearly the same are merged, so that a prefix holds more of it.

Sixteen Meta Tokens that divide a text evenly spend as many vectors on a paragraph that repeats itself as on the one
line that a question is about. Clustering finds who repeats whom (token pooling, arXiv 2409.14683): the means of the
clusters say in half the vectors most of what all of them do. Here they go first, and what they were made of follows, so
prefixes stay nested: the first and seven means, then eight of those that were merged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def merge_first(rows: Tensor, count: int) -> Tensor:
    """The first ``count`` rows merged into half as many, which come first; all others as they were, behind them.

    The first row stands for the whole text and stays what it is. Among the others the two clusters whose members are
    most alike on average (UPGMA, by cosine) become one until ``count // 2 - 1`` are left. Their means, scaled to unit
    length, are next, the largest cluster first; then all of the clusters' members but the first of each, the coarsest,
    in their order. Which rows are merged has no gradient, the means have.

    Args:
        rows: ``[..., k, dim]`` of unit length, k at least ``count``.
        count: even, 4 or more.

    Returns:
        ``[..., k, dim]`` of unit length.
    """
    shape = rows.shape
    rows = rows.reshape(-1, *shape[-2:])
    first, members, rest = rows[:, :1], rows[:, 1:count], rows[:, count:]
    kept = count // 2 - 1
    with torch.no_grad():
        owners, sizes = _clusters(members, kept)
        numbers = torch.arange(count - 1, device=rows.device)
        # Of equally large ones the one whose first member comes first; what is no cluster any more comes last.
        largest = (sizes * count - numbers).masked_fill(sizes == 0, -1).argsort(dim=1, descending=True)[:, :kept]
        # Not the one nearest to its mean: two are equally near, and rounding would choose.
        others = (owners == numbers).int().argsort(dim=1, stable=True)[:, : count - 1 - kept]
    belongs = nn.functional.one_hot(owners, count - 1).to(members.dtype)
    means = nn.functional.normalize(belongs.mT @ members, dim=-1)
    return torch.cat([first, _take(means, largest), _take(members, others), rest], dim=1).reshape(shape)


def _clusters(rows: Tensor, kept: int) -> tuple[Tensor, Tensor]:
    """The cluster of each of ``[n, m, dim]`` rows, the number of its first member: ``[n, m]``; and sizes ``[n, m]``."""
    n, m = rows.shape[:2]
    numbers, every = torch.arange(m, device=rows.device), torch.arange(n, device=rows.device)
    owners, sizes = numbers.repeat(n, 1), rows.new_ones(n, m)
    # Of pairs of clusters: the similarities of their members added up, which a merge adds up in turn.
    sums = rows @ rows.mT
    once = torch.ones(m, m, dtype=torch.bool, device=rows.device).triu(1)
    for _ in range(m - kept):
        open_pairs = once & (sizes[:, :, None] > 0) & (sizes[:, None] > 0)
        means = sums / (sizes[:, :, None] * sizes[:, None]).clamp(min=1)
        best = means.masked_fill(~open_pairs, -2).flatten(1).argmax(dim=1)
        one, other = best // m, best % m
        sums[every, one] += sums[every, other]
        sums[every, :, one] += sums[every, :, other]
        sizes[every, one] += sizes[every, other]
        sizes[every, other] = 0
        owners = torch.where(owners == other[:, None], one[:, None], owners)
    return owners, sizes


def _take(rows: Tensor, places: Tensor) -> Tensor:
    """``[n, m, dim]`` rows at ``[n, k]`` places."""
    return rows.gather(1, places.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))
