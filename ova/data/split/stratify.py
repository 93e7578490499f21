"""Place clusters of images into parts so that every trait keeps its share in every part.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011; with pairs of labels: Szymanski, Kajdanowicz
2017) deals out one image after the other and looks at one label at a time. Here whole clusters are placed, in
three steps: clusters that hold the same combinations are divided by quota; what does not divide is dealt to
the part that is furthest behind in what a cluster holds; and moves and swaps then bring all traits nearer to
their shares at once (`ova.data.split.local_search`).

Shape letters: c clusters, f traits, s signatures, p parts.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ova.data.split.local_search import FINE, LocalSearch, meet_minimums
from ova.data.split.quotas import ROUNDING, Quotas
from ova.data.split.traits import Traits

# Exchanges are looked for among so many clusters, the scarce ones first: enough to mend what dealing leaves.
_MOST_EXCHANGED = 16_384


def place_clusters(
    traits: Traits, rank: NDArray[np.intp], pinned: NDArray[np.intp], quotas: Quotas
) -> NDArray[np.intp]:
    """Give every cluster a part.

    Args:
        traits: Of c clusters.
        rank: (c,) the order in which equals are taken.
        pinned: (c,) the part that a cluster has already, or -1.
        quotas: What the parts should hold.

    Returns:
        (c,) parts; those of pinned clusters unchanged.
    """
    part = pinned.copy()
    whole, extra = _quotas(traits, part, quotas)
    _deal_whole(traits, rank, part, whole)
    left = np.flatnonzero(part < 0)
    if len(left):
        left = left[np.argsort(rank[left], kind="stable")]
        part[left] = _place_rest(traits, left, part, quotas, extra)
    return part


def _quotas(
    traits: Traits, pinned: NDArray[np.intp], quotas: Quotas
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return how many clusters of a signature each part gets for sure, and which parts may get one more.

    Both are (s, p). Where quotas cannot hold, because pinned clusters lie otherwise or the signature is free,
    nothing is for sure, and `extra` is False throughout.
    """
    count, parts = quotas.signatures.shape
    have, loose = np.zeros((count, parts), np.intp), np.zeros(count, np.intp)
    fixed = pinned >= 0
    np.add.at(have, (traits.signature[fixed], pinned[fixed]), 1)
    np.add.at(loose, traits.signature[~fixed], 1)
    base = np.floor(quotas.signatures + ROUNDING).astype(np.intp)
    whole = np.maximum(base - have, 0)
    extra = (quotas.signatures - base > ROUNDING) & (have <= base)
    left = loose - whole.sum(axis=1)
    bound = (left >= 0) & (left <= extra.sum(axis=1)) & ~quotas.free
    return np.where(bound[:, None], whole, 0), extra & bound[:, None]


def _deal_whole(
    traits: Traits, rank: NDArray[np.intp], part: NDArray[np.intp], whole: NDArray[np.intp]
) -> None:
    """Give the first clusters of every signature to the parts that are sure of them."""
    loose = np.flatnonzero(part < 0)
    loose = loose[np.lexsort((rank[loose], traits.signature[loose]))]
    signature = traits.signature[loose]
    place = np.arange(len(loose)) - np.searchsorted(signature, signature)
    chosen = (place[:, None] >= np.cumsum(whole, axis=1)[signature]).sum(axis=1)
    dealt = chosen < whole.shape[1]
    part[loose[dealt]] = chosen[dealt]


def _place_rest(
    traits: Traits, left: NDArray[np.intp], part: NDArray[np.intp], quotas: Quotas, extra: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Deal the clusters that are left, in their order, and search some of them."""
    own = traits.subset(left)
    lack = quotas.traits - _held(traits, part, quotas.traits.shape)
    single = (extra.sum(axis=1) > 0)[own.signature]
    barred = single[:, None] & ~extra[own.signature]
    dealt = _deal(own, lack, single, barred)
    deviation = FINE * _held(own, dealt, lack.shape) - np.rint(FINE * lack).astype(np.int64)
    kind = np.where(quotas.free[own.signature], 0, 1 + single)
    chosen = np.argsort(kind, kind="stable")[:_MOST_EXCHANGED]
    search = LocalSearch(own.subset(chosen), dealt[chosen], deviation, single[chosen], barred[chosen])
    search.occupy(own.signature, dealt)
    search.run()
    dealt[chosen] = search.part
    held = _held(traits, part, lack.shape) + _held(own, dealt, lack.shape)
    meet_minimums(search, held[traits.per_label], quotas.minimums)
    dealt[chosen] = search.part
    return dealt


def _held(traits: Traits, part: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """How many images of every trait are in every part, (f, p); clusters without a part are left out."""
    held = [traits.counts[np.flatnonzero(part == number)].sum(axis=0) for number in range(shape[1])]
    return np.stack([np.asarray(column, np.int64).ravel() for column in held], axis=1)


def _deal(
    traits: Traits, lack: NDArray[np.float64], single: NDArray[np.bool_], barred: NDArray[np.bool_]
) -> NDArray[np.intp]:
    """Give each cluster to the part that is furthest behind in what the cluster holds.

    Args:
        traits: Of the clusters, in the order in which they are dealt.
        lack: (f, p) what the parts should get of them.
        single: (c,) whether a part may get only one cluster of this signature.
        barred: (c, p) whether a cluster may not enter a part.
    """
    shares = np.rint(FINE * lack / np.maximum(traits.totals, 1)[:, None]).astype(np.int64)
    ahead = np.zeros(lack.shape, np.int64)
    closed, last = barred.copy(), dict[int, int]()
    dealt = np.empty(len(single), np.intp)
    signatures, alone = traits.signature.tolist(), single.tolist()
    indices, data = np.asarray(traits.counts.indices), np.asarray(traits.counts.data)
    for cluster, (start, end) in enumerate(pairwise(np.asarray(traits.counts.indptr).tolist())):
        held, count = indices[start:end], data[start:end]
        behind = ahead[held]
        pull = (traits.weights[held] * count) @ behind
        if alone[cluster]:
            if (before := last.get(signatures[cluster])) is not None:
                closed[cluster] |= closed[before]
            last[signatures[cluster]] = cluster
            pull[closed[cluster]] = np.iinfo(np.int64).max
        part = dealt[cluster] = int(pull.argmin())
        closed[cluster, part] = True
        behind -= shares[held] * count[:, None]
        behind[:, part] += FINE * count
        ahead[held] = behind
    return dealt
