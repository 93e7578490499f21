"""Whether calibrated probabilities hold: scores, slope and intercept (Cox), the curve, and the ECE.

Slope: logit P(y = 1) = a + b z, fitted by maximum likelihood; b is 1 where the head is as sure as it may be.
Intercept: logit P(y = 1) = a + z, with the slope held at 1; a is 0 where probabilities are right on average.

Shape letters: n rows, c cells (rows of equal or nearly equal probability, at most 1,000), d draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, root_scalar
from scipy.special import expit

from ova.analysis.measures.values import CalibrationError, MeasuredValue, Reliability, ReliabilityCurve
from ova.arrays import FloatArray

_NORMAL_95 = 1.959963984540054
_MOST_CELLS = 1_000
_MOST_POINTS = 500
_BAND_DRAWS = 200
_NULL_DRAWS = 1_000
_MOST_BINS = 15
_FEWEST_EXPECTED = 5.0
_SEED = 20_261_121


def reliability(labels: ArrayLike, log_odds: ArrayLike) -> Reliability:
    """Judge probabilities by rows that they were not fitted on.

    Args:
        labels: (n,) 0 or 1.
        log_odds: (n,) calibrated log odds: log odds, so that a probability of nearly 1 loses no digit.
    """
    truth, z = np.asarray(labels, np.float64), np.asarray(log_odds, np.float64)
    if not truth.size:
        missing = MeasuredValue(None, reason="no labelled rows")
        return Reliability(missing, missing, missing, missing, missing, None, None)
    losses = np.logaddexp(0.0, z) - truth * z
    errors = (expit(z) - truth) ** 2
    cells = _Cells.of(truth, expit(z))
    return Reliability(
        log_loss=_mean(losses),
        brier=_mean(errors),
        brier_skill=_skill(errors, truth),
        slope=cox_slope(truth, z),
        intercept=cox_intercept(truth, z),
        curve=_curve(cells),
        calibration_error=_calibration_error(cells),
    )


def _mean(values: FloatArray) -> MeasuredValue:
    """Mean with its normal interval, which stays at or above 0."""
    mean = float(values.mean())
    half = _NORMAL_95 * float(values.std()) / float(np.sqrt(values.size))
    return MeasuredValue(mean, max(mean - half, 0.0), mean + half)


def _skill(errors: FloatArray, truth: FloatArray) -> MeasuredValue:
    """1 - Brier / (share (1 - share)), with the interval of the delta method."""
    share = float(truth.mean())
    spread = share * (1.0 - share)
    if spread == 0.0:
        return MeasuredValue(None, reason="no positive" if share == 0.0 else "no negative")
    ratio = float(errors.mean()) / spread
    moved = (ratio * ((1.0 - 2.0 * share) * (truth - share)) - (errors - errors.mean())) / spread
    half = _NORMAL_95 * float(moved.std()) / float(np.sqrt(errors.size))
    return MeasuredValue(1.0 - ratio, 1.0 - ratio - half, min(1.0 - ratio + half, 1.0))


@dataclass(frozen=True)
class _Cells:
    """Rows by ascending probability (c,): how many, their mean probability, their positives."""

    rows: FloatArray
    probability: FloatArray
    positives: FloatArray

    @classmethod
    def of(cls, truth: FloatArray, probability: FloatArray) -> _Cells:
        """Gather equal probabilities; of more than 1,000 different ones, those that are neighbours."""
        distinct, of_row = np.unique(probability, return_inverse=True)
        if distinct.size > _MOST_CELLS:
            # Cells of equal size; rows of equal probability stay together.
            before = np.cumsum(np.bincount(of_row)) - 1
            of_row = (before * _MOST_CELLS // truth.size)[of_row]
            of_row = np.unique(of_row, return_inverse=True)[1]
        rows = np.bincount(of_row).astype(np.float64)
        return cls(
            rows, np.bincount(of_row, probability) / rows, np.bincount(of_row, truth).astype(np.float64)
        )

    def draw(self, draws: int) -> FloatArray:
        """Positives per cell if the probabilities were right, (d, c)."""
        generator = np.random.default_rng(_SEED)
        chances = np.clip(self.probability, 0.0, 1.0)
        return generator.binomial(self.rows.astype(np.int64), chances, (draws, self.rows.size)).astype(
            np.float64
        )


def _curve(cells: _Cells) -> ReliabilityCurve:
    """CORP curve with its consistency band (Dimitriadis, Gneiting and Jordan 2021)."""
    from sklearn.isotonic import isotonic_regression

    observed = isotonic_regression(cells.positives / cells.rows, sample_weight=cells.rows)
    drawn = [
        isotonic_regression(row, sample_weight=cells.rows) for row in cells.draw(_BAND_DRAWS) / cells.rows
    ]
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    kept = np.unique(np.linspace(0, cells.rows.size - 1, _MOST_POINTS).round().astype(np.intp))
    columns = (cells.probability, observed, low, high)
    return ReliabilityCurve(*(tuple(column[kept].tolist()) for column in columns))


def _calibration_error(cells: _Cells) -> CalibrationError:
    """ECE in bins of equal size, beside what right probabilities would show (Broecker and Smith 2007)."""
    expected = float(cells.rows @ cells.probability)
    bins = int(np.clip(expected // _FEWEST_EXPECTED, 1, _MOST_BINS))
    middle = (np.cumsum(cells.rows) - cells.rows / 2.0) / cells.rows.sum()
    edges = np.flatnonzero(np.diff(np.minimum((middle * bins).astype(np.intp), bins - 1), prepend=-1))
    value = float(_ece(cells, cells.positives[None, :], edges)[0])
    null = _ece(cells, cells.draw(_NULL_DRAWS), edges)
    return CalibrationError(
        value=value,
        null_mean=float(null.mean()),
        null_high=float(np.percentile(null, 95.0)),
        p_value=(1.0 + float((null >= value).sum())) / (1.0 + null.size),
        bins=int(edges.size),
    )


def _ece(cells: _Cells, positives: FloatArray, edges: NDArray[np.intp]) -> FloatArray:
    gaps = np.add.reduceat(positives - cells.rows * cells.probability, edges, axis=1)
    return np.abs(gaps).sum(axis=1) / cells.rows.sum()


def cox_slope(truth: FloatArray, log_odds: FloatArray) -> MeasuredValue:
    """Slope with its Wald interval.

    Args:
        truth: (n,) 0 or 1.
        log_odds: (n,) stated log odds.

    Returns:
        Undefined where positives and negatives do not overlap: any steeper slope would fit better still.
    """
    if reason := _one_sided(truth):
        return MeasuredValue(None, reason=reason)
    positive, negative = log_odds[truth == 1], log_odds[truth == 0]
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return MeasuredValue(
            None, reason="positives and negatives do not overlap, so that no slope is too steep"
        )
    mean, spread = float(log_odds.mean()), float(log_odds.std())
    design = np.column_stack([np.ones(truth.size), (log_odds - mean) / spread])
    start = np.array([np.log(truth.mean() / (1.0 - truth.mean())), 0.0])
    found = minimize(
        _cox_loss, start, (design, truth), method="trust-exact", jac=_cox_gradient, hess=_cox_hessian,
        options={"gtol": 1e-8 * truth.size},
    )  # fmt: skip
    covariance = np.linalg.inv(_cox_hessian(found.x, design, truth))
    slope, half = float(found.x[1]) / spread, _NORMAL_95 * float(np.sqrt(covariance[1, 1])) / spread
    return MeasuredValue(slope, slope - half, slope + half)


def _one_sided(truth: FloatArray) -> str | None:
    if not truth.any():
        return "no positive"
    return "no negative" if truth.all() else None


def _cox_loss(point: FloatArray, design: FloatArray, truth: FloatArray) -> float:
    z = design @ point
    return float(np.sum(np.logaddexp(0.0, z) - truth * z))


def _cox_gradient(point: FloatArray, design: FloatArray, truth: FloatArray) -> FloatArray:
    return design.T @ (expit(design @ point) - truth)


def _cox_hessian(point: FloatArray, design: FloatArray, truth: FloatArray) -> FloatArray:
    del truth
    p = expit(design @ point)
    return (design * (p * (1.0 - p))[:, None]).T @ design


def cox_intercept(truth: FloatArray, log_odds: FloatArray) -> MeasuredValue:
    """Intercept at slope 1, with its Wald interval; arguments as `cox_slope`."""
    if reason := _one_sided(truth):
        return MeasuredValue(None, reason=reason)

    def excess(shift: float) -> float:
        return float(expit(log_odds + shift).sum() - truth.sum())

    odds = float(np.log(truth.mean() / (1.0 - truth.mean())))
    between = (odds - float(log_odds.max()) - 1.0, odds - float(log_odds.min()) + 1.0)
    shift = float(root_scalar(excess, bracket=between, xtol=1e-12).root)
    p = expit(log_odds + shift)
    half = _NORMAL_95 / float(np.sqrt((p * (1.0 - p)).sum()))
    return MeasuredValue(shift, shift - half, shift + half)
