from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ova.heads.calibration.calibrators.firth import fit_firth


def table(seed, positives=12, negatives=60):
    draw = np.random.default_rng(seed)
    labels = np.repeat([1.0, 0.0], [positives, negatives])
    return draw.normal(2.0 * labels - 1.0, 1.3), labels


def fit(scores, labels):
    return fit_firth(scores, np.ones(len(scores)), labels)


def penalised(scores, labels):
    """The maximum of log-likelihood + log det(I) / 2, found by a general optimiser."""
    design = np.stack([scores, np.ones(len(scores))], axis=1)

    def loss(point):
        z = design @ point
        p = expit(z)
        information = design.T @ (design * (p * (1 - p))[:, None])
        return np.sum(np.logaddexp(0, z) - labels * z) - 0.5 * np.linalg.slogdet(information)[1]

    return minimize(
        loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    ).x


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_maximum_of_the_penalised_likelihood(seed):
    scores, labels = table(seed)
    found = fit(scores, labels)
    assert (found.slope, found.intercept) == pytest.approx(tuple(penalised(scores, labels)), abs=1e-5)


def test_separable_classes_and_a_single_positive_stay_finite():
    found = fit(np.array([3.0, 2.0, -1.0, -2.0, -3.0]), np.array([1.0, 1, 0, 0, 0]))
    assert 0 < found.slope < 20
    assert fit(np.array([3.0, 2.0, -1.0]), np.array([1.0, 0, 0])) is not None


@pytest.mark.parametrize(("scale", "move"), [(0.01, -3.0), (50.0, 400.0), (1e-4, 0.0)])
def test_scale_and_place_of_the_scores_do_not_matter(scale, move):
    scores, labels = table(7)
    found, moved = fit(scores, labels), fit(scores * scale + move, labels)
    assert moved.probability(scores * scale + move) == pytest.approx(found.probability(scores), rel=1e-6)


def test_repeated_rows_are_rows_with_a_count():
    scores, labels = table(8)
    scores = np.round(scores)
    distinct = np.unique(scores)
    rows = np.array([(scores == each).sum() for each in distinct], float)
    positives = np.array([labels[scores == each].sum() for each in distinct])
    one, other = fit(scores, labels), fit_firth(distinct, rows, positives)
    assert (one.slope, one.intercept) == pytest.approx((other.slope, other.intercept), rel=1e-9)


def test_with_many_rows_it_is_maximum_likelihood():
    scores, labels = table(9, 4000, 9000)
    plain = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(scores[:, None], labels)
    found = fit(scores, labels)
    assert found.slope == pytest.approx(plain.coef_[0, 0], rel=2e-3)
    assert found.intercept == pytest.approx(plain.intercept_[0], abs=5e-3)


def test_no_slope_no_map():
    scores, labels = table(10)
    assert fit(-scores, labels) is None
    assert fit(np.ones(4), np.array([1.0, 0, 0, 1])) is None
