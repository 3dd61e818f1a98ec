"""Fewer vectors of a window: those most alike become one, their mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def merge_rows(rows: FloatArray, count: int) -> FloatArray:
    """At most ``count`` vectors in place of ``rows``, for MaxSim nearly as good.

    Hierarchical clustering by average linkage, then the mean of each cluster at unit length, as token pooling does to
    late interaction over all tokens (Clavié et al. 2024, arXiv 2409.14683).

    Args:
        rows: ``[n, dim]``, each of unit length.
        count: at least 1.

    Returns:
        ``[min(n, count), dim]``, clusters in the order of their first rows; ``rows`` themselves where they are few
        enough.
    """
    total = len(rows)
    if total <= count:
        return rows
    from scipy.cluster.hierarchy import linkage  # only where vectors are merged: loading it takes a moment

    clusters = {row: [row] for row in range(total)}
    for step, (left, right) in enumerate(linkage(rows, method="average")[: total - count, :2].astype(int).tolist()):
        clusters[total + step] = clusters.pop(left) + clusters.pop(right)
    means = np.stack([rows[members].mean(axis=0) for members in sorted(clusters.values(), key=min)])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    merged: FloatArray = (means / np.maximum(lengths, 1e-12)).astype(np.float32)
    return merged
