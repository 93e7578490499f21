from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference

from ova.analysis.measures.binary import binary_measures, measured_average_precision, roc_auc
from ova.metrics import MEASURES, Counts, f1_interval

# Measure -> it in scikit-learn's words.
REFERENCES = {
    "precision": lambda y, d: reference.precision_score(y, d, zero_division=np.nan),
    "recall": lambda y, d: reference.recall_score(y, d, zero_division=np.nan),
    "specificity": lambda y, d: reference.recall_score(y, d, pos_label=0, zero_division=np.nan),
    "negative_predictive_value": lambda y, d: reference.precision_score(
        y, d, pos_label=0, zero_division=np.nan
    ),
    "false_positive_rate": lambda y, d: 1 - reference.recall_score(y, d, pos_label=0, zero_division=np.nan),
    "false_discovery_rate": lambda y, d: 1 - reference.precision_score(y, d, zero_division=np.nan),
    "false_negative_rate": lambda y, d: 1 - reference.recall_score(y, d, zero_division=np.nan),
    "accuracy": reference.accuracy_score,
    "f1": lambda y, d: reference.f1_score(y, d, zero_division=np.nan) if any(y) else np.nan,
}


@settings(max_examples=40)
@given(data=st.data(), rows=st.integers(1, 30))
def test_measures_are_those_of_scikit_learn(data, rows):
    labels = np.array(data.draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)))
    # Few distinct values, so that scores tie.
    scores = np.array(
        data.draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=rows, max_size=rows))
    )
    decisions = scores >= 0.5
    found = binary_measures(labels, scores, decisions)
    assert list(found) == [*MEASURES, "average_precision", "roc_auc"]
    for name, function in REFERENCES.items():
        expected = function(labels, decisions)
        if np.isnan(expected):
            assert (found[name].value, found[name].low) == (None, None)
            assert found[name].reason
        else:
            assert found[name].value == pytest.approx(expected)
    both = 0 < labels.sum() < rows
    if both and 0 < decisions.sum() < rows:
        assert found["mcc"].value == pytest.approx(reference.matthews_corrcoef(labels, decisions))
    else:
        assert found["mcc"].value is None
    if both:
        assert found["roc_auc"].value == pytest.approx(reference.roc_auc_score(labels, scores))
    if labels.any():
        expected = reference.average_precision_score(labels, scores)
        assert found["average_precision"].value == pytest.approx(expected)
    for each in found.values():
        if each.value is not None:
            assert each.low - 1e-12 <= each.value <= each.high + 1e-12
            assert each.high - each.low > 1e-3


def test_proportions_have_the_intervals_of_scipy():
    labels = np.repeat([1, 1, 0, 0], [15, 5, 8, 172])
    decisions = np.repeat([1, 0, 1, 0], [15, 5, 8, 172])
    found = binary_measures(labels, decisions.astype(float), decisions)
    parts = {"precision": (15, 23), "recall": (15, 20), "specificity": (172, 180), "accuracy": (187, 200)}
    parts |= {"negative_predictive_value": (172, 177), "false_positive_rate": (8, 180)}
    parts |= {"false_discovery_rate": (8, 23), "false_negative_rate": (5, 20)}
    for name, (successes, total) in parts.items():
        expected = stats.binomtest(successes, total).proportion_ci(method="wilson")
        assert (found[name].low, found[name].high) == pytest.approx((expected.low, expected.high))
    assert (found["f1"].low, found["f1"].high) == f1_interval(Counts(tp=15, fp=8, fn=5, tn=172))


@pytest.mark.parametrize(
    ("labels", "decisions", "reasons"),
    [
        ([], [], dict.fromkeys(MEASURES, "no labelled rows")),
        ([0, 0], [0, 1], {"recall": "no positive", "mcc": "no positive", "roc_auc": "no positive"}),
        ([1, 1], [0, 1], {"specificity": "no negative", "mcc": "no negative", "roc_auc": "no negative"}),
        ([0, 1], [0, 0], {"precision": "nothing is flagged", "mcc": "nothing is flagged"}),
        ([0, 1], [1, 1], {"negative_predictive_value": "everything is flagged"}),
    ],
)
def test_what_is_undefined_is_none_and_says_why(labels, decisions, reasons):
    found = binary_measures(labels, np.asarray(decisions, float), decisions)
    for name, reason in reasons.items():
        assert (found[name].value, found[name].low, found[name].high) == (None, None, None)
        assert found[name].reason == reason


def test_perfect_heads_are_not_certain():
    labels = np.repeat([1, 0], [20, 300])
    found = binary_measures(labels, labels.astype(float), labels)
    for name in ("precision", "recall", "f1", "mcc", "average_precision", "roc_auc"):
        assert found[name].value == found[name].high == 1
        assert 0.7 < found[name].low < 0.98, name


def binormal(generator, positives, negatives, distance):
    return np.concatenate([generator.normal(distance, 1, positives), generator.normal(0, 1, negatives)])


def test_intervals_cover_the_areas_of_a_population():
    generator = np.random.default_rng(4)
    large = np.repeat([1, 0], 200_000)
    scores = binormal(generator, 200_000, 200_000, 2.0)
    area = stats.norm.cdf(2 / np.sqrt(2))
    weight = np.where(large == 1, 24, 376)  # rows as they come: 24 positives of 400
    precision = reference.average_precision_score(large, scores, sample_weight=weight)
    labels = np.repeat([1, 0], [24, 376])
    covered = []
    for _ in range(150):
        sample = binormal(generator, 24, 376, 2.0)
        one, other = roc_auc(labels, sample), measured_average_precision(labels, sample)
        covered.append([one.low <= area <= one.high, other.low <= precision <= other.high])
    assert ((np.mean(covered, axis=0) >= 0.92) & (np.mean(covered, axis=0) <= 1)).all()


def test_bounds_of_the_area_lie_where_the_deviation_of_hanley_and_mcneil_says():
    labels = np.repeat([1, 0], [10, 40])
    found = roc_auc(labels, binormal(np.random.default_rng(0), 10, 40, 1.0))
    for area in (found.low, found.high):
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        variance = (area * (1 - area) + 9 * (q1 - area**2) + 39 * (q2 - area**2)) / 400
        assert abs(found.value - area) == pytest.approx(1.959964 * variance**0.5, rel=1e-5)


def test_order_of_rows_does_not_matter():
    generator = np.random.default_rng(2)
    labels, scores = (generator.random(90) < 0.3).astype(int), generator.normal(0, 1, 90).round(1)
    order = generator.permutation(90)
    shuffled = binary_measures(labels[order], scores[order], scores[order] >= 0.2)
    for name, each in binary_measures(labels, scores, scores >= 0.2).items():
        assert shuffled[name].value == pytest.approx(each.value, abs=1e-12), name
