"""Late interaction (MaxSim): one definition, for NumPy arrays and torch tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metaembed_rag.errors import InputError

if TYPE_CHECKING:
    import torch

FloatArray = npt.NDArray[np.float32]

#: Similarities held at once while scoring, so that memory stays bounded (64 MiB in float32).
CHUNK_ELEMENTS = 16_777_216

#: Windows that count together: as many as the densest printed pages have (of 1,879 of FinanceBench one has nine).
#: Without a bound a book would outscore a note by its length alone.
RUN = 8


def maxsim(queries: FloatArray, documents: FloatArray, *, chunk_elements: int = CHUNK_ELEMENTS) -> FloatArray:
    """Score every query against every document.

    ``score(a, b) = sum_i max_j <queries[a, i], documents[b, j]>`` (ColBERT, arXiv 2004.12832; with Meta
    Tokens arXiv 2509.18095). To score a narrower budget, pass prefixes: ``queries[:, :4]``.

    Args:
        queries: ``[n, q, dim]``.
        documents: ``[m, d, dim]``.
        chunk_elements: how many similarities are held at once.

    Returns:
        float32 ``[n, m]``.

    Raises:
        InputError: the arrays are not three-dimensional, or their ``dim`` differ.
    """
    return page_maxsim(queries, documents, np.arange(len(documents)), chunk_elements=chunk_elements)


def page_maxsim(
    queries: FloatArray,
    windows: FloatArray,
    starts: npt.NDArray[np.integer[Any]],
    *,
    chunk_elements: int = CHUNK_ELEMENTS,
) -> FloatArray:
    """Score every query against every page, whose windows count as one document together.

    ``score(a, p) = sum_i max_{w in p, j} <queries[a, i], windows[w, j]>``: each query token is answered by the best
    token of the whole page, so a heading in one window and a figure in another add up. Of pages of one window each
    it is ``maxsim``. A text of more than ``RUN`` windows counts as its best ``RUN`` in a row.

    Args:
        queries: ``[n, q, dim]``.
        windows: ``[m, d, dim]``, those of a page in a row.
        starts: ``[pages]`` ascending from 0, at which window each page starts.
        chunk_elements: how many similarities are held at once, but always those of a page.

    Returns:
        float32 ``[n, pages]``.

    Raises:
        InputError: the arrays are not three-dimensional, their ``dim`` differ, or ``starts`` do not ascend from 0.
    """
    _check_shapes(queries, windows)
    if len(windows) and (len(starts) == 0 or starts[0] != 0 or (np.append(starts[1:], len(windows)) <= starts).any()):
        raise InputError(f"starts must ascend from 0 and stay below the {len(windows)} windows")
    n, q, dim = queries.shape
    d = windows.shape[1]
    scores = np.empty((n, len(starts)), dtype=np.float32)
    if n == 0 or len(starts) == 0:
        return scores
    step = max(1, chunk_elements // max(1, n * q * d))
    flat_queries = np.ascontiguousarray(queries, dtype=np.float32).reshape(n * q, dim)
    for pages, held in page_blocks(starts, len(windows), step):
        block = np.ascontiguousarray(windows[held], dtype=np.float32)
        similarities = flat_queries @ block.reshape(-1, dim).T
        best = similarities.reshape(n, q, len(block), d).max(axis=3)
        scores[:, pages] = sum_over_pages(best, starts[pages] - held.start)
    return scores


def page_blocks(starts: npt.NDArray[np.integer[Any]], windows: int, at_once: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of whole pages with at most ``at_once`` windows, or of one page that has more.

    Args:
        starts: ``[pages]``, at which window each page starts.
        windows: how many there are.
        at_once: windows of a block.

    Returns:
        the pages of each block, and their windows.
    """
    ends = np.append(starts[1:], windows)
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + at_once, side="right")))
        yield slice(first, last), slice(int(starts[first]), int(ends[last - 1]))
        first = last


def sum_over_pages(best: FloatArray, starts: npt.NDArray[np.integer[Any]]) -> FloatArray:
    """Scores of pages from the best match of each query token in each window.

    Args:
        best: ``[n, q, windows]``.
        starts: ``[pages]``, at which window each page starts.

    Returns:
        float32 ``[n, pages]``, as ``page_maxsim`` defines them.
    """
    if len(starts) == best.shape[2]:
        alone: FloatArray = best.sum(axis=1)
        return alone
    scores: FloatArray = np.maximum.reduceat(best, starts, axis=2).sum(axis=1)
    ends = np.append(starts[1:], best.shape[2])
    for page in np.flatnonzero(ends - starts > RUN):
        windows = best[:, :, starts[page] : ends[page]]
        scores[:, page] = [best_run(found).sum() for found in windows]
    return scores


def best_run(found: FloatArray) -> FloatArray:
    """The terms of a page's score: each query token's best match in the ``RUN`` windows in a row that score most.

    Args:
        found: ``[q, windows]``, the best match of each query token in each window, in the order of the text.

    Returns:
        float32 ``[q]``.
    """
    if found.shape[1] <= RUN:
        whole: FloatArray = found.max(axis=1)
        return whole
    runs = np.lib.stride_tricks.sliding_window_view(found, RUN, axis=1).max(axis=2)
    terms: FloatArray = runs[:, int(runs.sum(axis=0).argmax())]
    return terms


def maxsim_torch(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """Differentiable ``maxsim``: ``[n, q, dim]`` and ``[m, d, dim]`` give ``[n, m]`` on the same device."""
    _check_shapes(queries, documents)
    return reduce_maxsim(token_similarities(queries, documents))


def token_similarities(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    """All dot products between query and document tokens: ``[n, q, dim]`` x ``[m, d, dim]`` -> ``[n, m, q, d]``."""
    n, q, dim = queries.shape
    m, d, _ = documents.shape
    flat = queries.reshape(n * q, dim) @ documents.reshape(m * d, dim).T
    return flat.view(n, q, m, d).transpose(1, 2)


def reduce_maxsim(similarities: torch.Tensor, pages: torch.Tensor | None = None) -> torch.Tensor:
    """The sum over query tokens of the max over document tokens: ``[n, m, q, d]`` -> ``[n, m]``.

    Args:
        similarities: of ``token_similarities``.
        pages: ``[m]`` ascending from 0, the page of each window: the max goes over all windows of a page, as in
            ``page_maxsim``, and the scores are ``[n, pages]``. None takes each window for a page of its own.
    """
    best = similarities.amax(dim=-1)
    return (best if pages is None else best_per_page(best, pages)).sum(dim=-1)


def best_per_page(values: torch.Tensor, pages: torch.Tensor) -> torch.Tensor:
    """The greatest value of each page's windows: ``[n, m, ...]`` -> ``[n, pages, ...]``; differentiable.

    Args:
        values: one or several a window; whole numbers are places, -1 or more.
        pages: as for ``reduce_maxsim``.
    """
    places = pages.view(1, -1, *[1] * (values.ndim - 2)).expand_as(values)
    shape = (values.shape[0], int(pages[-1]) + 1, *values.shape[2:])
    # Not what memory happens to hold: where that equals a maximum, torch halves its gradient, even if it is left out.
    least = -math.inf if values.is_floating_point() else -1
    return values.new_full(shape, least).scatter_reduce(1, places, values, "amax")


def _check_shapes(queries: Any, documents: Any) -> None:
    if queries.ndim != 3 or documents.ndim != 3:
        raise InputError(
            "maxsim needs queries [n, q, dim] and documents [m, d, dim], "
            f"not {tuple(queries.shape)} and {tuple(documents.shape)}"
        )
    if queries.shape[-1] != documents.shape[-1]:
        raise InputError(f"maxsim: queries have dim {queries.shape[-1]} but documents have {documents.shape[-1]}")
