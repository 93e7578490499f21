from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import norm

from ova.heads.calibration.calibrators.platt import Platt
from ova.heads.calibration.threshold.choose_threshold import plugin
from ova.heads.threshold_objectives import Cost, FBeta


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=30), st.floats(0.3, 2.0), st.floats(-3, 3))
def test_plugin_maximises_expected_f1(scores, slope, intercept):
    platt = Platt(slope, intercept)
    threshold = plugin(scores, platt)
    probability = platt.probability(scores)
    values = [
        2 * probability[scores >= cut].sum() / ((scores >= cut).sum() + probability.sum())
        for cut in np.unique(scores)
    ]
    flagged = np.array(scores) >= threshold
    reached = 2 * probability[flagged].sum() / (flagged.sum() + probability.sum())
    assert reached == pytest.approx(max(values), abs=1e-6)
    if min(scores) < threshold:
        # Half of the best F1, hence never above one half (Lipton et al. 2014).
        assert platt.probability(threshold) == pytest.approx(max(values) / 2, abs=1e-5)
        assert platt.probability(threshold) <= 0.5 + 1e-6


@pytest.mark.parametrize(("distance", "prior"), [(1.8, 0.06), (2.5, 0.06), (2.5, 0.3)])
def test_plugin_with_true_probabilities_is_the_population_optimum(distance, prior):
    # Equal-variance binormal scores on the scale of their own likelihood ratio: logit p = s + logit(prior).
    spread = distance
    middle = distance**2 / 2
    grid = np.linspace(-15, 15, 30_001)
    found = norm.sf(grid, middle, spread)
    false = norm.sf(grid, -middle, spread)
    f1 = 2 * prior * found / (prior * (found + 1) + (1 - prior) * false)
    parts = int(20_000 * prior), int(20_000 * (1 - prior))
    scores = np.concatenate(
        [
            norm.ppf((np.arange(size) + 0.5) / size, mean, spread)
            for size, mean in zip(parts, (middle, -middle), strict=True)
        ]
    )
    threshold = plugin(scores, Platt(1.0, float(logit(prior))))
    assert np.interp(threshold, grid, f1) > f1.max() - 1e-5
    assert threshold == pytest.approx(grid[f1.argmax()], abs=0.02)


def test_plugin_stays_within_reach_of_the_scores():
    assert plugin([0.0, 1.0], Platt(1e-6, -3.0)) == 0.0
    assert np.isfinite(plugin([-1e4, -2e4], Platt(1.0, 0.0)))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=30),
    st.floats(0.3, 2.0),
    st.floats(-3, 3),
    st.one_of(
        st.floats(0.25, 4).map(FBeta),
        st.tuples(st.floats(0.1, 20), st.floats(0.1, 20)).map(lambda p: Cost(*p)),
    ),
)
@example([0.0, 0.0], 1.0, 0.0, Cost(1.0, 2.0))  # equal scores, of which none is worth an alarm
@example([0.0, 0.0], 1.0, 0.0, Cost(2.0, 1.0))
def test_every_objective_is_best_in_expectation(scores, slope, intercept, objective):
    scores, platt = np.array(scores), Platt(slope, intercept)
    probability = platt.probability(scores)

    def expected(flagged):
        tp, fp = probability[flagged].sum(), (1 - probability[flagged]).sum()
        return objective(tp, fp, probability.sum() - tp, (1 - probability).sum() - fp)

    best = max(expected(scores >= cut) for cut in [*np.unique(scores), np.inf])
    assert expected(scores >= plugin(scores, platt, objective=objective)) >= best - 1e-5


@pytest.mark.parametrize("beta", [1.0, 2.0])
@pytest.mark.parametrize("odds", [0.2, 1.0, 4.0])
def test_other_odds_are_rows_of_other_weight(beta, odds):
    scores = np.random.default_rng(3).normal(0, 3, 500)
    platt = Platt(0.8, -1.5)
    p = platt.probability(scores)
    values = {}
    for cut in scores:
        flagged = scores >= cut
        found, alarms = odds * p[flagged].sum(), (odds * p + 1 - p)[flagged].sum()
        values[cut] = (1 + beta**2) * found / (alarms + beta**2 * odds * p.sum())
    threshold = plugin(scores, platt, objective=FBeta(beta, odds))
    assert scores[scores >= threshold].min() == max(values, key=values.__getitem__)
