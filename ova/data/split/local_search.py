"""Move and swap clusters between parts: towards even traits, or towards the least positives of every label.

Towards even traits (`LocalSearch.run`), the sum of weight * (has - wanted)^2 over traits and parts falls,
as in a chi-square. It weighs a positive too many like one too few, which leaves a part without any where a
label lies in large clusters. Towards the least positives (`meet_minimums`), only what is short counts, and
the sum decides among equals. All numbers are whole and ties are broken by position, so that the result is
the same on every machine.

Shape letters: c clusters, f traits, p parts, k labels, m of the clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ova.data.split.traits import Traits

# Wanted counts are rounded to this fraction of an image.
FINE = 256
_NEVER = np.iinfo(np.int64).max // 4
_MOST_ROUNDS = 400
_MOVES_PER_ROUND = 128
# Between two parts, so many clusters of each are swapped with each other on trial, and so many pairs at last.
_SWAP_CANDIDATES = 48
_SWAPS_PER_PAIR = 4
# For minimums, so many clusters of the part that is short are tried in swaps: holders of what is short first.
_SWAP_PARTNERS = 64

# Change of what is short, half the change of the sum, the cluster, its new part, and who goes back or -1.
_Step = tuple[int, int, int, int, int]


class LocalSearch:
    """Clusters that may still move, and how far every part is from what it should hold.

    Args:
        traits: Of the c clusters that may move.
        part: (c,) where they are; changed in place.
        deviation: (f, p) has - wanted, in 1 / `FINE` images, all clusters counted.
        single: (c,) whether a cluster may enter a part only if no other of its signature is there.
        barred: (c, p) whether a cluster may not enter a part at all.
    """

    def __init__(
        self,
        traits: Traits,
        part: NDArray[np.intp],
        deviation: NDArray[np.int64],
        single: NDArray[np.bool_],
        barred: NDArray[np.bool_],
    ) -> None:
        self.part, self.deviation, self.single, self.barred = part, deviation, single, barred
        self.signature, self.weights = traits.signature, traits.weights
        counts = csr_array(traits.counts)
        self.counts = counts
        self.weighted = csr_array(counts.multiply(traits.weights[None, :]))
        self.own = FINE * np.asarray(self.weighted.multiply(counts).sum(axis=1), np.int64).ravel()
        self.taken = np.zeros((traits.signatures, deviation.shape[1]), np.int64)

    def occupy(self, signature: NDArray[np.intp], part: NDArray[np.intp]) -> None:
        """Say where the clusters of each signature are, those included that stay where they are."""
        np.add.at(self.taken, (signature, part), 1)

    def run(self) -> None:
        """Move until nothing helps, then swap, then move again; stop when neither helps."""
        for _ in range(_MOST_ROUNDS):
            gains = self._gains()
            if not self._move(gains) and not self._swap(gains):
                return

    def _gains(self) -> NDArray[np.int64]:
        """(c, p) half of what the sum changes by if a cluster goes to a part."""
        rows = np.arange(len(self.part))
        pull = np.asarray(self.weighted @ self.deviation, np.int64)
        gains = pull - pull[rows, self.part][:, None] + self.own[:, None]
        gains[self.barred | (self.single[:, None] & (self.taken[self.signature] > 0))] = _NEVER
        gains[rows, self.part] = _NEVER
        return gains

    def _move(self, gains: NDArray[np.int64]) -> int:
        """Move the clusters that help most, each looked at again when its turn comes."""
        rows = np.arange(len(self.part))
        best = gains.argmin(axis=1)
        gained = gains[rows, best]
        helpful = np.flatnonzero(gained < 0)
        helpful = helpful[np.argsort(gained[helpful], kind="stable")][:_MOVES_PER_ROUND]
        moved = 0
        for cluster, target in zip(helpful.tolist(), best[helpful].tolist(), strict=True):
            if self.open(cluster, target) and self.gain(cluster, target) < 0:
                self.put(cluster, target)
                moved += 1
        return moved

    def _swap(self, gains: NDArray[np.int64]) -> int:
        """Swap, between every two parts, the pairs that help most among those cheapest to move."""
        swapped = 0
        for one, other in combinations(range(self.deviation.shape[1]), 2):
            there, back = self._cheapest(gains, one, other), self._cheapest(gains, other, one)
            if not len(there) or not len(back):
                continue
            between = (self.weighted[there] @ self.counts[back].T).toarray()
            change = gains[there, other][:, None] + gains[back, one][None, :] - 2 * FINE * between
            for _ in range(_SWAPS_PER_PAIR):
                row, column = np.unravel_index(int(change.argmin()), change.shape)
                if change[row, column] >= 0:
                    break
                swapped += self._try_swap(int(there[row]), int(back[column]))
                change[row, :], change[:, column] = _NEVER, _NEVER
        return swapped

    def _cheapest(self, gains: NDArray[np.int64], source: int, target: int) -> NDArray[np.intp]:
        rows = np.flatnonzero((self.part == source) & (gains[:, target] < _NEVER))
        return rows[np.argsort(gains[rows, target], kind="stable")[:_SWAP_CANDIDATES]]

    def _try_swap(self, one: int, other: int) -> bool:
        source, target = int(self.part[one]), int(self.part[other])
        if source == target or not (self.open(one, target) and self.open(other, source)):
            return False
        if helps := self.swap_gain(one, other) < 0:
            self.put(one, target)
            self.put(other, source)
        return helps

    def open(self, cluster: int, target: int) -> bool:
        """Whether a cluster may enter a part."""
        taken = self.single[cluster] and self.taken[self.signature[cluster], target]
        return not (taken or self.barred[cluster, target])

    def gain(self, cluster: int, target: int) -> int:
        """Half of what the sum changes by if a cluster goes to a part."""
        start, end = self.weighted.indptr[cluster], self.weighted.indptr[cluster + 1]
        traits, weights = self.weighted.indices[start:end], self.weighted.data[start:end]
        ahead = self.deviation[traits, target] - self.deviation[traits, self.part[cluster]]
        return int(weights @ ahead + self.own[cluster])

    def swap_gain(self, one: int, other: int) -> int:
        """Half of what the sum changes by if two clusters change places."""
        both = int((self.weighted[[one]] @ self.counts[[other]].T).sum())
        return self.gain(one, int(self.part[other])) + self.gain(other, int(self.part[one])) - 2 * FINE * both

    def put(self, cluster: int, target: int) -> None:
        """Move a cluster to a part."""
        start, end = self.counts.indptr[cluster], self.counts.indptr[cluster + 1]
        traits, moved = self.counts.indices[start:end], FINE * self.counts.data[start:end]
        source = self.part[cluster]
        self.deviation[traits, source] -= moved
        self.deviation[traits, target] += moved
        self.taken[self.signature[cluster], source] -= 1
        self.taken[self.signature[cluster], target] += 1
        self.part[cluster] = target


def meet_minimums(search: LocalSearch, held: NDArray[np.int64], minimums: NDArray[np.intp]) -> None:
    """Take, as long as anything is short, the move or swap that mends most.

    Args:
        search: The clusters that may move.
        held: (k, p) positives of every label in every part, all clusters counted; changed in place.
        minimums: (k, p) how many there should be.
    """
    while (held < minimums).any():
        step = min(_steps(search, held, minimums), default=None)
        if step is None or step[0] >= 0:
            return
        _, _, cluster, target, back = step
        source = int(search.part[cluster])
        moved = _positives_of(search, np.array([cluster]), len(held))[0]
        if back >= 0:
            moved = moved - _positives_of(search, np.array([back]), len(held))[0]
            search.put(back, source)
        search.put(cluster, target)
        held[:, source] -= moved
        held[:, target] += moved


def _steps(search: LocalSearch, held: NDArray[np.int64], minimums: NDArray[np.intp]) -> Iterator[_Step]:
    """The best step from each part to each part that is short of something."""
    short = held < minimums
    labels = 1 + np.flatnonzero(short.any(axis=1))
    holders = np.flatnonzero(np.asarray(search.counts[:, labels].sum(axis=1)).ravel())
    first = np.argsort(~np.isin(np.arange(len(search.part)), holders), kind="stable")
    for target in np.flatnonzero(short.any(axis=0)).tolist():
        partners = first[search.part[first] == target][:_SWAP_PARTNERS]
        for source in range(held.shape[1]):
            candidates = holders[search.part[holders] == source]
            if source == target or not len(candidates):
                continue
            yield _best(search, held, minimums, candidates, partners, target)


def _best(
    search: LocalSearch,
    held: NDArray[np.int64],
    minimums: NDArray[np.intp],
    candidates: NDArray[np.intp],
    partners: NDArray[np.intp],
    target: int,
) -> _Step:
    """The step of these candidates to a part that mends most; no partner means a plain move."""
    source = int(search.part[candidates[0]])
    there = _positives_of(search, candidates, len(held))
    back = np.vstack([np.zeros((1, len(held)), np.int64), _positives_of(search, partners, len(held))])
    moved = there[:, None, :] - back[None, :, :]
    after = np.maximum(minimums[:, source] - (held[:, source] - moved), 0).sum(axis=2)
    after += np.maximum(minimums[:, target] - (held[:, target] + moved), 0).sum(axis=2)
    ends = [source, target]
    before = int(np.maximum(minimums[:, ends] - held[:, ends], 0).sum())
    steps = []
    for row, column in np.argwhere(after == after.min()).tolist():
        cluster, partner = int(candidates[row]), int(partners[column - 1]) if column else -1
        balance = search.swap_gain(cluster, partner) if column else search.gain(cluster, target)
        steps.append((int(after.min()) - before, balance, cluster, target, partner))
    return min(steps)


def _positives_of(search: LocalSearch, clusters: NDArray[np.intp], labels: int) -> NDArray[np.int64]:
    """Positives of every label in some clusters, (m, k)."""
    return np.asarray(search.counts[clusters][:, 1 : 1 + labels].toarray(), np.int64)
