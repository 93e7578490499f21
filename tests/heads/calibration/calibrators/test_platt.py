from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ova.errors import DataError
from ova.heads.calibration.calibrators.platt import Platt, fit_platt


def objective(point, scores, labels, shift, deviations=(0.5, 1.5)):
    """The penalised loss, written from the formula alone."""
    slope, intercept = point
    of_slope, of_intercept = deviations
    z = slope * scores + intercept
    likelihood = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - labels * z
    penalty = (slope - 1) ** 2 / (2 * of_slope**2) + (intercept + shift) ** 2 / (2 * of_intercept**2)
    return likelihood.sum() + penalty


def draw_scores(seed, positives, negatives, *, slope=1.0, shift=0.0):
    """Scores whose true calibrated logit is (s - shift) / slope, up to the prior of the sample."""
    draw = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    return slope * draw.normal(2.0 * (2 * labels - 1), 2.0) + shift, labels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0.3, 3.0), st.floats(-1.0, 4.0))
def test_fit_is_the_minimum_that_scipy_finds(seed, positives, slope, shift):
    scores, labels = draw_scores(seed, positives, 60, slope=slope, shift=shift)
    found = fit_platt(scores, labels, shift=shift)
    point = np.array([found.slope, found.intercept])
    best = minimize(objective, np.array([0.5, -0.5]), args=(scores, labels, shift), method="BFGS")
    assert objective(point, scores, labels, shift) <= best.fun + 1e-9
    assert point == pytest.approx(best.x, abs=1e-3)
    for nudge in 1e-4 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        assert objective(point + nudge, scores, labels, shift) > objective(point, scores, labels, shift)


def test_a_loss_without_a_known_shift_leaves_more_to_the_data():
    scores, labels = draw_scores(4, 6, 60, slope=0.3, shift=-2.0)
    found = fit_platt(scores, labels, shift=1.0, proper=False)
    best = minimize(objective, np.array([0.5, -0.5]), args=(scores, labels, 1.0, (1.0, 3.0)), method="BFGS")
    assert [found.slope, found.intercept] == pytest.approx(best.x, abs=1e-3)
    likeliest = LogisticRegression(C=np.inf, tol=1e-10).fit(scores[:, None], labels)
    narrow = fit_platt(scores, labels, shift=1.0)
    for name, truth in (("slope", likeliest.coef_[0, 0]), ("intercept", likeliest.intercept_[0])):
        assert abs(getattr(found, name) - truth) < abs(getattr(narrow, name) - truth)


def test_fit_tends_to_maximum_likelihood():
    distances = []
    for rows in (100, 1000, 10_000):
        scores, labels = draw_scores(1, rows, 4 * rows, slope=1.5)
        likeliest = LogisticRegression(C=np.inf, tol=1e-10).fit(scores[:, None], labels)
        expected = np.array([likeliest.coef_[0, 0], likeliest.intercept_[0]])
        found = fit_platt(scores, labels)
        distances.append(np.abs(expected - [found.slope, found.intercept]).max())
    assert distances[2] < 2e-3
    assert distances[2] < distances[1] < distances[0]


def test_likelihood_equations_hold_for_much_data():
    scores, labels = draw_scores(2, 20_000, 80_000)
    probability = fit_platt(scores, labels).probability(scores)
    assert probability.mean() == pytest.approx(0.2, abs=1e-4)
    assert probability @ scores == pytest.approx(labels @ scores, rel=1e-3)


def test_shift_of_pos_weight_is_recovered():
    # A logistic regression trained with pos_weight w on features has its logits moved up by log w.
    draw = np.random.default_rng(3)
    features = draw.normal(size=(40_000, 3))
    labels = (draw.random(40_000) < expit(features @ [1.5, -1.0, 0.5] - 3.0)).astype(int)
    weight = (labels == 0).sum() / labels.sum()
    trained = LogisticRegression(C=np.inf, class_weight={0: 1.0, 1: weight}).fit(
        features[:20_000], labels[:20_000]
    )
    scores = trained.decision_function(features[20_000:])
    found = fit_platt(scores, labels[20_000:], shift=np.log(weight))
    probability = found.probability(scores)
    curvature = probability * (1 - probability)
    information = np.array(
        [[curvature @ scores**2, curvature @ scores], [curvature @ scores, curvature.sum()]]
    )
    deviations = np.sqrt(np.diag(np.linalg.inv(information)))
    assert abs(found.intercept + np.log(weight)) < 3 * deviations[1] * np.sqrt(2)
    assert abs(found.slope - 1) < 3 * deviations[0] * np.sqrt(2)


@pytest.mark.parametrize("distance", [0.1, 3.0, 1000.0])
def test_separable_data_gives_a_finite_map(distance):
    scores = np.concatenate([np.full(40, -distance), np.full(6, distance)])
    labels = np.repeat([0, 1], [40, 6])
    found = fit_platt(scores, labels)
    assert 0 < found.slope < 5
    assert np.isfinite(found.intercept)
    assert found.probability(distance) > found.probability(-distance)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_defined(label):
    found = fit_platt(np.linspace(-3, 3, 20), np.full(20, label), shift=1.0)
    assert np.isfinite([found.slope, found.intercept]).all()
    assert found.slope > 0


def test_extreme_scales_converge():
    scores, labels = draw_scores(4, 24, 376)
    for factor in (1e-6, 1e4):
        found = fit_platt(scores * factor, labels)
        point = np.array([found.slope, found.intercept])
        for nudge in (1e-3, -1e-3):
            assert objective(point * (1 + nudge), scores * factor, labels, 0.0) > objective(
                point, scores * factor, labels, 0.0
            )


def test_a_head_that_ranks_backwards_is_refused():
    scores, labels = draw_scores(5, 100, 100)
    with pytest.raises(DataError, match="ranks backwards"):
        fit_platt(-scores, labels)


def test_probability_is_stable_monotone_and_inverted_by_logit_of():
    platt = Platt(1.3, -2.0)
    probability = platt.probability(np.array([-1e6, -700.0, 0.0, 5.0, 1e6]))
    assert probability.dtype == np.float64
    assert probability[[0, 2, 4]].tolist() == [0.0, expit(-2.0), 1.0]
    assert (np.diff(platt.probability(np.linspace(-20, 20, 400))) > 0).all()
    for share in (1e-9, 0.2, 0.5, 0.999):
        assert platt.probability(platt.logit_of(share)) == pytest.approx(share, rel=1e-9)
