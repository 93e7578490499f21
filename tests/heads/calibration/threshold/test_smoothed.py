from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kurtosis, norm

from ova.heads.calibration.calibrators.blocks import clip_outliers
from ova.heads.calibration.calibrators.platt import Platt
from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.smoothed import SmoothedCurve, Spread
from ova.heads.calibration.threshold.sweep import best_cut
from ova.heads.threshold_objectives import Cost, FBeta


def binormal(seed, positives=24, negatives=376):
    draw = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    return draw.normal(4.0 * labels - 2.0, 1.6).astype(np.float32), labels


def spread_of(ranking):
    drawn = clip_outliers(ranking.scores, ranking.rows, ranking.positive_rows)
    return Spread.of(ranking, drawn)


def curve_of(scores, labels, model):
    ranking = Ranking.of(scores, labels)
    return SmoothedCurve.of(ranking, model, spread_of(ranking))


def by_hand(curve, scores, labels, model, objective, width, seen):
    """Smooth every row by a normal, mix in the expected rows, and take the best candidate."""
    scores, p = scores.astype(float), model.probability(scores.astype(float))
    share = seen / (seen + labels.sum())
    values = []
    for cut in curve.candidates:
        above = norm.cdf((scores - cut) / (width * curve.unit))
        tp = (1 - share) * (above * labels).sum() + share * p[scores >= cut].sum()
        fp = (1 - share) * (above * (1 - labels)).sum() + share * (1 - p)[scores >= cut].sum()
        positives = (1 - share) * labels.sum() + share * p.sum()
        values.append(objective(tp, fp, positives - tp, len(scores) - positives - fp))
    return np.array(values)


@pytest.mark.parametrize("objective", [FBeta(), FBeta(2.0), FBeta(odds=0.3), Cost(10.0, 1.0)])
@pytest.mark.parametrize(("width", "seen"), [(0.5, 110.0), (0.15, 10.0), (0.3, 0.0)])
def test_the_best_is_that_of_a_normal_kernel_by_hand(objective, width, seen):
    model = Platt(1.4, -2.5)
    for seed in range(5):
        scores, labels = binormal(seed)
        curve = curve_of(scores, labels, model)
        values = by_hand(curve, scores, labels, model, objective, width, seen)
        found = curve.best(objective, width, seen)
        # 40 quantiles stand for the normal, so that a neighbour as good may be taken.
        span = values.max() - values.min()
        assert values.max() - values[curve.candidates == found][0] < 0.01 * span


def test_without_smoothing_and_model_it_is_the_exact_sweep():
    for seed in range(20):
        scores, labels = binormal(seed)
        scores = np.round(scores, 1).astype(np.float32)
        curve = curve_of(scores, labels, Platt(1.0, 0.0))
        tp, fp = curve.ranking.counts_at(curve.best(FBeta(), 0.0, 0.0))
        _, best = best_cut(curve.ranking, FBeta())
        # Best up to the false positives in the eighth of a gap under the positive.
        assert 2 * tp / (tp + fp + 24) > best - 0.03


def test_a_model_that_counts_for_all_decides_alone():
    scores, labels = binormal(1)
    low, high = (curve_of(scores, labels, Platt(1.4, at)).best(FBeta(), 0.2, 1e9) for at in (0.0, -5.0))
    assert low < 0.0 < high


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.015625, 4.0, 256.0]), st.sampled_from([-64.0, 0.0, 32.0]))
def test_scale_and_place_carry_the_curve_along(seed, scale, move):
    scores, labels = binormal(seed)
    scores = np.round(scores, 3).astype(np.float16).astype(float)
    one = curve_of(scores, labels, Platt(1.4, -2.5))
    other = curve_of(scores * scale + move, labels, Platt(1.4 / scale, -2.5 - 1.4 * move / scale))
    assert other.unit == pytest.approx(one.unit * scale)
    np.testing.assert_allclose(other.candidates, one.candidates * scale + move, rtol=1e-6, atol=1e-6 * scale)


def test_no_candidate_is_a_score_and_none_is_far_beyond():
    scores, labels = binormal(2)
    for size in (24, 5):
        rows = np.r_[np.arange(size), np.arange(24, 400)]
        curve = curve_of(np.round(scores[rows], 1), labels[rows], Platt(1.4, -2.5))
        assert not np.isin(curve.candidates, curve.ranking.scores).any()
        found = curve.ranking.scores[curve.ranking.under_positives]
        assert found[-1] - 0.5 * curve.unit < curve.candidates.min() < found[-1]
        assert found[0] < curve.candidates.max() < found[0] + 0.5 * curve.unit


def test_many_positives_do_not_make_many_candidates():
    scores, labels = binormal(3, positives=5_000, negatives=5_000)
    curve = curve_of(scores, labels, Platt(1.4, 0.0))
    assert len(curve.candidates) <= 300
    assert curve.best(FBeta(), 0.1, 0.0) == pytest.approx(-0.3, abs=0.3)


def test_spread_is_that_of_scipy():
    scores, labels = binormal(4)
    found = spread_of(Ranking.of(scores, labels))
    positives = scores[labels == 1].astype(float)
    assert found.deviation == pytest.approx(positives.std())
    assert found.flatness == pytest.approx(np.clip(-kurtosis(positives), 0.0, 2.0))


@pytest.mark.parametrize(
    ("positives", "flatness"), [([0.0, 1.0], 2.0), ([3.0, 3.0, 3.0], 0.0), (np.linspace(0, 1, 400), 1.2)]
)
def test_clumps_are_flat_and_equal_scores_have_no_spread(positives, flatness):
    scores, labels = np.r_[positives, -5.0, -6.0], np.r_[np.ones(len(positives)), 0, 0]
    assert spread_of(Ranking.of(scores, labels)).flatness == pytest.approx(flatness, abs=0.01)


def test_one_outlier_does_not_widen_the_unit():
    scores, labels = binormal(5)
    before = curve_of(scores, labels, Platt(1e-9, 0.0)).unit
    scores[0] = 1e6
    assert curve_of(scores, labels, Platt(1e-9, 0.0)).unit < 4 * before
