from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import norm

from ova.heads.calibration.calibrators.blocks import clip_outliers
from ova.heads.calibration.calibrators.firth import fit_firth
from ova.heads.calibration.calibrators.platt import Platt
from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.smoothed import (
    SmoothedCurve,
    Spread,
    cumulative_misfit,
    smoothed_threshold,
)
from ova.heads.calibration.threshold.sweep import Bags, bagged, sweep
from ova.heads.threshold_objectives import Cost, FBeta


def binormal(seed, positives=24, negatives=376):
    draw = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    return draw.normal(4.0 * labels - 2.0, 1.6), labels


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([0.015625, 4.0, 256.0]), st.sampled_from([-64.0, 0.0, 32.0]))
def test_scale_and_place_of_the_scores_carry_the_threshold_along(seed, scale, move):
    scores, labels = binormal(seed)
    scores = (
        np.round(scores, 3).astype(np.float16).astype(float)
    )  # so that float32 holds what they are mapped to
    one = smoothed_threshold(Ranking.of(scores, labels), FBeta())
    other = smoothed_threshold(Ranking.of(scores * scale + move, labels), FBeta())
    assert other.threshold == pytest.approx(one.threshold * scale + move, rel=1e-4, abs=1e-4 * scale)
    assert other.low == pytest.approx(one.low * scale + move, rel=1e-4, abs=1e-4 * scale)


def test_the_order_of_rows_is_of_no_consequence():
    scores, labels = binormal(3)
    order = np.random.default_rng(0).permutation(len(labels))
    assert smoothed_threshold(Ranking.of(scores, labels), FBeta()) == smoothed_threshold(
        Ranking.of(scores[order], labels[order]), FBeta()
    )


def population_f1(threshold, families, prior):
    (positive, negative) = families
    found = sum(weight * norm.sf(threshold, *part) for weight, *part in positive)
    false = sum(weight * norm.sf(threshold, *part) for weight, *part in negative)
    return 2 * prior * found / (prior * found + (1 - prior) * false + prior)


def losses(families, rule, positives=24, rows=400, repeats=60):
    best = max(population_f1(each, families, positives / rows) for each in np.linspace(-10, 12, 2201))
    for repeat in range(repeats):
        draw = np.random.default_rng(repeat)
        labels = np.repeat([1, 0], [positives, rows - positives])
        sides = []
        for side, size in zip(families, (positives, rows - positives), strict=True):
            weights, means, deviations = np.array(side).T
            part = draw.choice(len(weights), size, p=weights)
            sides.append(draw.normal(means[part], deviations[part]))
        yield best - population_f1(rule(np.concatenate(sides), labels), families, positives / rows)


def by_rule(scores, labels):
    return smoothed_threshold(Ranking.of(scores, labels), FBeta()).threshold


def by_sweep(scores, labels):
    return sweep(scores, labels).threshold


def test_where_the_model_fits_less_than_half_of_the_loss_is_left():
    families = ([(1, 4.7, 3.75)], [(1, -4.7, 3.75)])
    assert np.mean(list(losses(families, by_rule))) < 0.5 * np.mean(list(losses(families, by_sweep)))


@pytest.mark.slow
def test_clusters_do_not_lead_into_the_valley_between_them():
    quarters = [(0.25, mean, 0.6) for mean in (9, 5, 1, -3)]
    families = (quarters, [(0.8, -7, 1), (0.12, -3.5, 0.6), (0.06, -0.5, 0.6), (0.02, 3, 0.6)])
    found = np.mean(list(losses(families, by_rule)))
    assert found < 1.3 * np.mean(list(losses(families, by_sweep)))
    assert found < 0.4 * np.mean(list(losses(families, bagged)))  # the mean of bags alone falls in


def choices(scores, labels):
    """What the rule can choose from, most smoothed first: one curve's best, or the middle of three."""
    ranking = Ranking.of(scores, labels)
    positives = ranking.positive_rows
    model = fit_firth(ranking.scores, ranking.rows, positives)
    drawn = clip_outliers(ranking.scores, ranking.rows, positives)
    curve = SmoothedCurve.of(ranking, model, Spread.of(ranking, drawn))
    usual = np.median(Bags.draw(ranking, FBeta()).thresholds(FBeta()))
    much, some, little = (curve.best(FBeta(), *level) for level in ((0.5, 110), (0.24, 26), (0.15, 10)))
    return [
        np.float32(each) for each in (much, np.median([much, some, usual]), np.median([some, little, usual]))
    ]


def test_a_curve_decides_where_the_model_fits_and_three_vote_where_clusters_make_it_doubtful():
    taken = {"fits": [0, 0, 0], "clusters": [0, 0, 0]}
    for seed in range(60):
        draw = np.random.default_rng(seed)
        labels = np.repeat([1, 0], [24, 376])
        clusters = np.r_[draw.choice([9, 5, 1, -3], 24), draw.choice([-7, -3.5, 3], 376, p=[0.8, 0.15, 0.05])]
        for name, scores in (("fits", binormal(seed)[0]), ("clusters", clusters + draw.normal(0, 0.6, 400))):
            allowed = choices(scores, labels)
            found = by_rule(scores, labels)
            assert found in allowed
            if len(set(allowed)) == 3:
                taken[name][allowed.index(found)] += 1
    assert taken["fits"][0] > taken["fits"][1] + taken["fits"][2]
    assert taken["clusters"][0] < taken["clusters"][2]
    assert min(map(sum, taken.values())) >= 10


def test_misfit_is_that_of_brute_force_and_small_for_the_truth():
    scores, labels = binormal(5)
    scores = np.round(scores, 1).astype(np.float32)
    model = Platt(0.7, -1.5)
    p = expit(0.7 * scores.astype(float) - 1.5)
    walks = [abs((labels - p)[scores >= cut].sum()) for cut in np.unique(scores)]
    ranking = Ranking.of(scores, labels)
    assert cumulative_misfit(ranking, model) == pytest.approx(max(walks) / np.sqrt((p * (1 - p)).sum()))
    # Labels drawn from the model misfit it little; those of another model much.
    draw = np.random.default_rng(0)
    drawn = Ranking.of(scores, draw.random(len(p)) < p)
    assert cumulative_misfit(drawn, model) < 2.0 < cumulative_misfit(drawn, Platt(0.7, 3.0))


def test_the_interval_holds_the_bags():
    found = smoothed_threshold(Ranking.of(*binormal(6)), FBeta())
    assert found.low < bagged(*binormal(6)) < found.high


def test_other_objectives_move_the_threshold_the_right_way():
    ranking = Ranking.of(*binormal(7))
    low, middle, high = (smoothed_threshold(ranking, FBeta(beta)).threshold for beta in (2.0, 1.0, 0.5))
    assert low < middle < high
    dear_misses, dear_alarms = (
        smoothed_threshold(ranking, Cost(*prices)).threshold for prices in ((20, 1), (1, 20))
    )
    assert dear_misses < dear_alarms


@pytest.mark.parametrize("scores", [[3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
def test_tables_without_a_usable_model(scores):
    found = smoothed_threshold(Ranking.of(scores, [1, 1, 0, 0]), FBeta())
    assert np.isfinite([found.threshold, found.low, found.high]).all()
