"""Beta calibration: log odds that bend differently on their two sides.

    log odds = a ln p - b ln(1 - p) + c,  p the probability that a logistic fit gives

With a = b = 1 and c = 0 it is the logistic fit itself. It is right where the probabilities of either class
follow beta distributions, and keeps its two straight ends where they do not.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ova.arrays import FloatArray

# The fit is drawn to the logistic one by normal priors with these standard deviations of a, b and c.
_DEVIATIONS = np.array([1.0, 1.0, 1.5])
_CENTRE = np.array([1.0, 1.0, 0.0])
LEAST, MOST = 0.05, 2.5
"""Limits of a and b: above 0 the curve rises; up to 2.5 the knots of `bend_knots` describe it to 0.001."""
_KNOTS, _BEND, _FARTHEST = 64, 10.0, 20.0


def fit_beta(log_odds: FloatArray, rows: FloatArray, positives: FloatArray) -> FloatArray:
    """Fit (a, b, c) by maximum a posteriori.

    Args:
        log_odds: (g,) log odds of a logistic fit.
        rows: (g,) rows at each.
        positives: (g,) positive rows at each.
    """
    features = _features(log_odds)

    def penalised(point: FloatArray) -> tuple[float, FloatArray]:
        z, away = features @ point, (point - _CENTRE) / _DEVIATIONS
        loss = rows @ np.logaddexp(0.0, z) - positives @ z + 0.5 * away @ away
        return float(loss), features.T @ (rows * expit(z) - positives) + away / _DEVIATIONS

    bounds = [(LEAST, MOST), (LEAST, MOST), (None, None)]
    options = {"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300}
    found = minimize(penalised, _CENTRE, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x, np.float64)


def beta_log_odds(point: FloatArray, log_odds: FloatArray) -> FloatArray:
    """Apply a fit (a, b, c) to log odds (g,) of the logistic fit."""
    return _features(log_odds) @ point


def bend_knots() -> FloatArray:
    """Return log odds (64,) between which every beta map is straight to 0.001.

    They lie as dense as the root of its second derivative, (b - a) p (1 - p), asks: at equal steps of
    2 arctan(exp(z / 2)), from z = -10 to 10, and at -20 and 20, beyond which the map is straight.
    """
    first, last = (2.0 * np.arctan(np.exp(end / 2.0)) for end in (-_BEND, _BEND))
    inner = 2.0 * np.log(np.tan(np.linspace(first, last, _KNOTS - 2) / 2.0))
    return np.concatenate([[-_FARTHEST], inner, [_FARTHEST]])


def _features(log_odds: FloatArray) -> FloatArray:
    """Return ln p, -ln(1 - p) and 1: (g, 3)."""
    return np.column_stack(
        [-np.logaddexp(0.0, -log_odds), np.logaddexp(0.0, log_odds), np.ones_like(log_odds)]
    )
