from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ova.analysis import baselines as classical
from ova.analysis.baselines import BASELINE_KINDS, GreyPixels, classical_baseline
from ova.analysis.measures.f1 import measured_f1
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.metrics import Counts


def draw(seed, rows=120, signal=0.5):
    """Grey noise of 6 x 6; the label is a bright corner."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(rows) < 0.25).astype(np.int8)
    values = generator.random((rows, 36)).astype(np.float32)
    values[:, :8] += signal * labels[:, None]
    return GreyPixels(values, labels)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr(classical, "_TREES", 30)


LIKE = calibrate_scores(np.linspace(-3, 3, 60), np.repeat([0, 1], 30))


@pytest.mark.parametrize("kind", BASELINE_KINDS)
def test_models_find_what_is_there_the_same_every_time_and_nothing_in_noise(kind):
    members = [(draw(1), draw(2))]
    found = classical_baseline(kind, members, draw(3), LIKE)
    assert found.name == kind
    assert found.f1.value > 0.75
    assert found.average_precision.value > 0.85
    again = classical_baseline(kind, members, draw(3), LIKE)
    assert (again.f1, again.average_precision) == (found.f1, found.average_precision)
    noise = classical_baseline(kind, [(draw(1, signal=0), draw(2, signal=0))], draw(3, signal=0), LIKE)
    if noise.f1.value is not None:
        assert noise.f1.value < 0.6


def test_threshold_comes_from_held_out_rows_and_figures_from_test_rows():
    training, rest, test = draw(1), draw(2), draw(3)
    model = make_pipeline(StandardScaler(), SVC(class_weight="balanced")).fit(
        training.values, training.labels
    )
    threshold = calibrate_scores(model.decision_function(rest.values), rest.labels).threshold
    scores = model.decision_function(test.values)
    found = classical_baseline("support vector machine", [(training, rest)], test, LIKE)
    assert found.f1 == measured_f1(Counts.of(test.labels, scores.astype(np.float32) >= threshold))
    assert found.average_precision.value == pytest.approx(average_precision_score(test.labels, scores))


def test_scores_of_folds_are_pooled_for_the_threshold_and_averaged_for_the_test():
    parts, test = [draw(1), draw(2), draw(4)], draw(3)
    members = []
    for number, part in enumerate(parts):
        others = [other for other in range(3) if other != number]
        values = np.concatenate([parts[other].values for other in others])
        members.append((GreyPixels(values, np.concatenate([parts[other].labels for other in others])), part))
    scores, held_out = np.zeros(120), []
    for training, rest in members:
        model = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
        model.fit(training.values, training.labels)
        scores += model.decision_function(test.values) / 3
        held_out.append(model.decision_function(rest.values))
    labels = np.concatenate([part.labels for part in parts])
    threshold = calibrate_scores(np.concatenate(held_out), labels).threshold
    found = classical_baseline("support vector machine", members, test, LIKE)
    assert found.f1 == measured_f1(Counts.of(test.labels, scores.astype(np.float32) >= threshold))


def test_many_rows_are_sampled_with_all_scarce_positives(monkeypatch):
    monkeypatch.setattr(classical, "MOST_ROWS", 100)
    many = draw(5, rows=700)
    many.labels[:] = 0
    many.labels[::20] = 1
    kept = classical._at_most(many)
    assert (len(kept.labels), kept.labels.sum()) == (100, 35)
    many.labels[:] = np.arange(700) % 2
    assert classical._at_most(many).labels.sum() == 50
    many.labels[:] = 1
    many.labels[:10] = 0
    assert (classical._at_most(many).labels == 0).sum() == 10


def test_what_cannot_be_trained_or_ranks_backwards_says_why():
    one = draw(1)
    one.labels[:] = 0
    found = classical_baseline("random forest", [(one, draw(2))], draw(3), LIKE)
    assert (found.f1.value, found.seconds) == (None, None)
    assert "one kind" in found.f1.reason
    turned = draw(2)
    turned.labels[:] = 1 - turned.labels
    found = classical_baseline("random forest", [(draw(1), turned)], draw(3), LIKE)
    assert "ranks backwards" in found.f1.reason
    assert found.average_precision.value > 0.8
