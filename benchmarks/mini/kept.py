"""Documents that were read once and are kept, and how questions that are trained score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metaembed_rag.scoring import best_per_page

#: Vectors by which the pages most like a question's answer are looked up: of the question, and of each window.
LOOKED = (4, 8)
#: Similarities of the look-up held at once.
AT_ONCE = 20_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """The pages of one pool.

    Attributes:
        vectors: half precision ``[windows, d, dim]``, the last direction left out, where documents have nothing.
        starts: ``[pages + 1]``, at which window each page starts; its last entry is their number.
        pooled: ``[windows, hidden]``, the frozen backbone's one vector, of unit length; None where it does not teach.
    """

    vectors: Tensor
    starts: Tensor
    pooled: Tensor | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    def take(self, pages: Sequence[int]) -> tuple[Kept, Tensor]:
        """Some of the pages, in single precision, and ``[windows]``: the page of each of their windows."""
        windows = torch.cat([torch.arange(self.starts[page], self.starts[page + 1]) for page in pages])
        counts = torch.tensor([self.starts[page + 1] - self.starts[page] for page in pages])
        starts = nn.functional.pad(counts.cumsum(0), (1, 0))
        pooled = None if self.pooled is None else self.pooled[windows]
        return Kept(self.vectors[windows].float(), starts, pooled), torch.arange(len(pages)).repeat_interleave(counts)


@torch.no_grad()
def nearest(queries: Tensor, answers: Tensor, documents: Kept, count: int) -> Tensor:
    """The pages most like each question that do not answer it, ``[n, count]``, best first.

    Args:
        queries: ``[n, q, dim]``, as they are before they are trained.
        answers: ``[n]``, the page that answers each.
        documents: of the pool.
        count: how many; fewer in a small pool.
    """
    asked, told = queries[:, : LOOKED[0]].float(), documents.vectors[:, : LOOKED[1]].float()
    pages = torch.arange(len(documents)).repeat_interleave(documents.starts.diff())
    step = max(1, AT_ONCE // (LOOKED[0] * LOOKED[1] * len(told)))
    found = []
    for first in range(0, len(asked), step):
        scores = mean_maxsim(asked[first : first + step], told, pages)
        scores.scatter_(1, answers[first : first + step, None], -torch.inf)
        found.append(scores.topk(min(count, len(documents) - 1), dim=1).indices)
    return torch.cat(found)


def mean_maxsim(queries: Tensor, windows: Tensor, pages: Tensor) -> Tensor:
    """The mean over query tokens of the best match in a page: ``[n, q, dim]``, ``[m, d, dim]`` -> ``[n, pages]``."""
    similarities = queries.flatten(0, 1) @ windows.flatten(0, 1).T
    best = similarities.view(*queries.shape[:2], *windows.shape[:2]).amax(dim=-1)
    return best_per_page(best.transpose(1, 2), pages).mean(dim=-1)


class NestedScores(torch.autograd.Function):
    """``mean_maxsim`` at every budget of a nested model, differentiable with regard to the queries.

    Only the vectors that were best carry a gradient, so a step keeps their numbers and not all similarities.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, windows: Tensor, pages: Tensor, groups: Sequence[tuple[int, int]]
    ) -> tuple[Tensor, ...]:
        n, q, _ = queries.shape
        m, d, _ = windows.shape
        similarities = (queries.flatten(0, 1) @ windows.flatten(0, 1).T).view(n, q, m, d)
        rows = torch.arange(m) * d
        scores, places = [], []
        best, at, seen = None, None, 0
        for asked, told in groups:
            found, where = similarities[..., seen:told].max(dim=-1)
            where = where + seen + rows
            if best is not None and at is not None:
                where = torch.where(found > best, where, at)
                found = torch.maximum(found, best)
            best, at, seen = found, where, told
            matches = best[:, :asked].transpose(1, 2)
            top = best_per_page(matches, pages)
            here = at[:, :asked].transpose(1, 2).masked_fill(matches < top[:, pages], -1)
            scores.append(top.mean(dim=-1))
            places.append(best_per_page(here, pages).transpose(1, 2).contiguous())
        ctx.save_for_backward(windows, *places)
        ctx.shape = queries.shape
        return tuple(scores)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        windows, *places = ctx.saved_tensors
        table = windows.flatten(0, 1)
        wanted = table.new_zeros(ctx.shape)
        for gradient, place in zip(gradients, places, strict=True):
            n, q, pages = place.shape
            weights = (gradient / q).unsqueeze(1).expand(n, q, pages).reshape(n * q, pages)
            sums = nn.functional.embedding_bag(
                place.view(n * q, pages), table, per_sample_weights=weights.contiguous(), mode="sum"
            )
            wanted[:, :q] += sums.view(n, q, -1)
        return wanted, None, None, None
