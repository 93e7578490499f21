from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from ova.analysis.report.steps import COLUMNS, Steps
from ova.analysis.tables import HeadEvidence


def evidence_of(labels, logits, threshold=0.0) -> HeadEvidence:
    images = tuple(f"{row}.png" for row in range(len(labels)))
    return HeadEvidence(
        "crack", "crack", threshold, np.asarray(labels, np.int8), np.asarray(logits, np.float64), images
    )


rows = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from([-1.0, 0.0, 0.5, 2.0]) | st.floats(-9, 9)), max_size=30
)


@given(rows=rows, threshold=st.sampled_from([-1.0, 0.25, 0.5, 20.0]))
def test_every_step_counts_as_the_head_would_decide(rows, threshold):
    labels, logits = np.array(rows).reshape(-1, 2).T
    steps = Steps.of(evidence_of(labels, logits, threshold))
    assert (np.diff(steps.thresholds) > 0).all()
    assert steps.thresholds[steps.chosen] == np.float32(threshold)
    assert set(logits.astype(np.float32)) <= set(steps.thresholds)
    for values in steps.rows():
        row = dict(zip(COLUMNS, values, strict=True))
        decisions = logits.astype(np.float32) >= np.float32(row["threshold"])
        expected = confusion_matrix(labels, decisions, labels=[0, 1]).ravel() if len(labels) else [0] * 4
        assert [row[name] for name in ("tn", "fp", "fn", "tp")] == list(expected)
    assert steps.tp[-1] == steps.fp[-1] == 0


def test_curves_are_those_of_scikit_learn():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200)
    logits = (generator.normal(0, 1, 200) + labels).round(1)
    steps = Steps.of(evidence_of(labels, logits, logits[0]))
    precision, recall, _ = precision_recall_curve(labels, steps_scores := logits.astype(np.float32))
    np.testing.assert_allclose(steps.recall, recall)
    np.testing.assert_allclose(steps.precision[:-1], precision[:-1])
    false_positive_rate, true_positive_rate, _ = roc_curve(labels, steps_scores, drop_intermediate=False)
    np.testing.assert_allclose(steps.false_positive_rate[::-1], false_positive_rate)
    np.testing.assert_allclose(steps.recall[::-1], true_positive_rate)


def test_what_cannot_be_computed_is_none():
    steps = Steps.of(evidence_of([0, 0], [1.0, 2.0]))
    assert [row[-3:] for row in steps.rows()] == [[0.0, None, None]] * 3 + [[None, None, None]]
    empty = Steps.of(evidence_of([], []))
    assert [row[1:5] for row in empty.rows()] == [[0, 0, 0, 0]] * 2


def test_the_highest_number_has_no_step_above_it():
    steps = Steps.of(evidence_of([0, 1], [0, float(np.finfo(np.float32).max)]))
    assert np.isfinite(steps.thresholds).all()


@pytest.mark.parametrize("most", [6, 50, 499])
def test_thinning_keeps_the_ends_the_chosen_step_and_the_scarce_positives(most):
    labels = np.zeros(1000, int)
    labels[[10, 500, 997]] = 1
    whole = Steps.of(evidence_of(labels, np.linspace(-5, 5, 1000), 1.23))
    thin = whole.thinned(most)
    assert thin.thresholds.size <= most + 3
    assert thin.thresholds[[0, thin.chosen, -1]].tolist() == whole.thresholds[[0, whole.chosen, -1]].tolist()
    assert set(thin.tp) == {0, 1, 2, 3}
    kept = np.isin(whole.thresholds, thin.thresholds)
    assert thin.rows() == [row for row, keep in zip(whole.rows(), kept, strict=True) if keep]
    assert whole.thinned(2000) is whole
