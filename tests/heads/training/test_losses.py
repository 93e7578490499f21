from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.loss import AsymmetricLossMultiLabel
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import sigmoid_focal_loss

from ova.data.augment.draws import draw
from ova.heads.recipe import BalanceSettings, TrainingSettings
from ova.heads.training.losses import mix_and_smooth, training_loss, validation_loss

SETTINGS = {
    "bce": BalanceSettings(),
    "focal": BalanceSettings(loss="focal"),
    "asymmetric": BalanceSettings(loss="asymmetric"),
    "asymmetric without a clip": BalanceSettings(loss="asymmetric", asymmetric_clip=0.0),
    "weak focal": BalanceSettings(loss="focal", focal_gamma=0.3),
    "weak asymmetric": BalanceSettings(
        loss="asymmetric",
        asymmetric_gamma_positive=0.3,
        asymmetric_gamma_negative=0.3,
        asymmetric_clip=0.0,
    ),
}


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = np.random.default_rng(seed)
    logits = torch.from_numpy(generator.normal(0, 3, 64)).float()
    return logits, torch.from_numpy(generator.integers(0, 2, 64)).float()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_the_focal_loss_is_torchvisions(gamma: float) -> None:
    logits, labels = batch()
    found = training_loss(logits, labels, 3.0, BalanceSettings(loss="focal", focal_gamma=gamma))
    expected = 4 * sigmoid_focal_loss(logits, labels, alpha=3 / 4, gamma=gamma, reduction="mean")
    torch.testing.assert_close(found, expected)
    found = training_loss(logits, labels, 1.0, BalanceSettings(loss="focal", focal_gamma=gamma))
    torch.testing.assert_close(found, sigmoid_focal_loss(logits, labels, -1, gamma, "mean"))


@pytest.mark.parametrize(
    ("positive", "negative", "clip"), [(1.0, 4.0, 0.05), (0.0, 2.0, 0.2), (1.0, 3.0, 0.0)]
)
@pytest.mark.parametrize("soft", [False, True])
def test_the_asymmetric_loss_is_timms(positive: float, negative: float, clip: float, soft: bool) -> None:
    logits, labels = batch()
    labels = 0.1 + 0.8 * labels if soft else labels
    settings = BalanceSettings(
        loss="asymmetric",
        asymmetric_gamma_positive=positive,
        asymmetric_gamma_negative=negative,
        asymmetric_clip=clip,
    )
    timms = AsymmetricLossMultiLabel(gamma_neg=negative, gamma_pos=positive, clip=clip)
    expected = torch.stack(
        [timms(z.reshape(1, 1), y.reshape(1, 1)) for z, y in zip(logits, labels, strict=True)]
    )
    torch.testing.assert_close(training_loss(logits, labels, 1.0, settings), expected.mean())
    # A weight of positives counts them so many times.
    weighted = torch.where(labels == 1, 3 * expected, expected).mean()
    if not soft:
        torch.testing.assert_close(training_loss(logits, labels, 3.0, settings), weighted)


@pytest.mark.parametrize("loss", SETTINGS)
def test_a_weight_falls_on_positives_and_never_on_negatives(loss: str) -> None:
    logits = torch.tensor([-0.4, 0.3])
    for label, factor in ((1.0, 5.0), (0.0, 1.0)):
        labels = torch.full((2,), label)
        plain, weighted = (training_loss(logits, labels, weight, SETTINGS[loss]) for weight in (1.0, 5.0))
        torch.testing.assert_close(weighted, factor * plain)


def test_losses_that_hold_nothing_back_are_cross_entropy_on_soft_targets_too() -> None:
    logits, labels = batch()
    targets = 0.05 + 0.9 * labels
    expected = binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor(3.0))
    nothing = BalanceSettings(
        loss="asymmetric", asymmetric_gamma_positive=0.0, asymmetric_gamma_negative=0.0, asymmetric_clip=0.0
    )
    torch.testing.assert_close(training_loss(logits, targets, 3.0, nothing), expected)
    hardly = BalanceSettings(loss="focal", focal_gamma=1e-9)
    torch.testing.assert_close(training_loss(logits, targets, 3.0, hardly), expected)
    torch.testing.assert_close(training_loss(logits, targets, 3.0, SETTINGS["bce"]), expected)


@given(
    st.sampled_from(sorted(SETTINGS)),
    st.sampled_from([-1e4, -120.0, -20.0, 0.0, 20.0, 120.0, 1e4]),
    st.sampled_from([0.0, 0.05, 0.5, 1.0]),
)
def test_no_logit_makes_a_loss_or_its_gradient_infinite(loss: str, logit: float, target: float) -> None:
    logits = torch.tensor([logit], requires_grad=True)
    training_loss(logits, torch.tensor([target]), 7.0, SETTINGS[loss]).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", SETTINGS)
def test_a_positive_far_on_the_wrong_side_is_still_pulled_back(loss: str) -> None:
    logits = torch.tensor([-40.0], requires_grad=True)
    training_loss(logits, torch.tensor([1.0]), 1.0, SETTINGS[loss]).backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(-1.0, abs=1e-3)


def test_the_validation_loss_is_torchs() -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 8, 200), generator.integers(0, 2, 200).astype(np.int8)
    expected = binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(labels).double(), pos_weight=torch.tensor(3.7).double()
    )
    assert validation_loss(logits, labels, 3.7) == pytest.approx(float(expected), rel=1e-6)


def test_mixing_blends_pixels_and_labels_alike() -> None:
    pixels = torch.arange(6.0).reshape(6, 1, 1, 1)
    labels = torch.tensor([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    draws = draw(np.arange(6, dtype=np.uint64), seed=1, epoch=2)
    mixed, targets = mix_and_smooth(pixels, labels, draws, TrainingSettings(mixup=0.4))
    share = (mixed.flatten() - pixels.flatten().roll(1)) / (pixels.flatten() - pixels.flatten().roll(1))
    torch.testing.assert_close(targets, share * labels + (1 - share) * labels.roll(1))
    assert ((share >= 0) & (share <= 1)).all()


def test_smoothing_moves_targets_and_nothing_is_changed_when_off() -> None:
    pixels, labels = torch.rand(2, 1, 2, 2), torch.tensor([0.0, 1.0])
    draws = draw(np.arange(2, dtype=np.uint64), seed=1, epoch=2)
    same, targets = mix_and_smooth(pixels, labels, draws, TrainingSettings())
    assert same is pixels
    assert targets.tolist() == [0.0, 1.0]
    _, targets = mix_and_smooth(pixels, labels, draws, TrainingSettings(label_smoothing=0.1))
    torch.testing.assert_close(targets, torch.tensor([0.05, 0.95]))
