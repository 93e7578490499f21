from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from ova.analysis.measures.reliability import (
    _calibration_error,
    _Cells,
    cox_intercept,
    cox_slope,
    reliability,
)


def sample(seed, rows=400, slope=1.0, shift=0.0):
    """Labels, and stated log odds of which the true ones are `slope * z + shift`."""
    generator = np.random.default_rng(seed)
    z = generator.normal(-2.5, 2.0, rows)
    return (generator.random(rows) < expit(slope * z + shift)).astype(np.int8), z


def test_scores_are_those_of_scikit_learn():
    labels, z = sample(0)
    found = reliability(labels, z)
    assert found.log_loss.value == pytest.approx(log_loss(labels, expit(z)))
    assert found.brier.value == pytest.approx(brier_score_loss(labels, expit(z)))
    baseline = brier_score_loss(labels, np.full(400, labels.mean()))
    assert found.brier_skill.value == pytest.approx(1 - found.brier.value / baseline)
    for each in (found.log_loss, found.brier, found.brier_skill):
        assert each.low < each.value < each.high


def test_interval_of_the_skill_is_that_of_a_bootstrap():
    labels, z = sample(1, rows=2000)
    generator = np.random.default_rng(0)
    skills = []
    for _ in range(600):
        rows = generator.integers(0, 2000, 2000)
        share = labels[rows].mean()
        skills.append(1 - ((expit(z[rows]) - labels[rows]) ** 2).mean() / (share * (1 - share)))
    found = reliability(labels, z).brier_skill
    assert (found.low, found.high) == pytest.approx(np.percentile(skills, [2.5, 97.5]), abs=0.015)


@pytest.mark.parametrize("seed", range(5))
def test_slope_is_that_of_an_unpenalised_regression(seed):
    labels, z = sample(seed, rows=300, slope=0.6)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(z[:, None], labels)
    found = cox_slope(labels.astype(float), z)
    assert found.value == pytest.approx(model.coef_[0, 0], rel=1e-4)
    assert found.low < found.value < found.high


def test_intervals_of_slope_and_intercept_cover_the_truth():
    covered = []
    for seed in range(200):
        labels, z = sample([seed, 1], slope=0.7, shift=0.0)
        slope = cox_slope(labels.astype(float), z)
        labels, z = sample([seed, 2], slope=1.0, shift=0.5)
        intercept = cox_intercept(labels.astype(float), z)
        covered.append([slope.low <= 0.7 <= slope.high, intercept.low <= 0.5 <= intercept.high])
    assert (np.mean(covered, axis=0) >= 0.91).all()
    assert (np.mean(covered, axis=0) <= 0.99).all()


def test_intercept_makes_probabilities_right_on_average():
    labels, z = sample(3, shift=1.5)
    found = cox_intercept(labels.astype(float), z)
    assert expit(z + found.value).sum() == pytest.approx(labels.sum())


def test_a_head_that_is_too_sure_has_a_slope_below_1_and_a_large_error():
    labels, z = sample(4, rows=2000)
    right, sure = reliability(labels, z), reliability(labels, 3 * z)
    assert sure.slope.high < 1 < right.slope.high
    assert sure.slope.value == pytest.approx(right.slope.value / 3)
    assert sure.calibration_error.p_value < 0.01 < right.calibration_error.p_value
    assert sure.calibration_error.value > sure.calibration_error.null_high


def test_curve_is_isotonic_regression_and_lies_in_its_band_where_probabilities_are_right():
    labels, z = sample(5)
    found = reliability(labels, z).curve
    expected = IsotonicRegression().fit(expit(z), labels).predict(np.array(found.probability))
    assert found.observed == pytest.approx(expected)
    assert (np.diff(found.probability) > 0).all()
    low, high, observed = map(np.array, (found.low, found.high, found.observed))
    assert ((low - 1e-12 <= observed) & (observed <= high + 1e-12)).mean() > 0.9
    sure = reliability(labels, 4 * z).curve
    inside = [a <= b <= c for a, b, c in zip(sure.low, sure.observed, sure.high, strict=True)]
    assert np.mean(inside) < 0.6


def test_calibration_error_is_that_of_equal_bins():
    labels, z = sample(6, rows=1000)
    found = reliability(labels, z).calibration_error
    observed, stated = calibration_curve(labels, expit(z), n_bins=found.bins, strategy="quantile")
    assert found.value == pytest.approx(np.abs(observed - stated).mean(), abs=0.01)
    assert found.bins == 15


def test_null_of_the_calibration_error_is_uniform_where_probabilities_are_right():
    samples = [sample([seed, 9], rows=150) for seed in range(60)]
    values = [_calibration_error(_Cells.of(labels * 1.0, expit(z))).p_value for labels, z in samples]
    assert 0.4 < np.mean(values) < 0.6
    assert np.mean(np.array(values) < 0.05) < 0.15


def test_few_positives_make_few_bins():
    labels, z = sample(7, shift=-1.5)
    expected = expit(z).sum()
    assert reliability(labels, z).calibration_error.bins == min(int(expected // 5), 15)


def test_many_rows_are_gathered_without_changing_the_error_much():
    labels, z = sample(8, rows=20_000)
    found = reliability(labels, z)
    order = np.argsort(z)
    bins = np.array_split(order, found.calibration_error.bins)
    expected = sum(abs((labels[each] - expit(z[each])).sum()) for each in bins) / 20_000
    assert found.calibration_error.value == pytest.approx(expected, abs=1e-3)
    assert len(found.curve.probability) <= 500


@pytest.mark.parametrize(
    ("labels", "reason"), [([0, 0, 0], "no positive"), ([1, 1, 1], "no negative"), ([], "no labelled rows")]
)
def test_one_sided_rows_have_no_slope_and_say_why(labels, reason):
    found = reliability(labels, np.array([-1.0, 0.0, 2.0])[: len(labels)])
    for each in (found.slope, found.intercept, found.brier_skill):
        assert (each.value, each.reason) == (None, reason)
    assert (found.curve is None) == (not labels)


def test_separated_rows_have_no_slope():
    found = reliability([0, 0, 1, 1], [-3.0, -1.0, 1.0, 2.0])
    assert found.slope.value is None
    assert "do not overlap" in found.slope.reason
    assert found.intercept.value == pytest.approx(0.3, abs=0.4)


def test_extreme_log_odds_stay_finite():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = reliability([0, 1, 0, 1], [-800.0, 800.0, 300.0, float(logit(0.5))])
    assert found.log_loss.value == pytest.approx((300 + np.log(2)) / 4)
    assert found.curve.high[-1] == 1


def test_order_of_rows_does_not_matter():
    labels, z = sample(9)
    order = np.random.default_rng(1).permutation(400)
    assert reliability(labels[order], z[order]).curve == reliability(labels, z).curve
