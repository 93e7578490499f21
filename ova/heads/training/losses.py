"""Targets and losses of one head.

Shape letters: N rows, B images of a batch, C channels, H height, W width.

The focal and the asymmetric loss are own lines: torchvision's has no weight of positives that agrees with
that of cross-entropy on soft targets, and timm's cuts probabilities at 1e-8, which leaves a positive that is
far on the wrong side without a gradient. Tests compare with both where they agree.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import beta
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from ova.data.augment.draws import MIX
from ova.heads.recipe import BalanceSettings, TrainingSettings

# Below this a power of a probability has no gradient worth having, and could have an infinite one.
_SMALLEST = 1e-12


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


def training_loss(logits: Tensor, targets: Tensor, pos_weight: float, settings: BalanceSettings) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        logits: (B,) float32.
        targets: (B,) within 0..1; soft ones come from mixup and label smoothing.
        pos_weight: Weight of the positive part.
        settings: Which loss, and its numbers.
    """
    if settings.loss == "focal":
        return _focal(logits, targets, pos_weight, settings.focal_gamma).mean()
    if settings.loss == "asymmetric":
        return _asymmetric(logits, targets, pos_weight, settings).mean()
    weight = torch.tensor(pos_weight, device=logits.device)
    return binary_cross_entropy_with_logits(logits, targets, pos_weight=weight)


def _focal(logits: Tensor, targets: Tensor, pos_weight: float, gamma: float) -> Tensor:
    """Cross-entropy times miss ** gamma, miss = 1 - probability of the target (Lin et al. 2017)."""
    miss = targets * torch.sigmoid(-logits) + (1 - targets) * torch.sigmoid(logits)
    weight = torch.tensor(pos_weight, device=logits.device)
    entropy = binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="none")
    return entropy * miss.clamp(min=_SMALLEST) ** gamma


def _asymmetric(logits: Tensor, targets: Tensor, pos_weight: float, settings: BalanceSettings) -> Tensor:
    """Focal loss with a gamma per class, and negatives' probabilities less clip (Ridnik et al. 2021)."""
    gamma = settings.asymmetric_gamma_positive * targets + settings.asymmetric_gamma_negative * (1 - targets)
    clip = settings.asymmetric_clip
    yes, no = torch.sigmoid(logits), (torch.sigmoid(-logits) + clip).clamp(max=1)
    log_no = torch.log(no) if clip else logsigmoid(-logits)
    entropy = pos_weight * targets * logsigmoid(logits) + (1 - targets) * log_no
    hit = targets * yes + (1 - targets) * no
    return -entropy * (1 - hit).clamp(min=_SMALLEST) ** gamma


def validation_loss(logits: NDArray[np.float64], labels: NDArray[np.int8], pos_weight: float) -> float:
    """Return the mean weighted cross-entropy of logits (N,) in nats per row."""
    losses = np.where(labels == 1, pos_weight * np.logaddexp(0, -logits), np.logaddexp(0, logits))
    return float(losses.mean())
