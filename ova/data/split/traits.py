"""What clusters of images hold that a split should spread evenly, counted in whole numbers.

Traits are: being an image; the positives of every label (first order), and having none; negatives, where a
label has fewer of them than half of the images; pairs of labels that occur together (second order); and
combinations that occur often. An unknown cell counts as neither positive nor negative.

Shape letters: n images, k labels, c clusters, u combinations of labels, f traits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, hstack

from ova.data.split.clusters import Clusters

# A combination that fewer images have is spread by what it is made of.
_OFTEN = 10
# Where labels are so many and so common that pairs would fill the memory, they are left out.
_MOST_PAIRS = 4_000_000
# The weight of a trait is that of its kind divided by how often it occurs, as in a chi-square, and rounded.
_UNIT = 1 << 20
_LABEL, _PAIR = 8, 1


@dataclass(frozen=True, eq=False)
class Traits:
    """What c clusters hold.

    Attributes:
        counts: (c, f) how many images of a cluster have a trait. Trait 0 is being an image, traits 1 to k are
            the positives of the labels, trait k + 1 is having labels but no positive one.
        weights: (f,) how much an image too many or too few of a trait counts.
        signature: (c,) equal for clusters that hold the same combinations equally often.
        signatures: s, how many numbers there are.
        labels: k.
    """

    counts: csr_array
    weights: NDArray[np.int64]
    signature: NDArray[np.intp]
    signatures: int
    labels: int

    @property
    def totals(self) -> NDArray[np.int64]:
        """Images that have each trait, (f,)."""
        return np.asarray(self.counts.sum(axis=0), np.int64)

    @property
    def per_signature(self) -> NDArray[np.intp]:
        """Clusters of each signature, (s,)."""
        return np.bincount(self.signature, minlength=self.signatures)

    @property
    def per_label(self) -> slice:
        """Where the positives of the labels are among the traits."""
        return slice(1, 1 + self.labels)

    def subset(self, chosen: NDArray[np.intp]) -> Traits:
        """Take some clusters; signatures keep their numbers."""
        return replace(self, counts=self.counts[chosen], signature=self.signature[chosen])


def find_traits(clusters: Clusters, values: NDArray[np.int8]) -> Traits:
    """Count the traits of clusters.

    Args:
        clusters: c clusters of n images.
        values: (n, k) 1, 0 or unknown, in the order of `clusters.rows`, columns sorted by name.
    """
    combinations, of_image = _combinations(values)
    shape = (len(clusters.names), len(combinations))
    ones = np.ones(len(of_image), np.int64)
    held = csr_array(coo_array((ones, (clusters.of_image, of_image)), shape=shape))
    often = np.bincount(of_image, minlength=len(combinations))
    positive = combinations == 1
    bare = ~positive.any(axis=1) & (combinations == 0).any(axis=1)
    scarce = _scarce_negatives(combinations, often)
    first = np.column_stack([np.ones(len(often), np.bool_), positive, bare, scarce])
    traits = hstack([csr_array(first.astype(np.int64)), _pairs(positive), _columns(often >= _OFTEN)])
    counts = csr_array(held @ csr_array(traits))
    counts.sort_indices()
    totals = np.maximum(np.asarray(counts.sum(axis=0), np.int64), 1)
    kinds = np.where(np.arange(len(totals)) < first.shape[1], _LABEL, _PAIR)
    signature = _signatures(held)
    weights = np.maximum(_UNIT * kinds // totals, 1)
    return Traits(counts, weights, signature, int(signature.max()) + 1, positive.shape[1])


def _combinations(values: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """Return the combinations (u, k), in the order of their first image, and that of every image (n,)."""
    rows = np.ascontiguousarray(values).view(f"V{values.shape[1]}").ravel().tolist()
    known: dict[bytes, int] = {}
    numbers = np.array([known.setdefault(row, len(known)) for row in rows], np.intp)
    return np.frombuffer(b"".join(known), np.int8).reshape(-1, values.shape[1]), numbers


def _scarce_negatives(combinations: NDArray[np.int8], often: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Columns of negatives, (u, <= k), of labels whose negatives are fewer than half of the images."""
    negative = combinations == 0
    counts = often @ negative
    return negative[:, (counts > 0) & (2 * counts < often.sum())]


def _columns(chosen: NDArray[np.bool_]) -> csr_array:
    """A column per chosen combination, (u, chosen)."""
    rows = np.flatnonzero(chosen)
    shape = (len(chosen), len(rows))
    return csr_array(coo_array((np.ones(len(rows), np.int64), (rows, np.arange(len(rows)))), shape=shape))


def _pairs(positive: NDArray[np.bool_]) -> csr_array:
    """A column per pair of labels that occur together in a combination, (u, pairs)."""
    _, columns = np.nonzero(positive)
    lengths = positive.sum(axis=1)
    starts = np.cumsum(lengths) - lengths
    if int((lengths * (lengths - 1) // 2).sum()) > _MOST_PAIRS:
        return csr_array((len(positive), 0), dtype=np.int64)
    rows, pairs = [np.empty(0, np.intp)], [np.empty(0, np.intp)]
    for length in np.unique(lengths[lengths > 1]):
        which = np.flatnonzero(lengths == length)
        held = columns[starts[which][:, None] + np.arange(length)]
        one, other = np.triu_indices(length, 1)
        pairs.append((held[:, one] * positive.shape[1] + held[:, other]).ravel())
        rows.append(np.repeat(which, len(one)))
    names, numbers = np.unique(np.concatenate(pairs), return_inverse=True)
    ones = np.ones(len(numbers), np.int64)
    shape = (len(positive), len(names))
    return csr_array(coo_array((ones, (np.concatenate(rows), numbers)), shape=shape))


def _signatures(held: csr_array) -> NDArray[np.intp]:
    """Number clusters so that those which hold the same combinations equally often have one number."""
    held.sort_indices()
    known: dict[tuple[bytes, bytes], int] = {}
    numbers = np.empty(len(np.asarray(held.indptr)) - 1, np.intp)
    indices, data = np.asarray(held.indices), np.asarray(held.data)
    for cluster, (start, end) in enumerate(pairwise(np.asarray(held.indptr).tolist())):
        key = indices[start:end].tobytes(), data[start:end].tobytes()
        numbers[cluster] = known.setdefault(key, len(known))
    return numbers
