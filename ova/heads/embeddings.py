"""Images as short vectors, in which like images are near: features of a backbone, or grey thumbnails.

Shape letters: N rows, B images of a batch, C channels, H height, W width, D numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from ova.data.store import PixelStore
from ova.heads.batches import Rows, in_batches, read_batch

_BATCH = 64
_SIDE = 16

Describe = Callable[[Tensor], Tensor]  # pixels (B, C, H, W), values 0..255 -> (B, D)


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
        for part in in_batches(len(rows), _BATCH):
            vectors = describe(read_batch(store, rows.positions[part], device)).float().cpu().numpy()
            if found is None:
                found = np.empty((len(rows), vectors.shape[1]), np.float32)
            found[part] = vectors
            if progress is not None:
                progress(part.stop)
    return np.empty((0, 0), np.float32) if found is None else found


def thumbnails(pixels: Tensor) -> Tensor:
    """Return the 16 x 16 grey thumbnail of each image as a vector: (B, C, H, W) -> (B, 256)."""
    return adaptive_avg_pool2d(pixels.float().mean(1), _SIDE).flatten(1)


def pooled_features(network: nn.Module, classifier: Collection[str], normalise: nn.Module) -> Describe:
    """Return a function from pixels to what the network's classifier would read, averaged over positions.

    Args:
        network: (B, C, H, W) -> (B, 1); it is put in evaluation mode for each call.
        classifier: Names of the classifier's parameters (`classifier_keys`): those of one layer.
        normalise: What stands before the network.
    """
    layer = network.get_submodule(sorted(classifier)[0].rpartition(".")[0])
    seen: list[Tensor] = []

    def describe(pixels: Tensor) -> Tensor:
        was_training = network.training
        network.eval()
        handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            network(normalise(pixels))
        finally:
            handle.remove()
            network.train(was_training)
        features = seen.pop()
        seen.clear()
        return features.flatten(2).mean(2) if features.ndim > 2 else features

    return describe
