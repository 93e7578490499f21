"""All pairs of 64-bit hashes within a Hamming distance, without comparing each with each.

Cut the 64 bits into b blocks. Two hashes that differ in at most t bits differ in at most t blocks, so they
agree in at least b - t of them (Manku, Jain and Das Sarma, "Detecting near-duplicates for web crawling",
WWW 2007). For every choice of b - t blocks the hashes are sorted by those bits, and only those
with equal bits are compared in full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

BITS = 64
MAX_TOLERANCE = 10
_COMPARE_COST = 0.1  # of comparing a pair, where sorting one hash costs 1 (measured)
_SKEW = 4  # hashes of photographs meet so many times as often as random ones

IndexPairs = NDArray[np.intp]
ComponentLabels = Callable[[], NDArray[np.intp]]
"""Says, each time it is asked, which hashes need no comparison any more: those of equal labels, from 0."""


def pairs_within(
    hashes: NDArray[np.uint64], tolerance: int, settled: ComponentLabels | None = None
) -> Iterator[IndexPairs]:
    """Find every pair of hashes that differ in at most `tolerance` bits.

    Args:
        hashes: (n,), uint64.
        tolerance: 0 to `MAX_TOLERANCE` bits.
        settled: Gives (n,) labels. Pairs of one label may be left off, and others may come twice: so many
            images that are all alike cost little more than as many that are not.

    Yields:
        (m, 2) positions in `hashes`, the smaller first; each pair once, in no order.
    """
    if not 0 <= tolerance <= MAX_TOLERANCE:
        raise ValueError(f"tolerance must be 0 to {MAX_TOLERANCE}, got {tolerance}")
    agreeing = _blocks_that_agree(len(hashes), tolerance)
    masks = _block_masks(agreeing + tolerance)
    for chosen in combinations(range(len(masks)), agreeing):
        key = np.bitwise_or.reduce(masks[list(chosen)])
        # A pair that agrees in more blocks than chosen is found with the first of them only.
        earlier = [masks[block] for block in range(chosen[-1]) if block not in chosen]
        for one, other in _equal_pairs(hashes & key, settled):
            difference = hashes[one] ^ hashes[other]
            keep = np.bitwise_count(difference) <= tolerance
            for mask in earlier:
                keep &= (difference & mask) != 0
            if keep.any():
                ends = one[keep], other[keep]
                yield np.stack([np.minimum(*ends), np.maximum(*ends)], axis=1)


def _blocks_that_agree(count: int, tolerance: int) -> int:
    """Choose how many blocks make a key: with more, fewer meet by chance, but there are more choices."""

    def cost(agreeing: int) -> float:
        blocks = agreeing + tolerance
        meetings = count / 2 ** (BITS * agreeing / blocks + 1)  # per hash, were the hashes random
        return math.comb(blocks, agreeing) * (1 + _SKEW * _COMPARE_COST * meetings)

    return min(range(1, 7), key=cost)


def _block_masks(blocks: int) -> NDArray[np.uint64]:
    """Cut 64 bits into blocks of nearly equal length."""
    limits = [BITS * block // blocks for block in range(blocks + 1)]
    return np.array([(1 << stop) - (1 << start) for start, stop in pairwise(limits)], np.uint64)


def _equal_pairs(
    keys: NDArray[np.uint64], settled: ComponentLabels | None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield positions of all pairs of equal keys, never more at once than there are keys."""
    order = np.argsort(keys, kind="stable")
    ends = _run_ends(keys[order])
    yield from _steps(order, ends, range(1, 2))
    if settled is None:
        yield from _steps(order, ends, range(2, len(keys)))
        return
    order = order[ends - _run_starts(ends) > 2]
    if not len(order):
        return
    labels = settled()[order]
    sizes = np.bincount(labels)
    # The largest label of each key goes last, so that most positions have nothing but their like after them.
    again = np.lexsort((labels, sizes[labels], keys[order]))
    order, labels = order[again], labels[again]
    ends = _run_ends(keys[order])
    like = _run_ends(keys[order], labels)
    last_starts = _run_starts(like)[ends - 1]
    ends = np.where(labels == labels[ends - 1], last_starts, ends)
    yield from _steps(order, ends, range(1, len(order)))


def _steps(
    order: NDArray[np.intp], ends: NDArray[np.intp], steps: range
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pair each position with those behind it, up to its end, one step farther each time."""
    first = np.arange(len(order))
    for step in steps:
        first = first[first + step < ends[first]]
        if not len(first):
            return
        yield order[first], order[first + step]


def _run_ends(*columns: NDArray[np.uint64] | NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each position where the run of equal values around it ends (exclusive)."""
    count = len(columns[0])
    changes = np.zeros(max(count - 1, 0), np.bool_)
    for column in columns:
        changes |= column[1:] != column[:-1]
    limits = np.concatenate([[0], np.flatnonzero(changes) + 1, [count]])
    return np.repeat(limits[1:], np.diff(limits))


def _run_starts(ends: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.searchsorted(ends, ends, side="left")
