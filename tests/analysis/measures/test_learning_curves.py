from __future__ import annotations

import numpy as np
import pytest

from ova.analysis.measures.learning_curves import diagnose
from ova.errors import ArtefactError

EPOCHS = np.arange(1, 31)
FALLING = 0.1 + 0.6 * np.exp(-EPOCHS / 4)
PRECISION = 0.9 - 0.5 * np.exp(-EPOCHS / 4)


def history(train=FALLING, validation=FALLING + 0.02, precision=PRECISION, member=0):
    rows = zip(train, validation, precision, strict=True)
    return [
        {
            "member": str(member),
            "epoch": str(epoch),
            "train_loss": repr(float(one)),
            "validation_loss": "" if np.isnan(other) else repr(float(other)),
            "validation_average_precision": "" if np.isnan(third) else repr(float(third)),
        }
        for epoch, (one, other, third) in enumerate(rows, start=1)
    ]


def kinds(rows) -> list[str]:
    return [finding.kind for finding in diagnose(rows, "crack")]


def test_losses_that_fall_and_flatten_are_sound():
    noise = np.random.default_rng(0).normal(0, 0.004, (2, 30))
    assert kinds(history(FALLING + noise[0], FALLING + 0.02 + noise[1])) == ["sound"]


def test_noise_of_a_loss_near_zero_is_not_divergence():
    noisy = 0.7 * np.exp(-EPOCHS.astype(float)) + np.random.default_rng(0).uniform(0.0005, 0.003, 30)
    assert "diverging" not in kinds(history(noisy))


def test_over_fit_is_seen_and_told_in_figures():
    validation = np.where(EPOCHS < 10, FALLING + 0.02, FALLING[8] + 0.02 + 0.02 * (EPOCHS - 9))
    (finding,) = diagnose(history(validation=validation), "crack")
    assert finding.kind == "over-fit"
    assert "lowest around epoch 8" in finding.text
    assert "rose to 0.6" in finding.text
    assert "augment more" in finding.text


def test_losses_that_rise_together_are_no_over_fit():
    rising = np.where(EPOCHS < 10, FALLING, FALLING[8] * 1.05 ** (EPOCHS - 9))
    assert kinds(history(rising, rising + 0.02)) == ["diverging"]


def test_gap_without_a_rise_is_over_fit_too():
    (finding,) = diagnose(history(train=FALLING - 0.08, validation=FALLING + 0.15), "crack")
    assert finding.kind == "over-fit"
    assert "times the training loss" in finding.text


@pytest.mark.parametrize(
    "train",
    [
        np.where(EPOCHS < 12, FALLING, FALLING[10] * 1.2 ** (EPOCHS - 11)),
        np.where(EPOCHS == 7, 40.0, FALLING),
        0.7 + 0.02 * EPOCHS,
    ],
)
def test_divergence_is_seen(train):
    findings = diagnose(history(train=train, validation=FALLING[-1] + 0 * FALLING), "crack")
    assert findings[0].kind == "diverging"
    assert "learning_rate" in findings[0].text


def test_training_that_ends_while_it_improves_is_too_short():
    falling = 0.7 - 0.015 * EPOCHS
    (finding,) = diagnose(history(falling, falling + 0.02, 0.4 + 0.015 * EPOCHS), "crack")
    assert finding.kind == "too short"
    assert "epoch is 30 of 30" in finding.text
    assert kinds(history()[:2]) == ["too short"]


def test_training_that_was_long_enough_is_not_too_short():
    late = PRECISION.copy()
    late[-1] = 0.99  # the best epoch is the last, by chance, on a flat loss
    assert kinds(history(precision=late)) == ["sound"]


def test_loss_that_does_not_fall_is_not_learning():
    flat = 0.69 + 0.001 * np.cos(EPOCHS)
    assert kinds(history(flat, flat, 0 * PRECISION + 0.06)) == ["not learning"]


def test_networks_are_counted():
    rising = np.where(EPOCHS < 10, FALLING + 0.02, FALLING[8] + 0.02 * (EPOCHS - 8))
    rows = [row for member in range(3) for row in history(member=member)]
    rows += history(validation=rising, member=3) + history(validation=rising, member=4)
    (finding,) = diagnose(rows, "crack")
    assert (finding.kind, finding.text[:20]) == ("over-fit", "In 2 of 5 networks, ")
    assert diagnose(rows[::-1], "crack") == (finding,)


def test_validation_without_positives_is_left_out():
    nothing = np.full(30, np.nan)
    assert kinds(history(precision=nothing)) == ["sound"]
    assert kinds(history(validation=nothing)) == ["sound"]
    assert diagnose([], "crack") == ()


@pytest.mark.parametrize("change", [{"epoch": "first"}, {"train_loss": "much"}, {"member": ""}])
def test_damaged_history_is_refused(change):
    rows = history()
    rows[3] |= change
    with pytest.raises(ArtefactError, match="history of head crack is damaged"):
        diagnose(rows, "crack")
    with pytest.raises(ArtefactError, match="damaged"):
        diagnose([{"epoch": "1"}], "crack")
