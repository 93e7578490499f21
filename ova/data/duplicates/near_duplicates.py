"""Clusters of near duplicates: images that differ by saving, size, light, a slight crop, or a flip or turn.

Candidates are pairs whose perceptual hashes are near; a pair counts when the thumbnails confirm it, because
images of one product look alike without being copies. Images without contrast are nobody's duplicate.

A copy may be brighter, of more contrast, and a little shifted, stretched or turned, as after a crop. These
changes are fitted by least squares on the first derivatives of the mean of both (one step of Lucas and
Kanade, "An iterative image registration technique", IJCAI 1981). What is left tells images apart that only
look alike.

Shape letters: n images, M pairs, S side of the thumbnails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from ova.data.duplicates.hash_index import IndexPairs, pairs_within
from ova.data.images.quality import THUMB, Qualities, upright
from ova.data.recipe import DuplicateRule
from ova.data.tables.texts import in_order_met

FLAT = 2.0
"""Images whose spread is less, in grey levels, show one shade and nothing to compare."""

PLAIN = 0.8
"""Pairs of a lower plain correlation are not alike, whatever the fit says: it is for small changes only."""

_COARSE_SIDE = 4  # a coarse view has so many blocks to each side
_FIT_EDGE = 1  # the fit reads one pixel more to each side
_PAIRS_AT_ONCE = 65_536
_THUMBS_AT_ONCE = 64  # small arrays stay in the cache: a third of the time that batches of 1,024 take

_RowArray = NDArray[np.intp]
_Thumbs = NDArray[np.uint8]
_Floats = NDArray[np.float32]


def near_duplicates(qualities: Qualities, rule: DuplicateRule) -> _RowArray:
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


def _turned(thumbs: _Thumbs, rows: _RowArray) -> _Thumbs:
    """Lay image r the best way for row r, and the second best for row n + r."""
    laid = np.empty((len(rows), *thumbs.shape[1:]), np.uint8)
    for rank in (0, 1):
        here = rows // len(thumbs) == rank
        laid[here] = upright(thumbs[rows[here] % len(thumbs)], rank)
    return laid


def _join_view(
    joined: _Joined,
    rows: _RowArray,
    hashes: NDArray[np.uint64],
    thumbs: Callable[[_RowArray], _Thumbs],
    rule: DuplicateRule,
) -> None:
    """Join what is alike in one way of looking: as the images lie, or all turned upright."""
    coarse = coarse_views(len(hashes), thumbs)

    def confirm(pairs: IndexPairs) -> None:
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


def _batches(pieces: Iterable[IndexPairs]) -> Iterator[IndexPairs]:
    """Gather small pieces, because each check has a cost of its own."""
    waiting: list[IndexPairs] = []
    for piece in pieces:
        waiting.append(piece)
        if sum(map(len, waiting)) >= _PAIRS_AT_ONCE:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _settled(labels: _RowArray, limits: _RowArray) -> _RowArray:
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


def _members(near: Iterable[IndexPairs], limits: _RowArray, order: _RowArray) -> Iterator[IndexPairs]:
    """Turn pairs of hashes into all pairs of their images, at most `_PAIRS_AT_ONCE` at once.

    Args:
        near: (M, 2) numbers of hashes, piece by piece.
        limits: Images of hash h are `order[limits[h]:limits[h + 1]]`.
        order: Rows of images.
    """
    sizes = np.diff(limits)
    for pairs in near:
        one, other = pairs.T
        ends = np.cumsum(sizes[one] * sizes[other])
        for start in range(0, int(ends[-1]), _PAIRS_AT_ONCE):
            flat = np.arange(start, min(start + _PAIRS_AT_ONCE, int(ends[-1])))
            which = np.searchsorted(ends, flat, side="right")
            inside = flat - (ends - sizes[one] * sizes[other])[which]
            left = limits[one[which]] + inside // sizes[other[which]]
            right = limits[other[which]] + inside % sizes[other[which]]
            yield np.stack([order[left], order[right]], axis=1)


class _Joined:
    """Components that grow; `labels[i] == labels[j]` says that i and j are in one."""

    def __init__(self, labels: _RowArray) -> None:
        self.labels = labels

    def parted(self, pairs: IndexPairs) -> IndexPairs:
        """Keep the pairs that are not in one component yet."""
        return pairs[self.labels[pairs[:, 0]] != self.labels[pairs[:, 1]]]

    def forest(self, pairs: IndexPairs) -> IndexPairs:
        """Pick pairs that would join as much as all of them do; where they hold, the others need no look."""
        graph = self._graph(pairs, np.arange(1, len(pairs) + 1))
        return pairs[minimum_spanning_tree(graph).data.astype(np.intp) - 1]

    def join(self, pairs: IndexPairs) -> None:
        """Put the two ends of each pair into one component."""
        if len(pairs):
            graph = self._graph(pairs, np.ones(len(pairs), np.int8))
            self.labels = connected_components(graph, directed=False)[1][self.labels]

    def _graph(self, pairs: IndexPairs, values: NDArray[np.integer]) -> csr_array:
        ends = self.labels[pairs]
        one, other = ends.min(axis=1), ends.max(axis=1)
        _, first = np.unique(one * len(self.labels) + other, return_index=True)
        nodes = (len(self.labels), len(self.labels))
        return coo_array((values[first], (one[first], other[first])), shape=nodes).tocsr()


def alike(
    pairs: IndexPairs, thumbs: Callable[[_RowArray], _Thumbs], coarse: _Floats, bound: float
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
    for start in range(0, len(left), _THUMBS_AT_ONCE):
        batch = left[start : start + _THUMBS_AT_ONCE]
        one, other = pairs[batch].T
        found[batch] = likeness(thumbs(one), thumbs(other)) >= bound
    return found


def likeness(one: _Thumbs, other: _Thumbs) -> _Floats:
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


def _fitted(one: _Floats, other: _Floats) -> _Floats:
    """Return 1 - (what is left of the difference) / 2 (the mean), squared lengths within the edge, (M,)."""
    mean = (one + other) / 2
    down, across = np.gradient(mean, axis=(1, 2))
    axis = np.linspace(-1, 1, mean.shape[1], dtype=np.float32)
    slopes: list[Any] = [down, across]
    slopes += [slope * place for slope in (down, across) for place in (axis, axis[:, None])]
    inner = (slice(None), slice(_FIT_EDGE, -_FIT_EDGE), slice(_FIT_EDGE, -_FIT_EDGE))
    basis = np.empty((len(mean), len(slopes) + 2, (mean.shape[1] - 2 * _FIT_EDGE) ** 2), np.float32)
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


def coarse_views(count: int, thumbs: Callable[[_RowArray], _Thumbs]) -> _Floats:
    """Project the normalised thumbnails of `count` images onto blocks: (count, 16) float32."""
    size = THUMB // _COARSE_SIDE
    views = np.empty((count, _COARSE_SIDE * _COARSE_SIDE), np.float32)
    for start in range(0, count, _THUMBS_AT_ONCE):
        rows = np.arange(start, min(start + _THUMBS_AT_ONCE, count))
        blocks = _normalised(thumbs(rows)).reshape(len(rows), _COARSE_SIDE, size, _COARSE_SIDE, size)
        views[rows] = blocks.sum(axis=(2, 4)).reshape(len(rows), -1) / size  # of orthonormal blocks
    return views


def _normalised(thumbs: _Thumbs) -> _Floats:
    """Give each thumbnail mean 0 and length 1; one without any contrast stays 0."""
    values = thumbs.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt(np.square(values).sum(axis=(1, 2), keepdims=True))
    return values / np.maximum(length, 1e-6)
