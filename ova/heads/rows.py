"""Images of one part with their labels, and their pixels as tensors: what one head trains or is scored on.

Shape letters: N rows, B rows of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment.draws import image_keys
from ova.data.images.store import PixelStore


@dataclass(frozen=True, eq=False)
class Rows:
    """Images of one part in the order of their ids, and where their pixels lie."""

    images: tuple[str, ...]
    labels: NDArray[np.int8]
    """(N,) 0 or 1."""
    positions: NDArray[np.intp]
    """(N,) rows in the pixel store."""
    keys: NDArray[np.uint64]
    """(N,) keys for random draws."""

    @classmethod
    def of(cls, images: Sequence[str], labels: NDArray[np.int8], store: PixelStore) -> Rows:
        """Gather rows, sorted by image id so that the order of the label table is of no consequence."""
        order = sorted(range(len(images)), key=images.__getitem__)
        ordered = tuple(images[row] for row in order)
        return cls(ordered, labels[order], store.rows(ordered), image_keys(ordered))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def positives(self) -> int:
        """Rows whose label is 1."""
        return int(self.labels.sum())


def read_batch(store: PixelStore, positions: NDArray[np.intp], device: torch.device) -> Tensor:
    """Read images as uint8 (B, C, H, W) in channels-last memory order: a quarter of the bytes of floats."""
    return torch.from_numpy(store.read(positions)).to(device).permute(0, 3, 1, 2)


def in_batches(count: int, batch_size: int) -> Iterator[slice]:
    """Cut a range into slices of at most `batch_size`."""
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))
