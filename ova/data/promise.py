"""Move and swap clusters until every part has the positives that it was promised, if that can be.

What `ova.data.exchange` minimises weighs a positive too many like one too few, which leaves a part without
any where a label lies in large clusters. Here only what is short counts, and balance decides among equals.

Shape letters: c clusters, k labels, p parts, m and j candidates.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ova.data.exchange import Exchange

# Swaps are tried with so many clusters of the part that is short: those that hold what is short come first.
_PARTNERS = 64

# Change of what is short, change of balance, the cluster, its new part, and the cluster that goes back or -1.
_Step = tuple[int, int, int, int, int]


def meet_fewest(exchange: Exchange, held: NDArray[np.int64], fewest: NDArray[np.intp]) -> None:
    """Take, as long as anything is short, the move or swap that mends most.

    Args:
        exchange: The clusters that may move.
        held: (k, p) positives of every label in every part, all clusters counted; changed in place.
        fewest: (k, p) how many there should be.
    """
    while (held < fewest).any():
        step = min(_steps(exchange, held, fewest), default=None)
        if step is None or step[0] >= 0:
            return
        _, _, cluster, target, back = step
        source = int(exchange.part[cluster])
        moved = _labels(exchange, np.array([cluster]), len(held))[0]
        if back >= 0:
            moved = moved - _labels(exchange, np.array([back]), len(held))[0]
            exchange.put(back, source)
        exchange.put(cluster, target)
        held[:, source] -= moved
        held[:, target] += moved


def _steps(exchange: Exchange, held: NDArray[np.int64], fewest: NDArray[np.intp]) -> Iterator[_Step]:
    """The best step from each part to each part that is short of something."""
    short = held < fewest
    labels = 1 + np.flatnonzero(short.any(axis=1))
    holders = np.flatnonzero(np.asarray(exchange.counts[:, labels].sum(axis=1)).ravel())
    first = np.argsort(~np.isin(np.arange(len(exchange.part)), holders), kind="stable")
    for target in np.flatnonzero(short.any(axis=0)).tolist():
        partners = first[exchange.part[first] == target][:_PARTNERS]
        for source in range(held.shape[1]):
            candidates = holders[exchange.part[holders] == source]
            if source == target or not len(candidates):
                continue
            yield _best(exchange, held, fewest, candidates, partners, target)


def _best(
    exchange: Exchange,
    held: NDArray[np.int64],
    fewest: NDArray[np.intp],
    candidates: NDArray[np.intp],
    partners: NDArray[np.intp],
    target: int,
) -> _Step:
    """The step of these candidates to a part that mends most; no partner means a plain move."""
    source = int(exchange.part[candidates[0]])
    there = _labels(exchange, candidates, len(held))
    back = np.vstack([np.zeros((1, len(held)), np.int64), _labels(exchange, partners, len(held))])
    moved = there[:, None, :] - back[None, :, :]
    after = np.maximum(fewest[:, source] - (held[:, source] - moved), 0).sum(axis=2)
    after += np.maximum(fewest[:, target] - (held[:, target] + moved), 0).sum(axis=2)
    ends = [source, target]
    before = int(np.maximum(fewest[:, ends] - held[:, ends], 0).sum())
    steps = []
    for row, column in np.argwhere(after == after.min()).tolist():
        cluster, partner = int(candidates[row]), int(partners[column - 1]) if column else -1
        balance = exchange.swap_gain(cluster, partner) if column else exchange.gain(cluster, target)
        steps.append((int(after.min()) - before, balance, cluster, target, partner))
    return min(steps)


def _labels(exchange: Exchange, clusters: NDArray[np.intp], labels: int) -> NDArray[np.int64]:
    """Positives of every label in some clusters, (m, k)."""
    return np.asarray(exchange.counts[clusters][:, 1 : 1 + labels].toarray(), np.int64)
