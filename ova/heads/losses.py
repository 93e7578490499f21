"""Targets and losses of one head.

Shape letters: N rows, B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Tensor

from ova.data.draws import MIX
from ova.heads.recipe import TrainingSettings


def mix_and_smooth(
    pixels: Tensor, labels: Tensor, draws: NDArray[np.float64], settings: TrainingSettings
) -> tuple[Tensor, Tensor]:
    """Blend every image with its neighbour in the batch (mixup, Zhang et al. 2018), and smooth labels."""
    if settings.mixup:
        share = torch.as_tensor(
            beta.ppf(draws[:, MIX], settings.mixup, settings.mixup), dtype=torch.float32, device=pixels.device
        )
        wide = share.reshape(-1, 1, 1, 1)
        pixels = wide * pixels + (1 - wide) * pixels.roll(1, 0)
        labels = share * labels + (1 - share) * labels.roll(1, 0)
    smoothing = settings.label_smoothing
    return pixels, labels * (1 - smoothing) + smoothing / 2


def validation_loss(logits: NDArray[np.float64], labels: NDArray[np.int8], pos_weight: float) -> float:
    """Return the mean weighted cross-entropy of logits (N,) in nats per row."""
    losses = np.where(labels == 1, pos_weight * np.logaddexp(0, -logits), np.logaddexp(0, logits))
    return float(losses.mean())
