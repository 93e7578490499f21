"""A learnt matrix in place of odds coupling: where heads are confused with each other, and not else."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from ova.ensembles.rule.matrix_scaling import _fit, _losses, _start, fit_matrix

PRIORS = np.array([0.2, 0.1, 0.08, 0.62])
OFFSETS = np.append(np.log1p(-PRIORS[:3]), np.log(PRIORS[3]))


def draw_rows(seed, rows, confused):
    """Log odds of three heads; where confused, the first answers for half of the second's class, too."""
    draw = np.random.default_rng(seed)
    classes = draw.choice(4, rows, p=PRIORS)
    signal = np.eye(4)[classes][:, :3]
    if confused:
        signal[:, 0] += 0.8 * signal[:, 1]
    odds = draw.normal(4.0 * signal - 2.0, 1.4) + np.log(PRIORS[:3] / (1 - PRIORS[:3]))
    return odds, classes.astype(np.int64)


def accuracy(odds, classes, weights):
    return float((np.argmax(odds @ weights[:, :-1].T + weights[:, -1], axis=1) == classes).mean())


@pytest.mark.slow
def test_confused_heads_get_a_matrix_that_is_better_on_new_rows():
    found = fit_matrix(*draw_rows(0, 800, confused=True), OFFSETS)
    assert found.matrix is not None
    assert "matrix coupling" in found.note
    weights = np.column_stack([found.matrix.weights, found.matrix.biases])
    odds, classes = draw_rows(1, 20_000, confused=True)
    assert accuracy(odds, classes, weights) > accuracy(odds, classes, _start(3, OFFSETS)) + 0.02


@pytest.mark.slow
def test_few_rows_of_a_class_leave_odds_coupling():
    odds, classes = draw_rows(2, 60, confused=True)
    assert np.bincount(classes).min() < 10
    found = fit_matrix(odds, classes, OFFSETS)
    assert found.matrix is None
    assert "a matrix needs 10" in found.note
    assert fit_matrix(odds, classes, OFFSETS, forced=True).matrix is not None


def test_a_strong_ridge_is_odds_coupling():
    odds, classes = draw_rows(3, 400, confused=True)
    start = _start(3, OFFSETS)
    fitted = _fit(odds, classes, start, 1e9)
    np.testing.assert_allclose(fitted[:, :-1], np.eye(4)[:, :3], atol=1e-4)


def test_the_fit_has_no_gradient_left():
    odds, classes = draw_rows(4, 300, confused=True)
    start = _start(3, OFFSETS)
    fitted = _fit(odds, classes, start, 1.0)
    design = np.column_stack([odds, np.ones(len(odds))])
    penalty = np.full((4, 4), 1.0)
    penalty[:, -1] = 0.1
    gradient = (softmax(design @ fitted.T, axis=1) - np.eye(4)[classes]).T @ design + penalty * (
        fitted - start
    )
    assert np.abs(gradient).max() < 0.05
    assert _losses(odds, classes, fitted).mean() < _losses(odds, classes, start).mean()
