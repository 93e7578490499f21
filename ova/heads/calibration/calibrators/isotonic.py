"""Isotonic calibration: probabilities that only have to rise, joined to a curve without steps."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from ova.arrays import FloatArray
from ova.heads.calibration.calibrators.blocks import balanced_starts

_BLOCKS = 60
_EDGE = 1e-12
_TILT = 1e-3


def fit_isotonic(
    log_odds: FloatArray, rows: FloatArray, positives: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Fit by pooling adjacent violators on at most 60 blocks that hold like shares of both classes.

    Pools are joined by straight pieces, and a thousandth of the logistic fit is added, so that no two logits
    tie. One more row per block, with the probability of the logistic fit, keeps pools of one class finite.
    Beyond the outermost pools the curve stays level, but for that thousandth.

    Args:
        log_odds: (g,) log odds of a logistic fit, rising.
        rows: (g,) rows at each.
        positives: (g,) positive rows at each.

    Returns:
        Knots, on the scale of `log_odds`, and calibrated log odds there: two rising arrays of equal length.
    """
    starts = balanced_starts(rows, positives, _BLOCKS)
    total, found = np.add.reduceat(rows, starts), np.add.reduceat(positives, starts)
    middle = np.add.reduceat(log_odds * rows, starts) / total
    weight = total + 1.0
    pools = isotonic_regression((found + expit(middle)) / weight, weights=weight)
    ends = np.unique(np.concatenate([pools.blocks[:-1], pools.blocks[1:] - 1]))
    knots, rate = middle[ends], np.clip(pools.x[ends], _EDGE, 1.0 - _EDGE)
    values = logit(rate) + _TILT * (knots - float(weight @ middle / weight.sum()))
    return (
        np.concatenate([[knots[0] - 1.0], knots, [knots[-1] + 1.0]]),
        np.concatenate([[values[0] - _TILT], values, [values[-1] + _TILT]]),
    )
