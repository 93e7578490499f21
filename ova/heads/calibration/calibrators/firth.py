"""Logistic regression of labels on one score, with Firth's penalty: no prior, no units, never infinite.

Scores that are multiplied or moved give the same probabilities, which a prior on the slope cannot promise.
Heinze and Schemper 2002 show why the penalty (Firth 1993) keeps the estimate finite when the classes are
separable; it also takes away most of the bias that few positives cause.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from ova.arrays import FloatArray
from ova.heads.calibration.calibrators.blocks import MANY, in_blocks
from ova.heads.calibration.calibrators.platt import Platt

_MOST_STEPS = 200
_LONGEST_STEP = 2.0
_TOLERANCE = 1e-7


def fit_firth(scores: FloatArray, rows: FloatArray, positives: FloatArray) -> Platt | None:
    """Fit logit p = slope * s + intercept.

    Maximises sum[y z - log(1 + e^z)] + log det(I) / 2, with I the Fisher information, by scoring steps on
    standardised scores: U* = X' (y - p + h (1/2 - p)), where h are the leverages.

    Args:
        scores: (g,) distinct finite scores.
        rows: (g,) rows at each score.
        positives: (g,) positive rows at each score.

    Returns:
        The map; None if the head ranks backwards (the slope is not above 0), all scores are equal, or the
        steps do not come to rest.
    """
    total = rows.sum()
    mean = float(rows @ scores / total)
    spread = float(np.sqrt(rows @ (scores - mean) ** 2 / total))
    if not spread > 0.0:
        return None
    unit = (scores - mean) / spread
    share = (positives.sum() + 0.5) / (total + 1.0)
    point = np.array([0.0, np.log(share / (1.0 - share))])
    if len(unit) >= MANY:
        first = _converge(*in_blocks(unit, rows, positives), point)
        point = point if first is None else first
    found = _converge(unit, rows, positives, point)
    if found is None or not found[0] > 0.0:
        return None
    slope = float(found[0]) / spread
    return Platt(slope, float(found[1]) - slope * mean)


def _converge(
    unit: FloatArray, rows: FloatArray, positives: FloatArray, point: FloatArray
) -> FloatArray | None:
    damping, before = 1.0, np.inf
    for _ in range(_MOST_STEPS):
        step = damping * _step(unit, rows, positives, point)
        longest = float(np.abs(step).max())
        if longest > 0.9 * before:  # a handful of rows can make the steps swing from side to side
            damping /= 2.0
        before = longest
        point = point + step * min(1.0, _LONGEST_STEP / max(longest, _TOLERANCE))
        if longest < _TOLERANCE:
            return point
    return None


def _step(unit: FloatArray, rows: FloatArray, positives: FloatArray, point: FloatArray) -> FloatArray:
    p = expit(point[0] * unit + point[1])
    weight = rows * p * (1.0 - p)
    squares, cross, total = float(weight @ unit**2), float(weight @ unit), float(weight.sum())
    determinant = max(squares * total - cross**2, np.finfo(np.float64).tiny)
    # Leverage of all rows at one score: w x' I^-1 x, with x = (unit, 1).
    leverage = weight * (total * unit**2 - 2.0 * cross * unit + squares) / determinant
    residual = positives - rows * p + leverage * (0.5 - p)
    first, second = float(residual @ unit), float(residual.sum())
    return np.array([total * first - cross * second, squares * second - cross * first]) / determinant
