"""One class per image by a learnt matrix: softmax(W log odds + c), drawn towards odds coupling.

With few rows the ridge keeps W at the identity and c at the offsets of odds coupling, which are what follows
if the heads' scores are independent given the class; where heads are confused with each other, W learns it
(Duan, Keerthi et al. 2003; Berta et al. 2025 on structured matrix scaling). It is taken only if every class,
none included, has ten calibration rows, and the log-loss on rows that the fit has not seen is lower by more
than one standard error.

Shape letters: n rows, K heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from ova.arrays import FloatArray
from ova.ensembles.rule.rows import FOLDS, beyond_error, deal_folds
from ova.ensembles.rule.rule import Affine

_FEWEST_PER_CLASS = 10
_RIDGES = (10.0, 3.0, 1.0, 0.3)
_BIAS_RIDGE = 0.1
_MOST_ROWS = 20_000
_SEED = 20_261_124


@dataclass(frozen=True)
class Scaled:
    """A matrix if one is worth it, and why or why not."""

    matrix: Affine | None
    note: str


def fit_matrix(
    odds: FloatArray, classes: NDArray[np.int64], offsets: FloatArray, *, forced: bool = False
) -> Scaled:
    """Fit, or say that odds coupling is as good.

    Args:
        odds: (n, K) log odds of rows of one class or none, in the order of their names.
        classes: (n,) 0..K; K is none.
        offsets: (K + 1,) of odds coupling, none last.
        forced: Take the best matrix even if odds coupling is as good.
    """
    counts = np.bincount(classes, minlength=len(offsets))
    if counts.min() < _FEWEST_PER_CLASS and not forced:
        return Scaled(
            None,
            f"odds coupling: a class has {counts.min()} calibration rows, a matrix needs {_FEWEST_PER_CLASS}",
        )
    if len(odds) > _MOST_ROWS:
        chosen = np.sort(np.random.default_rng(_SEED).choice(len(odds), _MOST_ROWS, replace=False))
        odds, classes = odds[chosen], classes[chosen]
    start = _start(odds.shape[1], offsets)
    coupled = _losses(odds, classes, start)
    held_out = {ridge: _held_out(odds, classes, start, ridge) for ridge in _RIDGES}
    ridge = _simplest(held_out)
    better, gain, error = beyond_error(coupled - held_out[ridge])
    figures = (
        f"log-loss {coupled.mean():.4f} -> {held_out[ridge].mean():.4f} nats (standard error {error:.4f})"
    )
    if not (better or forced):
        return Scaled(None, f"odds coupling: a matrix does not gain more than one standard error; {figures}")
    found = _fit(odds, classes, start, ridge)
    matrix = Affine(tuple(map(tuple, found[:, :-1].tolist())), tuple(found[:, -1].tolist()))
    return Scaled(matrix, f"matrix coupling with ridge {ridge:g}, gain {gain:.4f}: {figures}")


def _simplest(losses: dict[float, FloatArray]) -> float:
    """Return the strongest ridge that is within one standard error of the best."""
    best = min(losses.values(), key=lambda values: float(values.mean()))
    for ridge, values in losses.items():
        if not beyond_error(values - best)[0]:
            return ridge
    raise AssertionError("the best is within its own error")


def _start(heads: int, offsets: FloatArray) -> FloatArray:
    """(K + 1, K + 1): identity over a line of zeros, and the offsets as last column."""
    return np.column_stack([np.eye(heads + 1)[:, :heads], offsets])


def _held_out(odds: FloatArray, classes: NDArray[np.int64], start: FloatArray, ridge: float) -> FloatArray:
    losses, folds = np.empty(len(odds)), deal_folds(classes)
    for fold in range(FOLDS):
        inside = folds == fold
        losses[inside] = _losses(
            odds[inside], classes[inside], _fit(odds[~inside], classes[~inside], start, ridge)
        )
    return losses


def _losses(odds: FloatArray, classes: NDArray[np.int64], weights: FloatArray) -> FloatArray:
    scores = odds @ weights[:, :-1].T + weights[:, -1]
    return -log_softmax(scores, axis=1)[np.arange(len(odds)), classes]


def _fit(odds: FloatArray, classes: NDArray[np.int64], start: FloatArray, ridge: float) -> FloatArray:
    design = np.column_stack([odds, np.ones(len(odds))])
    truth = np.eye(len(start))[classes]
    penalty = np.full(start.shape, ridge)
    penalty[:, -1] = _BIAS_RIDGE

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat.reshape(start.shape)
        scores = design @ weights.T
        away = weights - start
        loss = -float((log_softmax(scores, axis=1) * truth).sum()) + 0.5 * float((penalty * away**2).sum())
        gradient = (softmax(scores, axis=1) - truth).T @ design + penalty * away
        return loss, gradient.ravel()

    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500})
    return found.x.reshape(start.shape)
