"""Cox's recalibration (1958): the slope and the intercept that true log odds have over the stated ones.

Slope: logit P(y = 1) = a + b z, fitted by maximum likelihood; b is 1 where the head is as sure as it may be.
Intercept: logit P(y = 1) = a + z, with the slope held at 1; a is 0 where probabilities are right on average.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, root_scalar
from scipy.special import expit

from ova.analysis.measures.values import Measured

FloatArray = NDArray[np.float64]
_Z = 1.959963984540054


def cox_slope(truth: FloatArray, log_odds: FloatArray) -> Measured:
    """Slope with its Wald interval.

    Args:
        truth: (n,) 0 or 1.
        log_odds: (n,) stated log odds.

    Returns:
        Undefined where positives and negatives do not overlap: any steeper slope would fit better still.
    """
    if reason := _one_sided(truth):
        return Measured(None, reason=reason)
    positive, negative = log_odds[truth == 1], log_odds[truth == 0]
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return Measured(None, reason="positives and negatives do not overlap, so that no slope is too steep")
    mean, spread = float(log_odds.mean()), float(log_odds.std())
    design = np.column_stack([np.ones(truth.size), (log_odds - mean) / spread])
    start = np.array([np.log(truth.mean() / (1.0 - truth.mean())), 0.0])
    found = minimize(
        _loss, start, (design, truth), method="trust-exact", jac=_gradient, hess=_hessian,
        options={"gtol": 1e-8 * truth.size},
    )  # fmt: skip
    covariance = np.linalg.inv(_hessian(found.x, design, truth))
    slope, half = float(found.x[1]) / spread, _Z * float(np.sqrt(covariance[1, 1])) / spread
    return Measured(slope, slope - half, slope + half)


def cox_intercept(truth: FloatArray, log_odds: FloatArray) -> Measured:
    """Intercept at slope 1, with its Wald interval; arguments as `cox_slope`."""
    if reason := _one_sided(truth):
        return Measured(None, reason=reason)

    def excess(shift: float) -> float:
        return float(expit(log_odds + shift).sum() - truth.sum())

    odds = float(np.log(truth.mean() / (1.0 - truth.mean())))
    between = (odds - float(log_odds.max()) - 1.0, odds - float(log_odds.min()) + 1.0)
    shift = float(root_scalar(excess, bracket=between, xtol=1e-12).root)
    p = expit(log_odds + shift)
    half = _Z / float(np.sqrt((p * (1.0 - p)).sum()))
    return Measured(shift, shift - half, shift + half)


def _one_sided(truth: FloatArray) -> str | None:
    if not truth.any():
        return "no positive"
    return "no negative" if truth.all() else None


def _loss(point: FloatArray, design: FloatArray, truth: FloatArray) -> float:
    z = design @ point
    return float(np.sum(np.logaddexp(0.0, z) - truth * z))


def _gradient(point: FloatArray, design: FloatArray, truth: FloatArray) -> FloatArray:
    return design.T @ (expit(design @ point) - truth)


def _hessian(point: FloatArray, design: FloatArray, truth: FloatArray) -> FloatArray:
    del truth
    p = expit(design @ point)
    return (design * (p * (1.0 - p))[:, None]).T @ design
