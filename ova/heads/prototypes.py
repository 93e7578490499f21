"""Fewer negatives that still show all that negatives look like: one row per cluster of their vectors.

The clusters are those of imbalanced-learn's `ClusterCentroids(voting="hard")`: k-means on the frequent class
alone, and a real row for every centre. That function tells no row numbers, and takes a row twice where it is
the nearest of two centres; here each cluster gives a row of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CHUNK = 4096


def choose_prototypes(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.intp]:
    """Return `count` row numbers, ascending: of every cluster the row that is nearest to its centre.

    Mini-batch k-means (Sculley 2010) on one thread, so that the same rows come out on any number of cores. A
    cluster that ended empty (rows that equal each other) gives way to the row farthest from its own centre.

    Args:
        vectors: (N, D) of the rows to choose from.
        count: From 1; all rows are returned if there are no more.
        seed: Decides where the clusters start.
    """
    if count >= len(vectors):
        return np.arange(len(vectors))
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        clusters = MiniBatchKMeans(count, n_init="auto", random_state=seed % 2**32).fit(vectors)
    centres, labels = np.asarray(clusters.cluster_centers_), np.asarray(clusters.labels_)
    distances = _distances(vectors, centres, labels)
    order = np.lexsort((distances, labels))
    _, first = np.unique(labels[order], return_index=True)
    chosen = np.zeros(len(vectors), bool)
    chosen[order[first]] = True
    farthest = np.argsort(np.where(chosen, -1.0, distances), kind="stable")[::-1]
    chosen[farthest[: count - len(first)]] = True
    return np.flatnonzero(chosen)


def _distances(
    vectors: NDArray[np.float32], centres: NDArray[np.float32], labels: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the distance (N,) of each row to the centre of its own cluster."""
    distances = np.empty(len(vectors))
    for start in range(0, len(vectors), _CHUNK):
        part = slice(start, start + _CHUNK)
        distances[part] = np.linalg.norm(vectors[part] - centres[labels[part]], axis=1)
    return distances
