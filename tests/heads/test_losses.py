from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from ova.data.draws import draw
from ova.heads.losses import mix_and_smooth, validation_loss
from ova.heads.recipe import TrainingSettings


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
