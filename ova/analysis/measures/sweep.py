"""What every threshold would do on some rows, thinned for pages and tables, and the scores by label.

Shape letters: n rows, g cuts (distinct scores and "flag nothing"), p points that are kept.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.analysis.measures.values import Histogram, Sweep
from ova.arrays import FloatArray
from ova.heads.calibration.ranking import Ranking

MOST_POINTS = 500
_BINS = 40


def sweep_thresholds(
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float,
    *,
    rows: str,
    interval: tuple[float | None, float | None] = (None, None),
    most: int = MOST_POINTS,
) -> Sweep | None:
    """Count, for every threshold, what it flags and finds.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) logits, compared as float32.
        threshold: The one in use; its own counts are in the table.
        rows: What the rows are, "calibration" or "test".
        interval: Of the threshold.
        most: Points to keep, at least 4.

    Returns:
        The table, or None without a positive, where no threshold is better than another.
    """
    if not np.asarray(labels).any():
        return None
    ranking = Ranking.of(scores, labels)
    thresholds = ranking.thresholds()
    tp, fp = np.append(0.0, ranking.tp), np.append(0.0, ranking.fp)
    chosen = int(np.searchsorted(-ranking.scores, -float(np.float32(threshold)), side="right"))
    thresholds[chosen] = threshold  # another one with the same decisions
    f1 = 2.0 * tp / (tp + fp + ranking.positives)
    shares = np.column_stack([tp / ranking.positives, fp / max(ranking.negatives, 1.0), f1])
    kept = _thin(shares, [chosen, int(f1.argmax())], most)
    flagged = (tp + fp)[kept]
    found = tp[kept]
    return Sweep(
        rows=rows,
        positives=int(ranking.positives),
        negatives=int(ranking.negatives),
        threshold=tuple(thresholds[kept].tolist()),
        flagged=tuple(flagged.astype(int).tolist()),
        tp=tuple(found.astype(int).tolist()),
        precision=tuple(part / whole if whole else None for part, whole in zip(found, flagged, strict=True)),
        recall=tuple(shares[kept, 0].tolist()),
        false_positive_rate=tuple(
            float(share) if ranking.negatives else None for share in shares[kept, 1].tolist()
        ),
        f1=tuple(f1[kept].tolist()),
        chosen=int(np.searchsorted(kept, chosen)),
        chosen_low=interval[0],
        chosen_high=interval[1],
    )


def score_histogram(labels: ArrayLike, scores: ArrayLike, *, rows: str) -> Histogram | None:
    """Count scores by label in 40 bins of equal width.

    They lie between the 0.5th and the 99.5th percentile of either label, so that one far score does not
    squeeze all others into a bin.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) logits.
        rows: What the rows are, "calibration" or "test".

    Returns:
        The histogram, or None without rows.
    """
    truth, values = np.asarray(labels) == 1, np.asarray(scores, np.float64)
    sides = [side for side in (values[truth], values[~truth]) if side.size]
    if not sides:
        return None
    ends = [np.percentile(side, [0.5, 99.5]) for side in sides]
    low, high = float(min(end[0] for end in ends)), float(max(end[1] for end in ends))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    inside = np.clip(values, low, high)
    positives, negatives = (np.histogram(inside[part], edges)[0] for part in (truth, ~truth))
    return Histogram(rows, tuple(edges.tolist()), tuple(positives.tolist()), tuple(negatives.tolist()))


def _thin(curves: FloatArray, wanted: list[int], most: int) -> NDArray[np.intp]:
    """Positions (p,) of points evenly spaced along curves (g, 3), with both ends and those wanted."""
    count = len(curves)
    if count <= most:
        return np.arange(count, dtype=np.intp)
    length = np.append(0.0, np.cumsum(np.abs(np.diff(curves, axis=0)).sum(axis=1)))
    even = np.searchsorted(length, np.linspace(0.0, length[-1], most - len(set(wanted) - {0, count - 1})))
    return np.unique(np.concatenate([[0, count - 1], np.minimum(even, count - 1), wanted])).astype(np.intp)
