import numpy as np
import pytest
from scipy.special import expit

from ova.heads.calibration.calibrators.beta import LEAST, MOST, bend_knots, beta_log_odds, fit_beta
from ova.heads.calibration.calibrators.curve import curve_through


def draw(seed, point, rows=4000):
    source = np.random.default_rng(seed)
    z = np.sort(source.normal(-1.5, 2.5, rows))
    truth = source.random(rows) < expit(beta_log_odds(np.array(point), z))
    return z, np.ones(rows), truth.astype(np.float64)


def test_identity_is_the_logistic_fit_itself():
    z = np.linspace(-30, 30, 101)
    np.testing.assert_allclose(beta_log_odds(np.array([1.0, 1.0, 0.0]), z), z, atol=1e-12)


def test_the_penalised_gradient_vanishes():
    z, rows, truth = draw(1, (0.5, 1.6, 0.4))
    a, b, c = point = fit_beta(z, rows, truth)
    residual = truth - expit(beta_log_odds(point, z))
    wanted = [residual @ np.log(expit(z)), residual @ -np.log(expit(-z)), residual.sum()]
    assert wanted == pytest.approx([a - 1.0, b - 1.0, c / 1.5**2], abs=2e-3)


def test_many_rows_are_the_maximum_likelihood_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    z, rows, truth = draw(2, (0.6, 1.5, 0.3), rows=40_000)
    features = np.column_stack([np.log(expit(z)), -np.log(expit(-z))])
    likeliest = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(features, truth)
    expected = [*likeliest.coef_[0], likeliest.intercept_[0]]
    assert fit_beta(z, rows, truth) == pytest.approx(expected, abs=0.01)
    assert expected == pytest.approx([0.6, 1.5, 0.3], abs=0.2)


def test_weights_are_repetitions():
    z, rows, truth = draw(3, (0.6, 1.5, 0.3), rows=300)
    twice = fit_beta(np.repeat(z, 2), np.repeat(rows, 2), np.repeat(truth, 2))
    assert fit_beta(z, 2 * rows, 2 * truth) == pytest.approx(twice, abs=1e-4)


def test_it_rises_even_if_one_side_would_fall():
    z = np.linspace(-6.0, 6.0, 400)
    truth = (np.arange(400) % 7 == 0) & (z < 0) | (z > 3)  # among low scores the share is flat or falls
    a, b, _ = fit_beta(z, np.ones(400), truth.astype(np.float64))
    assert LEAST <= a <= MOST
    assert LEAST <= b <= MOST


@pytest.mark.parametrize("a", [LEAST, 0.5, 1.0, MOST])
@pytest.mark.parametrize("b", [LEAST, 1.0, 1.7, MOST])
def test_the_knots_describe_it_to_a_thousandth(a, b):
    point, knots = np.array([a, b, -0.7]), bend_knots()
    curve = curve_through("beta", knots, beta_log_odds(point, knots.astype(np.float32).astype(np.float64)))
    assert curve is not None
    assert len(curve.knots) == 64
    z = np.linspace(-40.0, 40.0, 80_001)
    assert np.abs(curve(z) - beta_log_odds(point, z)).max() < 1e-3
