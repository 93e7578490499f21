"""The order of an epoch, its random draws, and its augmented batches.

Shape letters: N rows, B rows of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment.augment import augment
from ova.data.augment.draws import ORDER, draw
from ova.heads.recipe import HeadRecipe
from ova.heads.rows import Rows
from ova.heads.training.sampler import list_views, repeats_per_epoch


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
        times = repeats_per_epoch(rows.labels, rows.keys, per_epoch, seed=seed, epoch=epoch, rotate=rotate)
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
