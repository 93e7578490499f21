"""Thresholds that are best for micro F1, which counts all labels of an ensemble in one table.

Micro F1 = 2 TP / (flagged + positives), summed over heads, is a quotient of sums, so Dinkelbach's method
finds its global maximum: for a number lambda every head on its own maximises 2 TP - lambda flagged; lambda
becomes the micro F1 that results; and so on until it stays (the same guarantee as Pillai, Fumera and Roli
2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ova.ensembles.rule.rows import ThresholdedHead
from ova.errors import DataError
from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.sweep import best_cut
from ova.heads.threshold_objectives import Cost

_MOST_ROUNDS = 100


@dataclass(frozen=True)
class MicroThresholds:
    """Thresholds of all heads, and what they reach on calibration rows."""

    thresholds: tuple[float, ...]
    note: str


def micro_thresholds(heads: Sequence[ThresholdedHead]) -> MicroThresholds:
    """Choose the heads' thresholds for micro F1, each by the method of its own recipe.

    At the best lambda a right alarm is worth 2 - lambda and a wrong one costs lambda, so that every head has
    a cost objective, which its method steadies against chance. A head whose own calibration was left at the
    default keeps its threshold, and is counted with it.

    Raises:
        DataError: No head is calibrated.
    """
    free = [head for head in heads if head.free]
    if not free:
        raise DataError("micro F1 needs a calibrated head; every one has too few positives")
    fixed = [_counts(head, head.threshold) for head in heads if not head.free]
    rankings = [Ranking.of(head.scores.logits, head.scores.labels) for head in free]
    best = best_micro_f1(rankings, np.sum(fixed, axis=0) if fixed else np.zeros(3))
    # repr would be 1e-07 for a tiny price, which no objective is written like
    objective = f"cost {2.0 - best:.12f}:{max(best, 1e-9):.12f}"
    chosen = {head.name: head.choose(objective) for head in free}
    thresholds = [chosen.get(head.name, head.threshold) for head in heads]
    reached, own = (
        _micro_f1(np.sum([_counts(head, cut) for head, cut in zip(heads, cuts, strict=True)], axis=0))
        for cuts in (thresholds, [head.threshold for head in heads])
    )
    note = (
        f"thresholds are set for micro F1 over {len(heads)} heads: {reached:.3f} on calibration rows, "
        f"{own:.3f} with the heads' own thresholds"
    )
    return MicroThresholds(tuple(thresholds), note)


def best_micro_f1(rankings: Sequence[Ranking], fixed: NDArray[np.float64]) -> float:
    """Return the greatest micro F1 that any thresholds reach.

    Args:
        rankings: One per head.
        fixed: Added to (true positives, flagged, positives).
    """
    best = 0.0
    for _ in range(_MOST_ROUNDS):
        counts = fixed + np.sum([_best_counts(ranking, best) for ranking in rankings], axis=0)
        found = _micro_f1(counts)
        if found <= best:
            break
        best = found
    return best


def _best_counts(ranking: Ranking, price: float) -> NDArray[np.float64]:
    """Return (TP, flagged, positives) of the cut that maximises 2 TP - price * flagged."""
    cut, _ = best_cut(ranking, Cost(2.0 - price, price))
    tp, flagged = (float(ranking.tp[cut - 1]), float(ranking.flagged[cut - 1])) if cut else (0.0, 0.0)
    return np.array([tp, flagged, ranking.positives])


def _counts(head: ThresholdedHead, threshold: float) -> NDArray[np.float64]:
    flagged = head.scores.logits >= threshold
    positive = head.scores.labels == 1
    return np.array([(flagged & positive).sum(), flagged.sum(), positive.sum()], np.float64)


def _micro_f1(counts: NDArray[np.float64]) -> float:
    tp, flagged, positives = counts.tolist()
    return 2.0 * tp / (flagged + positives) if flagged + positives > 0 else math.nan
