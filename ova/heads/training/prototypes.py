"""Fewer negatives that still show all that negatives look like, by short vectors of images.

The clusters are those of imbalanced-learn's `ClusterCentroids(voting="hard")`: k-means on the frequent class
alone, and a real row for every centre. That function tells no row numbers, and takes a row twice where it is
the nearest of two centres; here each cluster gives a row of its own.

Shape letters: N rows, B images of a batch, C channels, H height, W width, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ova.data.images.store import PixelStore
from ova.heads.network.trunk import classifier_input
from ova.heads.rows import Rows, in_batches, read_batch

_DISTANCE_ROWS, _EMBED_ROWS = 4096, 64  # at a time
_THUMBNAIL_SIDE = 16

Describe = Callable[[Tensor], Tensor]  # pixels (B, C, H, W), values 0..255 -> (B, D)


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
    for start in range(0, len(vectors), _DISTANCE_ROWS):
        part = slice(start, start + _DISTANCE_ROWS)
        distances[part] = np.linalg.norm(vectors[part] - centres[labels[part]], axis=1)
    return distances


def embed(
    describe: Describe,
    store: PixelStore,
    rows: Rows,
    *,
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Return (N, D) vectors of rows; `progress` is told the number of rows done."""
    found: NDArray[np.float32] | None = None
    with torch.inference_mode():
        for part in in_batches(len(rows), _EMBED_ROWS):
            vectors = describe(read_batch(store, rows.positions[part], device)).float().cpu().numpy()
            if found is None:
                found = np.empty((len(rows), vectors.shape[1]), np.float32)
            found[part] = vectors
            if progress is not None:
                progress(part.stop)
    return np.empty((0, 0), np.float32) if found is None else found


def thumbnails(pixels: Tensor) -> Tensor:
    """Return the 16 x 16 grey thumbnail of each image as a vector: (B, C, H, W) -> (B, 256)."""
    return adaptive_avg_pool2d(pixels.float().mean(1), _THUMBNAIL_SIDE).flatten(1)


def pooled_features(network: nn.Module, classifier: Collection[str], normalise: nn.Module) -> Describe:
    """Return a function from pixels to what the network's classifier would read, averaged over positions.

    Args:
        network: (B, C, H, W) -> (B, 1); it is put in evaluation mode for each call.
        classifier: Names of the classifier's parameters (`classifier_keys`): those of one layer.
        normalise: What stands before the network.
    """
    layer = sorted(classifier)[0].rpartition(".")[0]

    def describe(pixels: Tensor) -> Tensor:
        was_training = network.training
        network.eval()
        features, _, _ = classifier_input(network, layer, normalise(pixels))
        network.train(was_training)
        return features.flatten(2).mean(2) if features.ndim > 2 else features

    return describe
