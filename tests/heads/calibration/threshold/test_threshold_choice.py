"""The threshold half of a calibration is the threshold of the calibration, without the cost of its other half."""

from __future__ import annotations

import numpy as np
import pytest

from ova.errors import DataError, RecipeError
from ova.heads.calibration import calibrate_scores as calibrate
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask, choose_threshold


def rows(seed=0, positives=150, total=1500):
    draw = np.random.default_rng(seed)
    labels = (np.arange(total) < positives).astype(np.int8)
    return draw.standard_t(3, total) + 2.5 * labels, labels


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "plugin", "pos_weight": 9.0, "proper_loss": False},
        {"method": "argmax", "objective": "cost 3:1"},
        {"method": "bagged", "prior": 0.02},
        {"objective": "recall >= 0.9", "confidence": 0.8},
        {"objective": "recall >= 0.999"},
    ],
)
def test_it_is_that_of_the_whole_calibration(options):
    logits, labels = rows()
    whole, chosen = (
        calibrate_scores(logits, labels, **options),
        choose_threshold(logits, labels, ThresholdTask(**options)),
    )
    assert (chosen.threshold, chosen.low, chosen.high) == (
        whole.threshold,
        whole.threshold_low,
        whole.threshold_high,
    )
    assert (chosen.method, chosen.note, chosen.prior) == (whole.method, whole.note, options.get("prior"))
    assert (chosen.line.slope, chosen.line.intercept) == (whole.slope, whole.intercept)
    near = np.concatenate([logits, np.nextafter([whole.threshold] * 2, [-9.0, 9.0])])
    np.testing.assert_array_equal(chosen.decide(near), whole.decide(near))


def test_no_curve_is_fitted_for_it(monkeypatch):
    asked = []
    monkeypatch.setattr(calibrate, "choose_curve", asked.append)
    choose_threshold(*rows())
    assert asked == []
    calibrate_scores(*rows())
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("logits", "labels", "why"),
    [
        (np.arange(30.0), (np.arange(30) >= 26).astype(int), "4 positives, at least 5 needed"),
        (np.arange(30.0), np.ones(30), "no negatives"),
        (np.ones(30), np.arange(30) % 2, "all logits are equal"),
    ],
)
def test_on_poor_rows_the_default_stays(logits, labels, why):
    chosen = choose_threshold(logits, labels, ThresholdTask(pos_weight=4.0, prior=0.3))
    assert (chosen.threshold, chosen.method, chosen.prior) == (0.0, "default", None)
    assert chosen.note == f"threshold left at probability 0.5: {why}"
    assert (chosen.line.slope, chosen.line.intercept) == (1.0, -np.log(4.0))


def test_wrong_input_is_refused():
    logits, labels = rows()
    with pytest.raises(RecipeError, match="unknown calibration method 'best'"):
        choose_threshold(logits, labels, ThresholdTask(method="best"))
    with pytest.raises(DataError, match="backwards"):
        choose_threshold(-5 * logits, labels)
