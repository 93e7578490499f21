from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import precision_recall_curve

from ova.heads.platt import Platt
from ova.heads.thresholds import bagged, f1_objective, plugin, sweep
from ova.metrics import Counts

floats16 = st.floats(width=16, allow_nan=False, allow_infinity=False)
scores_of_any_kind = st.one_of(st.integers(-3, 3).map(float), floats16, st.sampled_from([0.0, -0.0, 1.0]))
labelled_scores = st.lists(st.tuples(scores_of_any_kind, st.booleans()), min_size=1, max_size=40).filter(
    lambda rows: any(label for _, label in rows)
)


def brute_force(scores, labels):
    """Exact best F1 over every distinct score, and over flagging nothing."""
    best = Fraction(0)
    for cut in np.unique(scores):
        flagged = scores >= cut
        best = max(best, Fraction(int(2 * (flagged & labels).sum()), int(flagged.sum() + labels.sum())))
    return float(best)


def binormal(seed, positives=24, negatives=376):
    draw = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    return draw.normal(4.0 * labels - 2.0, 2.0), labels


@settings(max_examples=150, deadline=None)
@given(labelled_scores, st.sampled_from([np.float16, np.float32, np.float64]))
def test_sweep_equals_brute_force_and_scikit_learn(rows, deployed):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    cut = sweep(scores, labels, deployed=deployed)
    assert cut.value == cut.f1 == brute_force(scores, labels)
    precision, recall, _ = precision_recall_curve(labels, scores)
    both = precision + recall
    curve = 2 * precision * recall / np.where(both > 0, both, 1.0)
    assert cut.f1 == pytest.approx(curve.max(), abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(labelled_scores, st.sampled_from([np.float16, np.float32]))
def test_counts_hold_in_the_deployed_dtype(rows, deployed):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    cut = sweep(scores, labels, deployed=deployed)
    assert np.isfinite(cut.threshold)
    assert float(deployed(cut.threshold)) == cut.threshold
    assert cut.counts == Counts.of(labels, scores.astype(deployed) >= deployed(cut.threshold))


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("start", [1.0, -1.0, 0.0, 3.1415927, 1e30, -65000.0])
def test_neighbouring_floats_are_still_separated(start, steps):
    for first in (np.float32(start), np.nextafter(np.float32(start), np.float32(np.inf))):
        upper = first
        for _ in range(steps):
            upper = np.nextafter(upper, np.float32(np.inf))
        cut = sweep(np.array([first, upper]), [0, 1])
        assert cut.counts == Counts(tp=1, tn=1)
        assert first < np.float32(cut.threshold) <= upper


def test_scores_that_the_deployed_dtype_cannot_tell_apart_are_one_group():
    scores = np.array([1.0, 1.0 + 1e-12, 0.0])
    assert sweep(scores, [0, 1, 0], deployed=np.float64).counts == Counts(tp=1, tn=2)
    assert sweep(scores, [0, 1, 0]).counts == Counts(tp=1, fp=1, tn=1)


def test_threshold_is_the_middle_of_the_widest_gap():
    assert sweep([3.0, -1.0], [1, 0]).threshold == 1.0
    # Cuts under the first positive (TP 1, FP 0) and under the last (TP 2, FP 2) both reach F1 = 2/3.
    labels = [1, 0, 0, 1, 0]
    assert sweep([9.0, 8.0, 7.0, 6.0, 0.0], labels).threshold == 3.0
    assert sweep([9.0, 1.0, 0.5, 0.0, -1.0], labels).threshold == 5.0
    assert sweep([9.0, 8.0, 7.0, 6.0, 5.0], labels).threshold == 8.5
    # Without the last row, "everything" ties with the first cut and loses: there is no gap under it.
    assert sweep([9.0, 8.0, 7.0, 6.0], labels[:4]).threshold == 8.5


@pytest.mark.parametrize(
    ("scores", "labels", "threshold", "counts"),
    [
        ([0.7], [1], -0.3, Counts(tp=1)),
        ([2.0, 2.0, 2.0], [1, 0, 0], 1.0, Counts(tp=1, fp=2)),
        ([3.0, 1.0, 2.0], [1, 1, 1], 0.0, Counts(tp=3)),
        ([0.0, -0.0], [1, 0], -1.0, Counts(tp=1, fp=1)),
        ([5.0, 1.0], [0, 1], 0.0, Counts(tp=1, fp=1)),
    ],
)
def test_small_and_degenerate_tables(scores, labels, threshold, counts):
    cut = sweep(np.array(scores), labels)
    assert cut.threshold == pytest.approx(threshold, abs=1e-6)
    assert cut.counts == counts


def test_flagging_nothing_and_everything_stay_finite():
    def fewest_flags(tp, fp, fn, tn):
        return -(tp + fp)

    for high in (1.5, 3e7, 1e30):
        scores = np.array([high, 1.0, -high], np.float32)
        nothing = sweep(scores, [1, 0, 1], objective=fewest_flags)
        assert nothing.counts == Counts(fn=2, tn=1)
        assert np.isfinite(nothing.threshold)
        everything = sweep(scores, [1, 1, 1])
        assert everything.counts == Counts(tp=3)
        assert np.isfinite(everything.threshold)


@settings(max_examples=60, deadline=None)
@given(labelled_scores, st.randoms(use_true_random=False))
def test_sweep_and_bagged_ignore_the_order_of_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    (scores, labels), (again, relabelled) = (zip(*table, strict=True) for table in (rows, shuffled))
    assert sweep(scores, labels) == sweep(again, relabelled)
    assert bagged(scores, labels, bags=10) == bagged(again, relabelled, bags=10)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-999, 999), st.booleans()), min_size=3, max_size=40))
def test_affine_maps_carry_the_threshold_along(rows):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    if not labels.any():
        return
    cut, moved = sweep(scores, labels), sweep(4 * scores + 7, labels)
    assert moved.counts == cut.counts
    if cut.threshold > scores.min():
        assert moved.threshold == 4 * cut.threshold + 7


def test_affine_maps_carry_the_bagged_threshold_along():
    scores, labels = binormal(1)
    assert bagged(4 * scores + 7, labels) == pytest.approx(4 * bagged(scores, labels) + 7, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(labelled_scores)
def test_increasing_maps_and_duplicates_keep_the_value(rows):
    scores, labels = (np.array(column) for column in zip(*rows, strict=True))
    cut = sweep(scores, labels, deployed=np.float64)
    ranks = np.unique(scores, return_inverse=True)[1]
    assert sweep(ranks, labels, deployed=np.float64).value == cut.value
    twice = sweep(np.tile(scores, 2), np.tile(labels, 2), deployed=np.float64)
    assert (twice.threshold, twice.value) == (cut.threshold, cut.value)
    assert twice.counts == cut.counts + cut.counts


def test_bagged_has_the_distribution_of_a_bootstrap_of_rows():
    scores, labels = binormal(2, positives=8, negatives=40)
    scores = np.round(scores, 1)  # ties within and across the classes
    distinct = np.unique(scores)
    middles = dict(zip(distinct[1:], (distinct[1:] + distinct[:-1]) / 2, strict=True))
    middles[distinct[0]] = distinct[0] - 1
    draw = np.random.default_rng(0)
    thresholds = []
    for _ in range(1500):
        rows = np.concatenate([draw.choice(8, 8), draw.choice(np.arange(8, 48), 40)])
        sample, truth = scores[rows], labels[rows] == 1
        cuts = np.unique(sample)[::-1]
        values = [2 * truth[sample >= cut].sum() / ((sample >= cut).sum() + 8) for cut in cuts]
        thresholds.append(middles[cuts[int(np.argmax(values))]])
    error = np.std(thresholds) * np.sqrt(1 / 1500 + 1 / 4000)
    found = bagged(scores, labels, bags=4000)
    assert abs(found - np.mean(thresholds)) < 4 * error
    assert error < 0.05


def test_bagged_repeats_itself_and_differs_from_one_sweep():
    scores, labels = binormal(3)
    assert bagged(scores, labels) == bagged(scores, labels)
    assert bagged(scores, labels) != bagged(scores, labels, seed=1)
    assert float(np.float32(bagged(scores, labels))) == bagged(scores, labels)
    assert abs(bagged(scores, labels) - sweep(scores, labels).threshold) < 3


def test_bags_keep_the_number_of_either_class():
    def specificity_and_recall(tp, fp, fn, tn):
        assert (tp + fn == 24).all()
        assert (fp + tn == 376).all()
        return tn / (fp + tn) + tp / (tp + fn)

    scores, labels = binormal(4)
    assert bagged(scores, labels, objective=specificity_and_recall) < bagged(scores, labels)


def test_bagged_of_rows_that_leave_no_choice():
    assert bagged([3.0, 3.0, -1.0], [1, 1, 0]) == 1.0
    assert bagged([3.0, 1.0], [1, 1]) <= 1.0


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
    if min(scores) - 0.999 < threshold:
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
    assert plugin([0.0, 1.0], Platt(1e-6, -3.0)) == -1.0
    assert np.isfinite(plugin([-1e4, -2e4], Platt(1.0, 0.0)))


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [0, 0], "no positive"),
        ([1.0], [0, 1], "shape"),
        ([1.0, np.nan], [0, 1], "not finite"),
        ([1.0, 1e39], [0, 1], "not finite"),
        ([1.0, 2.0], [-1, 1], "0 or 1"),
    ],
)
def test_impossible_input_is_refused(scores, labels, message):
    for rule in (sweep, bagged):
        with pytest.raises(ValueError, match=message):
            rule(np.array(scores), labels)


def test_f1_objective_is_f1():
    table = Counts(tp=7, fp=3, fn=2, tn=30)
    cells = (np.array([float(cell)]) for cell in (table.tp, table.fp, table.fn, table.tn))
    assert f1_objective(*cells).tolist() == [table.f1]
