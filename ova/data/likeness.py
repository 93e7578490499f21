"""How alike two thumbnails are, once what a copy may change is allowed for.

A copy may be brighter, of more contrast, and a little shifted, stretched or turned, as after a crop. These
changes are fitted by least squares on the first derivatives of the mean of both (one step of Lucas and
Kanade, "An iterative image registration technique", IJCAI 1981). What is left tells images apart that only
look alike.

Shape letters: M pairs, S side of the thumbnails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.data.quality import THUMB

PLAIN = 0.8
"""Pairs of a lower plain correlation are not alike, whatever the fit says: it is for small changes only."""

_BLOCKS = 4
_EDGE = 1  # the fit reads one pixel more to each side
_BATCH = 64  # small arrays stay in the cache: a third of the time that batches of 1,024 take

Thumbs = NDArray[np.uint8]
Floats = NDArray[np.float32]


def likeness(one: Thumbs, other: Thumbs) -> Floats:
    """Correlate pairs of thumbnails after a small shift, stretch, turn and change of light.

    Args:
        one: (M, S, S), uint8.
        other: The same shape.

    Returns:
        (M,) float32, at most 1, which says that nothing is left of the difference; 0 where the plain
        correlation is below `PLAIN`. The same for (other, one).
    """
    first, second = _normalised(one), _normalised(other)
    result = np.zeros(len(one), np.float32)
    near = np.flatnonzero((first * second).sum(axis=(1, 2)) >= PLAIN)
    if len(near):
        result[near] = _fitted(first[near], second[near])
    return result


def alike(
    pairs: NDArray[np.intp], thumbs: Callable[[NDArray[np.intp]], Thumbs], coarse: Floats, bound: float
) -> NDArray[np.bool_]:
    """Say of pairs of images whether their likeness reaches a bound.

    Args:
        pairs: (M, 2) rows of images.
        thumbs: Gives the thumbnails of some rows.
        coarse: `coarse_views` of all images, by which most pairs are refused at little cost.
        bound: Least likeness.

    Returns:
        (M,) bool.
    """
    # Coarse views are projections, so they are never farther apart than the thumbnails: |a - b|^2 = 2 - 2 r.
    apart = np.square(coarse[pairs[:, 0]] - coarse[pairs[:, 1]]).sum(axis=1)
    found = apart <= 2 - 2 * PLAIN + 1e-4
    left = np.flatnonzero(found)
    for start in range(0, len(left), _BATCH):
        batch = left[start : start + _BATCH]
        one, other = pairs[batch].T
        found[batch] = likeness(thumbs(one), thumbs(other)) >= bound
    return found


def coarse_views(count: int, thumbs: Callable[[NDArray[np.intp]], Thumbs]) -> Floats:
    """Project the normalised thumbnails of `count` images onto blocks: (count, 16) float32."""
    size = THUMB // _BLOCKS
    views = np.empty((count, _BLOCKS * _BLOCKS), np.float32)
    for start in range(0, count, _BATCH):
        rows = np.arange(start, min(start + _BATCH, count))
        blocks = _normalised(thumbs(rows)).reshape(len(rows), _BLOCKS, size, _BLOCKS, size)
        views[rows] = blocks.sum(axis=(2, 4)).reshape(len(rows), -1) / size  # of orthonormal blocks
    return views


def _normalised(thumbs: Thumbs) -> Floats:
    """Give each thumbnail mean 0 and length 1; one without any contrast stays 0."""
    values = thumbs.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(values).sum(axis=(1, 2), keepdims=True))
    return values / np.maximum(length, 1e-6)


def _fitted(one: Floats, other: Floats) -> Floats:
    """Return 1 - (what is left of the difference) / 2 (the mean), squared lengths within the edge, (M,)."""
    mean = (one + other) / 2
    down, across = np.gradient(mean, axis=(1, 2))
    axis = np.linspace(-1, 1, mean.shape[1], dtype=np.float32)
    slopes: list[Any] = [down, across]
    slopes += [slope * place for slope in (down, across) for place in (axis, axis[:, None])]
    inner = (slice(None), slice(_EDGE, -_EDGE), slice(_EDGE, -_EDGE))
    basis = np.empty((len(mean), len(slopes) + 2, (mean.shape[1] - 2 * _EDGE) ** 2), np.float32)
    basis[:, 1] = 1
    for place, term in zip((0, 2, 3, 4, 5, 6, 7), (mean, *slopes), strict=True):
        basis[:, place] = term[inner].reshape(len(mean), -1)
    difference = (other - one)[inner].reshape(len(mean), -1, 1)
    gram = np.asarray(basis @ basis.swapaxes(1, 2), np.float64)
    ridge = 1e-6 * np.trace(gram, axis1=1, axis2=2).reshape(-1, 1, 1) * np.eye(basis.shape[1])
    weights = np.linalg.solve(gram + ridge, np.asarray(basis @ difference, np.float64))
    fitted = weights.swapaxes(1, 2).astype(np.float32) @ basis
    left = difference[:, :, 0] - fitted[:, 0]
    shown = basis[:, 0] - basis[:, 0].mean(axis=1, keepdims=True)
    energy = np.maximum(np.square(shown).sum(axis=1), 1e-6)
    return (1 - np.square(left).sum(axis=1) / (2 * energy)).astype(np.float32)
