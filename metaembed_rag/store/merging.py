"""Fewer vectors of a page: those most alike become one, their mean, whichever of its windows they are of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

#: Neighbouring windows of a page that are merged together: clustering takes the square of their vectors in memory.
WINDOWS_TOGETHER = 16
#: With fewer vectors a window than this each window is merged alone, so that none is left without one of its own.
_LEAST_SHARED = 4


def merge_windows(rows: FloatArray, count: int) -> list[FloatArray]:
    """At most ``count`` vectors in place of all ``rows``, for MaxSim over the whole page nearly as good.

    Hierarchical clustering by complete linkage, then the mean of each cluster at unit length, as token pooling does to
    late interaction over all tokens (Clavié et al. 2024, arXiv 2409.14683). A mean belongs to the window that most of
    its cluster is of; a window without one has that of the cluster with most of its vectors, too.

    Args:
        rows: ``[windows, n, dim]`` of neighbouring windows, ``WINDOWS_TOGETHER`` at most, each row of unit length.
        count: at least one a window.

    Returns:
        For each window ``[1 or more, dim]``, clusters in the order of their first rows; ``rows`` themselves where they
        are few enough.
    """
    windows, each, dim = rows.shape
    if windows * each <= count:
        return list(rows)
    if windows > 1 and count < windows * _LEAST_SHARED:
        return [merge_windows(window[None], count // windows)[0] for window in rows]
    from scipy.cluster.hierarchy import linkage  # only where vectors are merged: loading it takes a moment

    flat, total = rows.reshape(-1, dim), windows * each
    clusters = {row: [row] for row in range(total)}
    for step, (left, right) in enumerate(linkage(flat, method="complete")[:, :2].astype(int).tolist()):
        clusters[total + step] = clusters.pop(left) + clusters.pop(right)
        if len(clusters) <= count:
            owned = _owned(list(clusters.values()), windows, each)
            if sum(map(len, owned)) <= count:
                break
    return [np.stack([_mean(flat[members]) for members in sorted(mine, key=min)]) for mine in owned]


def _owned(clusters: list[list[int]], windows: int, each: int) -> list[list[list[int]]]:
    """The clusters of each window: those that are mostly of it, or the one that has most of it."""
    members = np.array([np.bincount(np.array(rows) // each, minlength=windows) for rows in clusters])
    owners = members.argmax(axis=1)
    mine = [np.flatnonzero(owners == window) for window in range(windows)]
    chosen = [own if own.size else [members[:, window].argmax()] for window, own in enumerate(mine)]
    return [[clusters[place] for place in own] for own in chosen]


def _mean(rows: FloatArray) -> FloatArray:
    mean = rows.mean(axis=0)
    unit: FloatArray = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit
