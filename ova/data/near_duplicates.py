"""Clusters of near duplicates: images that differ by saving, size, light, a slight crop, or a flip or turn.

Candidates are pairs whose perceptual hashes are near; a pair counts when the thumbnails confirm it, because
images of one product look alike without being copies. Images without contrast are nobody's duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from ova.data.alike import in_order_met
from ova.data.clean_recipe import DuplicateRule
from ova.data.hash_index import Pairs, pairs_within
from ova.data.likeness import Thumbs, alike, coarse_views
from ova.data.quality import Qualities, upright

FLAT = 2.0
"""Images whose spread is less, in grey levels, show one shade and nothing to compare."""

_BATCH = 65_536
Rows = NDArray[np.intp]


def near_duplicates(qualities: Qualities, rule: DuplicateRule) -> Rows:
    """Number the clusters of n images.

    Args:
        qualities: Measures of n images.
        rule: How near is near.

    Returns:
        (n,) the cluster of each image, numbered from 0 by its first image: connected components, so that
        the ends of a chain need not be alike.
    """
    count, plain = len(qualities.hashes), qualities.thumbs
    rows = np.flatnonzero(qualities.spread >= FLAT)
    joined = _Joined(np.arange(count))
    _join_view(joined, rows, qualities.hashes, lambda some: plain[some], rule)
    if rule.turned:  # each image twice, because it is not sure which way is up
        joined = _Joined(np.tile(joined.labels, 2))
        hashes = qualities.turned_hashes.T.ravel()
        twice = np.concatenate([rows, rows + count])
        _join_view(joined, twice, hashes, lambda some: _turned(plain, some), rule)
    return in_order_met(joined.labels[:count])


def _turned(thumbs: Thumbs, rows: Rows) -> Thumbs:
    """Lay image r the best way for row r, and the second best for row n + r."""
    laid = np.empty((len(rows), *thumbs.shape[1:]), np.uint8)
    for rank in (0, 1):
        here = rows // len(thumbs) == rank
        laid[here] = upright(thumbs[rows[here] % len(thumbs)], rank)
    return laid


class _Joined:
    """Components that grow; `labels[i] == labels[j]` says that i and j are in one."""

    def __init__(self, labels: Rows) -> None:
        self.labels = labels

    def parted(self, pairs: Pairs) -> Pairs:
        """Keep the pairs that are not in one component yet."""
        return pairs[self.labels[pairs[:, 0]] != self.labels[pairs[:, 1]]]

    def forest(self, pairs: Pairs) -> Pairs:
        """Pick pairs that would join as much as all of them do; where they hold, the others need no look."""
        graph = self._graph(pairs, np.arange(1, len(pairs) + 1))
        return pairs[minimum_spanning_tree(graph).data.astype(np.intp) - 1]

    def join(self, pairs: Pairs) -> None:
        """Put the two ends of each pair into one component."""
        if len(pairs):
            graph = self._graph(pairs, np.ones(len(pairs), np.int8))
            self.labels = connected_components(graph, directed=False)[1][self.labels]

    def _graph(self, pairs: Pairs, values: NDArray[np.integer]) -> csr_array:
        ends = self.labels[pairs]
        one, other = ends.min(axis=1), ends.max(axis=1)
        _, first = np.unique(one * len(self.labels) + other, return_index=True)
        nodes = (len(self.labels), len(self.labels))
        return coo_array((values[first], (one[first], other[first])), shape=nodes).tocsr()


def _join_view(
    joined: _Joined,
    rows: Rows,
    hashes: NDArray[np.uint64],
    thumbs: Callable[[Rows], Thumbs],
    rule: DuplicateRule,
) -> None:
    """Join what is alike in one way of looking: as the images lie, or all turned upright."""
    coarse = coarse_views(len(hashes), thumbs)

    def confirm(pairs: Pairs) -> None:
        pairs = joined.parted(pairs)
        if not len(pairs):
            return
        for some in (joined.forest(pairs), pairs):
            left = joined.parted(some)
            joined.join(left[alike(left, thumbs, coarse, rule.likeness)])

    values, names = np.unique(hashes[rows], return_inverse=True)
    order = rows[np.argsort(names, kind="stable")]
    limits = np.concatenate([[0], np.cumsum(np.bincount(names))])
    equal = pairs_within(hashes[rows], 0, lambda: joined.labels[rows])
    for pairs in _batches(equal):
        confirm(rows[pairs])
    near = pairs_within(values, rule.tolerance, lambda: _settled(joined.labels[order], limits))
    for pairs in _batches(_members(near, limits, order)):
        confirm(pairs)


def _settled(labels: Rows, limits: Rows) -> Rows:
    """Label each hash by the component of its images, or by itself while they are in several.

    Args:
        labels: Components of images, sorted by hash.
        limits: Images of hash h are those from `limits[h]` to `limits[h + 1]`.
    """
    starts = limits[:-1]
    if not len(starts):
        return starts
    low, high = np.minimum.reduceat(labels, starts), np.maximum.reduceat(labels, starts)
    return np.where(low == high, low, labels.max(initial=0) + 1 + np.arange(len(starts)))


def _members(near: Iterable[Pairs], limits: Rows, order: Rows) -> Iterator[Pairs]:
    """Turn pairs of hashes into all pairs of their images, at most `_BATCH` at once.

    Args:
        near: (m, 2) numbers of hashes.
        limits: Images of hash h are `order[limits[h]:limits[h + 1]]`.
        order: Rows of images.
    """
    sizes = np.diff(limits)
    for pairs in near:
        one, other = pairs.T
        ends = np.cumsum(sizes[one] * sizes[other])
        for start in range(0, int(ends[-1]), _BATCH):
            flat = np.arange(start, min(start + _BATCH, int(ends[-1])))
            which = np.searchsorted(ends, flat, side="right")
            inside = flat - (ends - sizes[one] * sizes[other])[which]
            left = limits[one[which]] + inside // sizes[other[which]]
            right = limits[other[which]] + inside % sizes[other[which]]
            yield np.stack([order[left], order[right]], axis=1)


def _batches(pieces: Iterable[Pairs]) -> Iterator[Pairs]:
    """Gather small pieces, because each check has a cost of its own."""
    waiting: list[Pairs] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= _BATCH:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)
