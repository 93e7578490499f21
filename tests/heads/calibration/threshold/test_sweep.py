from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import precision_recall_curve

from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.sweep import Bags, bagged, sweep
from ova.heads.threshold_objectives import FBeta
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


def test_very_many_candidates_are_thinned_near_the_best():
    draw = np.random.default_rng(8)
    labels = np.repeat([1, 0], [30_000, 60_000])
    scores = draw.normal(3.0 * labels - 1.5, 1.5)
    ranking = Ranking.of(scores, labels)
    bags = Bags.draw(ranking, FBeta(), bags=40)
    assert len(bags.cuts) <= 1_000 < len(ranking.under_positives)
    optima = bags.thresholds(FBeta())
    exact = np.linspace(-3, 3, 6001)
    f1 = 2 * norm.sf(exact, 1.5, 1.5) / (norm.sf(exact, 1.5, 1.5) + 2 * norm.sf(exact, -1.5, 1.5) + 1)
    assert abs(optima.mean() - exact[f1.argmax()]) < 0.05
    # No bag sits at the end of the candidates: the region was wide enough.
    ends = ranking.thresholds()[bags.cuts[[0, -1]] + 1]
    assert ends[1] < optima.min() <= optima.max() < ends[0]


def test_counts_at_a_threshold_are_those_of_the_comparison():
    scores, labels = binormal(5)
    scores = np.round(scores, 1).astype(np.float32)
    ranking = Ranking.of(scores, labels)
    for threshold in [*np.linspace(-9, 9, 50), float(scores[0]), 99.0]:
        flagged = scores >= threshold
        assert ranking.counts_at(threshold) == (
            (flagged & (labels == 1)).sum(),
            (flagged & (labels == 0)).sum(),
        )
