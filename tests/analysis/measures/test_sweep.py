from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, precision_recall_curve, roc_curve

from ova.analysis.measures.sweep import MOST_POINTS, score_histogram, sweep_thresholds
from ova.metrics import Counts


def sample(seed, rows=300):
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < 0.15).astype(np.int8)
    labels[0] = 1
    return labels, (generator.normal(0, 1, rows) + 2 * labels).astype(np.float32).astype(float)


@given(data=st.data(), rows=st.integers(1, 25), threshold=st.sampled_from([-3.0, -1.0, 0.2, 0.5, 1.0, 4.0]))
def test_every_point_is_what_its_threshold_does(data, rows, threshold):
    labels = data.draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows).filter(any))
    scores = data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=rows, max_size=rows))
    found = sweep_thresholds(labels, scores, threshold, rows="test")
    assert list(found.threshold) == sorted(found.threshold, reverse=True)
    assert len(found.threshold) == len(set(scores)) + 1
    for point, cut in enumerate(found.threshold):
        counts = Counts.of(labels, [np.float32(score) >= np.float32(cut) for score in scores])
        assert (found.tp[point], found.flagged[point]) == (counts.tp, counts.tp + counts.fp)
        assert found.precision[point] == counts.precision
        assert found.recall[point] == counts.recall
        assert found.false_positive_rate[point] == counts.false_positive_rate
        assert found.f1[point] == pytest.approx(counts.f1)
    assert found.threshold[found.chosen] == threshold
    assert (found.positives, found.positives + found.negatives) == (sum(labels), rows)


def test_curves_are_those_of_scikit_learn():
    labels, scores = sample(0)
    found = sweep_thresholds(labels, scores, 1.0, rows="test")
    rates, recalls, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found.false_positive_rate == pytest.approx(rates)
    assert found.recall == pytest.approx(recalls)
    precision, recall, _ = precision_recall_curve(labels, scores)
    # scikit-learn puts precision 1 where nothing is flagged, and goes from the lowest threshold up.
    assert found.precision[1:] == pytest.approx(precision[:-1][::-1])
    assert found.recall[1:] == pytest.approx(recall[:-1][::-1])


def test_many_points_are_thinned_and_what_matters_stays():
    labels, scores = sample(1, rows=20_000)
    whole = sweep_thresholds(labels, scores, 1.234, rows="test", most=10**6)
    found = sweep_thresholds(labels, scores, 1.234, rows="test", interval=(0.9, 1.6))
    assert len(whole.threshold) > 10_000
    assert MOST_POINTS * 0.8 < len(found.threshold) <= MOST_POINTS
    assert max(found.f1) == max(whole.f1)
    assert (found.flagged[0], found.flagged[-1]) == (0, 20_000)
    assert found.threshold[found.chosen] == 1.234
    assert found.tp[found.chosen] == whole.tp[whole.chosen]
    assert (found.chosen_low, found.chosen_high) == (0.9, 1.6)
    area = auc(whole.false_positive_rate, whole.recall)
    assert auc(found.false_positive_rate, found.recall) == pytest.approx(area, abs=1e-3)
    between = np.interp(whole.recall, found.recall, found.f1)
    assert np.abs(between - whole.f1).max() < 0.02


def test_without_positives_there_is_no_sweep_and_without_negatives_no_rate():
    assert sweep_thresholds([0, 0], [1.0, 2.0], 0.0, rows="test") is None
    assert set(sweep_thresholds([1, 1], [1.0, 2.0], 0.0, rows="test").false_positive_rate) == {None}


def test_histogram_counts_every_row_once():
    labels, scores = sample(2)
    scores[5] = 1e30  # one far score does not squeeze the others
    found = score_histogram(labels, scores, rows="calibration")
    assert sum(found.positives) == labels.sum()
    assert sum(found.negatives) == (1 - labels).sum()
    assert len(found.edges) == len(found.positives) + 1 == 41
    inside = np.clip(scores, found.edges[0], found.edges[-1])
    assert found.positives == tuple(np.histogram(inside[labels == 1], found.edges)[0])
    assert sum(count > 0 for count in found.negatives) > 20
    assert found.rows == "calibration"


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], [0, 1]])
def test_histogram_of_equal_scores_is_one_bin(labels):
    found = score_histogram(labels, [2.0, 2.0], rows="test")
    assert max(map(sum, zip(found.positives, found.negatives, strict=True))) == 2
    assert score_histogram([], [], rows="test") is None
