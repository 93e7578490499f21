"""How often an epoch shows each training row: caps and repeats that any machine repeats alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ova.data.augment.draws import ORDER, draw

# Epochs are counted from 1, so the draws of epoch 0 are free to fix an order for the whole training.
_ORDER_EPOCH = 0


def repeats_per_epoch(
    labels: NDArray[np.int8],
    keys: NDArray[np.uint64],
    per_epoch: tuple[int, int],
    *,
    seed: int,
    epoch: int,
    rotate: bool = True,
) -> NDArray[np.intp]:
    """Return how often an epoch shows each row, (N,).

    Every class is walked in an order of its own, fixed by (seed, image): the next epoch goes on where this
    one stopped. So two rows of a class differ by one showing at most, in an epoch and over all of them, and a
    class of which n of N rows fit into an epoch has been seen whole after N / n epochs.

    Args:
        labels: (N,) 0 or 1, both present.
        keys: (N,) keys of the images.
        per_epoch: Rows to show of label 0 and of label 1.
        seed: Of the training.
        epoch: Counted from 1.
        rotate: False starts every epoch at the same place where a class is capped.
    """
    times = np.zeros(len(labels), np.intp)
    for label, wanted in enumerate(per_epoch):
        rows = np.flatnonzero(labels == label)
        repeats, rest = divmod(wanted, len(rows))
        times[rows] = repeats
        if rest:
            order = np.argsort(draw(keys[rows], seed, _ORDER_EPOCH, columns=1)[:, ORDER], kind="stable")
            start = (epoch - 1) * rest if rotate or repeats else 0
            times[rows[order[(start + np.arange(rest)) % len(rows)]]] += 1
    return times


def list_views(times: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row of each view of an epoch, (V,), and which of its row's showings it is, (V,), from 0."""
    views = np.repeat(np.arange(len(times)), times)
    return views, np.arange(len(views)) - np.repeat(np.cumsum(times) - times, times)
