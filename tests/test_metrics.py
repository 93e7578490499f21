from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as oracle

from ova.metrics import (
    MEASURES,
    Counts,
    Interval,
    always_yes_f1,
    average_precision,
    chance_f1,
    f1_interval,
    macro_f1,
    proportion_interval,
)

ROWS = 2000
BATCH = 32


def table_of(positives: int, order: str) -> np.ndarray:
    labels = np.repeat([1, 0], [positives, ROWS - positives])
    return labels if order == "as filed" else np.random.default_rng(5).permutation(labels)


def naive_f1(labels: np.ndarray, decisions: np.ndarray) -> float:
    """The predecessor's way: a 1x1 confusion matrix of a one-class batch lands in all four cells."""
    total = np.zeros((2, 2))
    for start in range(0, ROWS, BATCH):
        rows = slice(start, start + BATCH)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            total += oracle.confusion_matrix(labels[rows], decisions[rows])
    return 2 * total[1, 1] / (2 * total[1, 1] + total[0, 1] + total[1, 0])


@pytest.mark.parametrize(("positives", "order"), [(443, "as filed"), (122, "as filed"), (122, "shuffled")])
def test_one_class_batches_do_not_spill_into_other_cells(positives, order):
    labels = table_of(positives, order)
    for decisions, f1 in ((labels, 1.0), (np.zeros_like(labels), 0.0)):
        counts = Counts()
        for start in range(0, ROWS, BATCH):
            counts += Counts.of(labels[start : start + BATCH], decisions[start : start + BATCH])
        assert counts == Counts.of(labels, decisions)
        assert counts.total == ROWS
        assert counts.positives == positives
        assert counts.f1 == f1
        assert naive_f1(labels, decisions) != pytest.approx(f1, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_counts_equal_scikit_learn_for_any_batching(rows, cuts):
    labels, decisions = np.array(rows).T
    counts = Counts()
    for part, answers in zip(np.split(labels, sorted(cuts)), np.split(decisions, sorted(cuts)), strict=True):
        counts += Counts.of(part, answers.astype(np.float32))
    assert [counts.tn, counts.fp, counts.fn, counts.tp] == oracle.confusion_matrix(
        labels, decisions, labels=[0, 1]
    ).ravel().tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_measures_equal_scikit_learn_where_defined(rows):
    labels, decisions = np.array(rows).T
    counts = Counts.of(labels, decisions)
    nan = {"zero_division": np.nan}
    mcc_defined = labels.any() and decisions.any() and not labels.all() and not decisions.all()
    expected = {
        "precision": oracle.precision_score(labels, decisions, **nan),
        "recall": oracle.recall_score(labels, decisions, **nan),
        "specificity": oracle.recall_score(~labels, ~decisions, **nan),
        "negative_predictive_value": oracle.precision_score(~labels, ~decisions, **nan),
        "false_positive_rate": 1 - oracle.recall_score(~labels, ~decisions, **nan),
        "false_discovery_rate": 1 - oracle.precision_score(labels, decisions, **nan),
        "false_negative_rate": 1 - oracle.recall_score(labels, decisions, **nan),
        "accuracy": oracle.accuracy_score(labels, decisions),
        "f1": oracle.f1_score(labels, decisions) if labels.any() else np.nan,
        "mcc": oracle.matthews_corrcoef(labels, decisions) if mcc_defined else np.nan,
    }
    found = counts.measures()
    assert tuple(found) == MEASURES
    for name, value in expected.items():
        if np.isnan(value):
            assert found[name] is None, name
        else:
            assert found[name] == pytest.approx(value, abs=1e-12), name


def test_undefined_measures_are_none_with_a_reason():
    assert set(Counts().measures().values()) == {None}
    assert Counts().why_undefined_f1() == "no labelled rows"
    assert Counts(fp=2, tn=3).f1 is None
    assert Counts(fp=2, tn=3).why_undefined_f1() == "no positive among 5 labelled rows"
    assert Counts(fn=4).f1 == 0.0
    assert Counts(fn=4).why_undefined_f1() is None


@pytest.mark.parametrize(
    ("labels", "decisions"),
    [
        ([0, 1], [0]),
        ([[0, 1]], [[0, 1]]),
        ([0, 2], [0, 1]),
        ([0, 1], [0, -1]),
        ([0.0, np.nan], [0, 1]),
        ([0, 1], [0, 0.5]),
    ],
)
def test_counts_refuse_wrong_shapes_and_values(labels, decisions):
    with pytest.raises(ValueError, match=r"labels|decisions"):
        Counts.of(labels, decisions)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_equals_scipy(total, share, confidence):
    successes = round(share * total)
    found = proportion_interval(successes, total, confidence)
    expected = binomtest(successes, total).proportion_ci(confidence, method="wilson")
    assert found is not None
    assert tuple(found) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_are_exact_and_nonsense_is_refused():
    for total in range(1, 200):
        assert proportion_interval(0, total).low == 0.0
        assert proportion_interval(total, total).high == 1.0
    assert proportion_interval(0, 0) is None
    with pytest.raises(ValueError, match="impossible"):
        proportion_interval(3, 2)
    with pytest.raises(ValueError, match="confidence"):
        proportion_interval(1, 2, confidence=95)


def test_f1_interval_at_the_ends():
    perfect, dead = f1_interval(Counts(tp=9, tn=90)), f1_interval(Counts(fn=9, tn=90))
    assert perfect.high == 1.0
    assert 0.7 < perfect.low < 1.0
    assert dead.low == 0.0
    assert 0.0 < dead.high < 0.5
    assert f1_interval(Counts(tn=5)) is None
    assert f1_interval(Counts(fp=3, tn=5)) is None


@pytest.mark.parametrize(
    ("rows", "cells"),
    [
        (400, (0.045, 0.01, 0.015)),
        (400, (0.054, 0.004, 0.006)),
        (400, (0.03, 0.02, 0.03)),
        (400, (0.17, 0.04, 0.05)),
        (2000, (0.049, 0.012, 0.012)),
    ],
)
def test_f1_interval_covers_the_truth(rows, cells):
    tp, fp, fn = cells
    truth = 2 * tp / (2 * tp + fp + fn)
    draws = np.random.default_rng(1).multinomial(rows, [*cells, 1 - sum(cells)], size=800).tolist()
    intervals = [f1_interval(Counts(*draw)) for draw in draws]
    covered = np.mean([low <= truth <= high for low, high in intervals])
    assert 0.93 <= covered <= 0.97


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=1, max_size=60))
def test_average_precision_equals_scikit_learn(rows):
    labels, scores = np.array(rows).T
    if not labels.any():
        assert average_precision(labels, scores) is None
    else:
        expected = oracle.average_precision_score(labels, scores)
        assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_continuous_and_infinite_scores():
    draw = np.random.default_rng(2)
    labels = draw.random(5000) < 0.06
    scores = draw.normal(labels * 2.0, 1.0).astype(np.float32)
    expected = oracle.average_precision_score(labels, scores)
    assert average_precision(labels, scores) == pytest.approx(expected, abs=1e-12)
    assert average_precision([1, 0, 1, 0], [np.inf, np.inf, -np.inf, -np.inf]) == 0.5
    with pytest.raises(ValueError, match="1 of 2 logits are NaN"):
        average_precision([0, 1], [0.0, np.nan])
    with pytest.raises(ValueError, match="logits have shape"):
        average_precision([0, 1], [0.0])


def test_trivial_baselines():
    labels = np.repeat([1, 0], [122, 1878])
    assert always_yes_f1(labels) == oracle.f1_score(labels, np.ones_like(labels))
    guesses = np.random.default_rng(3).random((300, ROWS)) < 122 / ROWS
    simulated = np.mean([Counts.of(labels, guess).f1 for guess in guesses])
    assert chance_f1(labels) == 0.061
    assert simulated == pytest.approx(0.061, abs=0.004)
    assert always_yes_f1([0, 0]) is None
    assert chance_f1([0, 0]) is None


def test_macro_f1_counts_what_it_leaves_out():
    assert macro_f1([0.5, None, 1.0]) == (0.75, 1)
    assert macro_f1([None]) == (None, 1)
    assert macro_f1([]) == (None, 0)


def test_importing_metrics_stays_light():
    script = "import sys, ova.metrics; print({'scipy', 'sklearn', 'pandas', 'torch'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
    assert Interval(0.1, 0.2).high == 0.2
