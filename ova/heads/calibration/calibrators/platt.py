"""MAP-Platt: the two numbers that turn a head's logit into a calibrated probability.

A head trained with `pos_weight` w has its logits shifted by log w (Elkan 2001; Menon et al. 2021), and
overconfidence multiplies them. Both are undone by `logit p = slope * s + intercept`, fitted by maximum a
posteriori around "not overconfident, shifted by log w", so that few positives are enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from ova.errors import DataError
from ova.heads.calibration.calibrators.blocks import MANY, in_blocks

# Standard deviations of the priors on slope and intercept: for cross-entropy, and for other losses.
_DEVIATIONS = np.array([0.5, 1.5])
_WIDE_DEVIATIONS = np.array([1.0, 3.0])
_MOST_STEPS = 100


@dataclass(frozen=True)
class Platt:
    """The map logit p = slope * s + intercept; slope is above 0."""

    slope: float
    intercept: float

    def log_odds(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated log odds of raw logits, same shape, float64."""
        return self.slope * np.asarray(logits, np.float64) + self.intercept

    def probability(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities of raw logits, same shape, float64."""
        return expit(self.log_odds(logits))

    def at_odds(self, odds: float) -> Platt:
        """The map where the odds of a positive are multiplied and scores of either class stay as they are."""
        return Platt(self.slope, self.intercept + math.log(odds))

    def logit_of(self, probability: float) -> float:
        """The raw logit at which the calibrated probability is `probability` (between 0 and 1)."""
        return (float(logit(probability)) - self.intercept) / self.slope


def fit_platt(logits: ArrayLike, labels: ArrayLike, *, shift: float = 0.0, proper: bool = True) -> Platt:
    """Fit slope and intercept by Newton's method.

    Minimises sum[softplus(z) - y z] + (slope - 1)^2 / (2 * 0.5^2) + (intercept + shift)^2 / (2 * 1.5^2)
    with z = slope * s + intercept. The priors make it strictly convex, hence defined when the classes are
    separable or one of them is missing. Where the loss was not proper (focal, asymmetric), the deviations are
    1 and 3: its shift has no closed form.

    Args:
        logits: (n,) finite scores.
        labels: (n,) 0 or 1.
        shift: How far training moved the logits up: log(pos_weight), plus the shift of a sampler.
        proper: Whether the loss has its minimum at the true probability.

    Raises:
        DataError: The slope is not above 0 (the head ranks backwards), or the fit does not converge.
    """
    scores, positives = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    rows, centre = np.ones(len(scores)), np.array([1.0, -shift], np.float64)
    deviations = _DEVIATIONS if proper else _WIDE_DEVIATIONS
    start = centre
    if len(scores) >= MANY:
        first = _minimise(_Objective(*in_blocks(scores, rows, positives), centre, deviations), centre)
        start = centre if first is None else first
    point = _minimise(_Objective(scores, rows, positives, centre, deviations), start)
    if point is None:
        raise DataError(
            f"calibration does not converge on logits from {scores.min():g} to {scores.max():g};"
            " look for outliers"
        )
    slope, intercept = point.tolist()
    if slope <= 0:
        raise DataError(f"the head ranks backwards (slope {slope:.3g}); check its labels or train it again")
    return Platt(slope, intercept)


def _minimise(objective: _Objective, point: NDArray[np.float64]) -> NDArray[np.float64] | None:
    for _ in range(_MOST_STEPS):
        gradient, hessian = objective.derivatives(point)
        step = -np.linalg.solve(hessian, gradient).astype(np.float64)
        decrement, loss = float(-gradient @ step), objective.loss(point)
        if decrement <= 1e-10 * (1.0 + loss):
            return point + step  # Newton is quadratic here: one more whole step reaches float64
        size = 1.0
        while objective.loss(point + size * step) > loss - 1e-4 * size * decrement:
            size /= 2.0
        point = point + size * step
    return None


@dataclass(frozen=True)
class _Objective:
    """The penalised loss of a point (slope, intercept); `centre` is the point of highest prior."""

    scores: NDArray[np.float64]
    rows: NDArray[np.float64]
    positives: NDArray[np.float64]
    centre: NDArray[np.float64]
    deviations: NDArray[np.float64]

    def loss(self, point: NDArray[np.float64]) -> float:
        z = point[0] * self.scores + point[1]
        penalty = 0.5 * np.sum(((point - self.centre) / self.deviations) ** 2)
        return float(self.rows @ np.logaddexp(0.0, z) - self.positives @ z + penalty)

    def derivatives(self, point: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        probability = expit(point[0] * self.scores + point[1])
        residual = self.rows * probability - self.positives
        curvature = self.rows * probability * (1.0 - probability)
        cross = curvature @ self.scores
        precision = self.deviations**-2
        gradient = np.array([residual @ self.scores, residual.sum()]) + (point - self.centre) * precision
        hessian = np.array([[curvature @ self.scores**2, cross], [cross, curvature.sum()]])
        return gradient, hessian + np.diag(precision)
