"""Figures by which runs and recipes are chosen, against scikit-learn."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, log_loss

from ova.errors import DataError, RecipeError
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.selection import measure_held_out, read_criterion

RANDOM = np.random.default_rng(4)
LABELS = (RANDOM.random(400) < 0.2).astype(np.int8)
LOGITS = RANDOM.normal(np.where(LABELS, 1.5, -1.5), 1.2)
IMAGES = [f"{number}.png" for number in range(400)]


def test_average_precision_is_that_of_scikit_learn():
    found = measure_held_out(IMAGES, LABELS, LOGITS)
    assert found.average_precision == pytest.approx(average_precision_score(LABELS, LOGITS))
    assert (found.rows, found.positives) == (400, LABELS.sum())
    assert found.gain("average-precision") == found.figure("average-precision") == found.average_precision


def test_log_loss_is_that_of_a_calibration_on_other_rows():
    found = measure_held_out(IMAGES, LABELS, LOGITS)
    # Two parameters cost about 1/n nats each; the apparent loss of the true model is the yardstick.
    slope, intercept = 3.0 / 1.44, np.log(LABELS.mean() / (1 - LABELS.mean()))
    truth = log_loss(LABELS, 1 / (1 + np.exp(-(slope * LOGITS + intercept))))
    assert truth < found.log_loss + 0.005 < truth + 0.03
    assert found.gain("log-loss") == -found.log_loss


@pytest.mark.slow
def test_log_loss_is_that_of_the_probabilities_that_the_head_would_get():
    """Curves included: each part is judged by the whole calibration of the others."""
    draw = np.random.default_rng(3)
    scores = draw.uniform(-6.0, 6.0, 4000)
    share = np.select([scores < -3, scores < 0, scores < 3], [0.01, 0.3, 0.35], 0.95)
    labels = (draw.random(4000) < share).astype(np.int8)
    images = [f"{number}.png" for number in range(4000)]
    part = np.array([hashlib.sha256(image.encode()).digest()[0] % 5 for image in images])
    losses, lines = np.empty(4000), np.empty(4000)
    for number in range(5):
        inside = part == number
        head = calibrate_scores(scores[~inside], labels[~inside], pos_weight=2.0)
        assert head.curve is not None
        for found, odds in (
            (losses, head.calibrated(scores[inside])),
            (lines, head.slope * scores[inside] + head.intercept),
        ):
            found[inside] = np.logaddexp(0.0, odds) - labels[inside] * odds
    loss = measure_held_out(images, labels, scores, shift=np.log(2.0)).log_loss
    assert loss == pytest.approx(losses.mean(), abs=1e-12)
    assert loss < lines.mean() - 0.02


def test_scale_and_shift_are_no_merit():
    plain = measure_held_out(IMAGES, LABELS, LOGITS)
    shifted = measure_held_out(IMAGES, LABELS, LOGITS + 1.4, shift=1.4)
    assert shifted.average_precision == pytest.approx(plain.average_precision)
    assert shifted.log_loss == pytest.approx(plain.log_loss, abs=0.002)


def test_the_order_of_rows_does_not_matter():
    order = np.random.default_rng(0).permutation(400)
    turned = measure_held_out([IMAGES[row] for row in order], LABELS[order], LOGITS[order])
    assert turned.log_loss == pytest.approx(measure_held_out(IMAGES, LABELS, LOGITS).log_loss, rel=1e-9)


def test_a_head_that_ranks_backwards_has_no_log_loss_and_comes_last():
    found = measure_held_out(IMAGES, LABELS, -LOGITS * 3)
    assert found.log_loss is None
    assert found.gain("log-loss") == -np.inf


def test_one_kind_of_rows_is_refused():
    with pytest.raises(DataError, match="3 held-out rows hold 0 positives"):
        measure_held_out(IMAGES[:3], np.zeros(3, np.int8), LOGITS[:3])


def test_criteria_by_name():
    assert read_criterion("log-loss") == "log-loss"
    with pytest.raises(RecipeError, match="'F1' is no criterion; choose from average-precision, log-loss"):
        read_criterion("F1")
