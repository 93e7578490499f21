"""L2-regularised logistic regression on many features and few rows, for a whole path of strengths.

Features are standardised on the rows of the fit, and the result is given back in their own units. A ridge
never leaves the space that the rows span, so with few rows the fit is made in it: Newton's method on the
rows' inner products (kernel logistic regression with a linear kernel; Hastie, Tibshirani and Friedman, "The
Elements of Statistical Learning", 12.3.3), one Cholesky factor a step, three to five steps from one strength
to the next. With many rows it is scikit-learn's L-BFGS. All of it runs on one thread, so that the result has
the same bits whatever the number of cores.

Shape letters: n rows, D features, s strengths.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit
from threadpoolctl import threadpool_limits

from ova.arrays import FloatArray
from ova.metrics import average_precision

# From strong to weak: the inverse of the penalty on half the squared weights, over the mean weighted loss.
STRENGTHS: tuple[float, ...] = (0.1, 0.316, 1.0, 3.16, 10.0, 31.6, 100.0, 316.0, 1000.0)
# Average precision that a stronger penalty may cost: what is smaller is luck of the folds.
_NEGLIGIBLE = 1e-3
_MOST_ROWS_BY_NEWTON = 2500
_MOST_STEPS, _MOST_ITERATIONS = 50, 1000
_TOLERANCE = 1e-8
_ROUNDING = 1e-6  # of float32 features, as a share of their size
_LEAST_VARIANCE = 1e-8  # of a row whose probability is 0 or 1


@dataclass(frozen=True, eq=False)
class Linear:
    """logit = features @ weights + bias."""

    weights: FloatArray
    """(D,)"""
    bias: float

    def __call__(self, features: NDArray[np.float32]) -> FloatArray:
        """Score (n, D) features: (n,) logits, float32 values as float64."""
        logits = features.astype(np.float64) @ self.weights + self.bias
        return logits.astype(np.float32).astype(np.float64)


@dataclass(frozen=True, eq=False)
class LogisticFit:
    """The chosen regression, and how each strength did on folds of the same rows."""

    linear: Linear
    strength: float
    average_precision: tuple[float, ...]
    """(s,) of held-out rows pooled, in the order of `STRENGTHS` as far as they were tried; empty if the rows
    did not suffice to choose by."""


def fit_logistic(
    features: NDArray[np.float32],
    labels: NDArray[np.int8],
    weights: FloatArray,
    folds: NDArray[np.intp] | None,
) -> LogisticFit:
    """Fit the strength that ranks best on rows that its fit has not seen, then all rows with it.

    Strengths are compared by average precision, because the threshold and the probabilities are calibrated
    afterwards: what the classifier must get right is the order, and of a rare label the top of it. Of
    strengths that are equal to a thousandth the strongest is taken.

    Args:
        features: (n, D), of rows with both labels.
        labels: (n,) 0 or 1.
        weights: (n,) what each row counts.
        folds: (n,) fold of each row; rows that belong together are in one. None keeps the middle strength.
    """
    with threadpool_limits(1):
        return _fit(features, labels, weights, folds)


def _fit(
    features: NDArray[np.float32],
    labels: NDArray[np.int8],
    weights: FloatArray,
    folds: NDArray[np.intp] | None,
) -> LogisticFit:
    scale = _Scale.of(features)
    rows = scale.apply(features)
    fit = _by_newton if len(rows) <= _MOST_ROWS_BY_NEWTON else _by_lbfgs
    if folds is None:
        chosen, precision = len(STRENGTHS) // 2, ()
    else:
        precision = _compare(fit, rows, labels, weights, folds)
        best = max(precision)
        chosen = next(place for place, found in enumerate(precision) if found >= best - _NEGLIGIBLE)
    *_, fitted = fit(rows, labels, weights, STRENGTHS[: chosen + 1])
    return LogisticFit(scale.undo(fitted), STRENGTHS[chosen], precision)


_Path = Callable[[FloatArray, NDArray[np.int8], FloatArray, Sequence[float]], Iterator[Linear]]


def _compare(
    fit: _Path, rows: FloatArray, labels: NDArray[np.int8], weights: FloatArray, folds: NDArray[np.intp]
) -> tuple[float, ...]:
    """Return the average precision (s,) of all held-out rows pooled, up to where it has fallen twice."""
    paths = [
        (folds == fold, fit(rows[folds != fold], labels[folds != fold], weights[folds != fold], STRENGTHS))
        for fold in np.unique(folds)
    ]
    found: list[float] = []
    for _ in STRENGTHS:
        scores = np.empty(len(labels))
        for held_out, path in paths:
            fitted = next(path)
            scores[held_out] = rows[held_out] @ fitted.weights + fitted.bias
        found.append(average_precision(labels, scores) or 0.0)
        if len(found) > 2 and max(found[-2:]) < max(found[:-2]) - _NEGLIGIBLE:
            break
    return tuple(found)


def _by_newton(
    rows: FloatArray, labels: NDArray[np.int8], weights: FloatArray, strengths: Sequence[float]
) -> Iterator[Linear]:
    """Fit one strength after the other, each from where the last one ended.

    With weights @ row = kernel @ dual, a Newton step is a weighted ridge regression of the working response:
    (kernel + penalty / curvature) dual + bias = response, and the duals add up to 0 as the bias is free.
    """
    kernel, truth = rows @ rows.T, labels.astype(np.float64)
    dual, bias, total = np.zeros(len(rows)), 0.0, float(weights.sum())
    for strength in strengths:
        penalty = total / strength
        before = np.inf
        for _ in range(_MOST_STEPS):
            margin = kernel @ dual + bias
            loss = float(weights @ (np.logaddexp(0.0, margin) - truth * margin))
            value = loss + penalty / 2 * float(dual @ (margin - bias))
            if before - value <= _TOLERANCE * value:
                break
            before = value
            step, move = _newton_step(kernel, truth, weights, margin, penalty)
            dual, bias = _damped(kernel, truth, weights, penalty, value, (dual, bias), (step, move))
        yield Linear(rows.T @ dual, bias)


def _newton_step(
    kernel: FloatArray, truth: FloatArray, weights: FloatArray, margin: FloatArray, penalty: float
) -> tuple[FloatArray, float]:
    """Return where a full step leads: duals (n,) and bias."""
    chance = expit(margin)
    variance = np.maximum(chance * (1 - chance), _LEAST_VARIANCE)
    response = margin + (truth - chance) / variance
    system = kernel + np.diag(penalty / (weights * variance))
    solved = cho_solve(
        cho_factor(system, lower=True, overwrite_a=True), np.column_stack([response, np.ones_like(margin)])
    )
    bias = float(solved[:, 0].sum() / solved[:, 1].sum())
    return solved[:, 0] - bias * solved[:, 1], bias


def _damped(
    kernel: FloatArray,
    truth: FloatArray,
    weights: FloatArray,
    penalty: float,
    value: float,
    start: tuple[FloatArray, float],
    end: tuple[FloatArray, float],
) -> tuple[FloatArray, float]:
    """Go from start towards end as far as the loss falls, halving the way until it does."""
    (dual, bias), (full, moved) = start, end
    way = 1.0
    while way > _TOLERANCE:
        new, shift = dual + way * (full - dual), bias + way * (moved - bias)
        inner = kernel @ new
        margin = inner + shift
        loss = float(weights @ (np.logaddexp(0.0, margin) - truth * margin)) + penalty / 2 * float(
            new @ inner
        )
        if loss <= value:
            return new, shift
        way /= 2
    return dual, bias


def _by_lbfgs(
    rows: FloatArray, labels: NDArray[np.int8], weights: FloatArray, strengths: Sequence[float]
) -> Iterator[Linear]:
    """Fit one strength after the other, each from where the last one ended."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="lbfgs", warm_start=True, max_iter=_MOST_ITERATIONS)
    for strength in strengths:
        model.set_params(C=strength / float(weights.sum()))
        with warnings.catch_warnings():  # a weak penalty on parted classes has its end far out: near will do
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(rows, labels, sample_weight=weights)
        yield Linear(np.asarray(model.coef_[0], np.float64).copy(), float(np.asarray(model.intercept_)[0]))


@dataclass(frozen=True, eq=False)
class _Scale:
    mean: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> _Scale:
        mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        varies = deviation > _ROUNDING * np.abs(mean)  # what is left of a constant is no signal
        return cls(mean, np.where(varies, deviation, 1.0))

    def apply(self, features: NDArray[np.float32]) -> FloatArray:
        return (features - self.mean) / self.deviation

    def undo(self, fitted: Linear) -> Linear:
        weights = fitted.weights / self.deviation
        return Linear(weights, fitted.bias - float(weights @ self.mean))
