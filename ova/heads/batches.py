"""From rows of the pixel store to batches of tensors.

Shape letters: N rows, B rows of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment import augment
from ova.data.draws import ORDER, draw, image_keys
from ova.data.store import PixelStore
from ova.heads.recipe import HeadRecipe
from ova.heads.sampling import list_views, times_shown


@dataclass(frozen=True, eq=False)
class Rows:
    """Images of one part with their labels: what one head trains or is scored on."""

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


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """The order of one epoch, and the random draws of its batches."""

    batches: tuple[NDArray[np.intp], ...]
    """Indices into `Rows`, batch by batch; a row that the sampler repeats comes more than once."""
    repeats: tuple[NDArray[np.intp], ...]
    """Which showing of its row in this epoch each image of a batch is, from 0."""
    keys: NDArray[np.uint64]
    """(N,) keys of the rows."""
    seed: int
    epoch: int

    def draws(self, step: int) -> NDArray[np.float64]:
        """Return (B, DRAWS) uniform numbers of a batch; those of a repeat are its own.

        They are drawn when they are needed: those of a whole epoch are 320 bytes per image.
        """
        return draw(self.keys[self.batches[step]], self.seed, self.epoch, self.repeats[step])


def plan_epoch(
    rows: Rows,
    batch_size: int,
    seed: int,
    epoch: int,
    *,
    per_epoch: tuple[int, int] | None = None,
    rotate: bool = True,
) -> EpochPlan:
    """Shuffle by each view's own draw, and cut into batches; a last batch of one joins its neighbour.

    (Batch normalisation cannot train on one image.)

    Args:
        rows: What there is to train on.
        batch_size: Images per step.
        seed: Of the training.
        epoch: Counted from 1.
        per_epoch: (negatives, positives) to show; every row once if not given.
        rotate: Show other negatives in every epoch where they are capped.
    """
    times = np.ones(len(rows), np.intp)
    if per_epoch is not None and per_epoch != (len(rows) - rows.positives, rows.positives):
        times = times_shown(rows.labels, rows.keys, per_epoch, seed=seed, epoch=epoch, rotate=rotate)
    views, repeats = list_views(times)
    order = np.argsort(draw(rows.keys[views], seed, epoch, repeats, columns=1)[:, ORDER], kind="stable")
    cuts = list(range(batch_size, len(order), batch_size))
    if cuts and len(order) - cuts[-1] == 1:
        cuts.pop()
    batches, repeats = np.split(views[order], cuts), np.split(repeats[order], cuts)
    return EpochPlan(tuple(batches), tuple(repeats), rows.keys, seed, epoch)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Return the number of batches that `plan_epoch` makes."""
    full, rest = divmod(count, batch_size)
    return max(1, full + (rest > 1))


def read_batch(store: PixelStore, positions: NDArray[np.intp], device: torch.device) -> Tensor:
    """Read images as uint8 (B, C, H, W) in channels-last memory order: a quarter of the bytes of floats."""
    return torch.from_numpy(store.read(positions)).to(device).permute(0, 3, 1, 2)


def augment_batch(
    pixels: Tensor, draws: NDArray[np.float64], labels: NDArray[np.int8], rarer: int, recipe: HeadRecipe
) -> Tensor:
    """Augment a batch, or those of its images that are of the rarer class if the recipe says so.

    Args:
        pixels: (B, C, H, W) uint8; may be written to.
        draws: (B, DRAWS) of the images in this epoch.
        labels: (B,) 0 or 1.
        rarer: The label that fewer training rows have.
        recipe: Settings of the head.
    """
    if recipe.balance.augment_only == "all":
        return augment(pixels, draws, recipe.augment)
    chosen = np.flatnonzero(labels == rarer)
    pixels = pixels.to(torch.float32)
    if len(chosen):
        pixels[chosen] = augment(pixels[chosen], draws[chosen], recipe.augment)
    return pixels


def in_batches(count: int, batch_size: int) -> Iterator[slice]:
    """Cut a range into slices of at most `batch_size`."""
    for start in range(0, count, batch_size):
        yield slice(start, min(start + batch_size, count))
