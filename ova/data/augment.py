"""Augmentation as batched tensor work, a pure function of each image and its draws.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment_recipe import AugmentSettings
from ova.data.draws import (
    BRIGHTNESS,
    CONTRAST,
    FLIP_COLUMNS,
    FLIP_ROWS,
    SHIFT_COLUMNS,
    SHIFT_ROWS,
    TURN,
)


def augment(pixels: Tensor, draws: NDArray[np.float64], settings: AugmentSettings) -> Tensor:
    """Augment a batch.

    Args:
        pixels: (B, C, H, W) float32, values 0..255.
        draws: (B, DRAWS) uniform numbers of these images in this epoch.
        settings: What is on.

    Returns:
        A batch of the same shape and range.

    Raises:
        ValueError: Quarter turns of images that are not square.
    """
    uniform = torch.as_tensor(draws, dtype=torch.float32, device=pixels.device)
    if settings.flips:
        pixels = _where(uniform[:, FLIP_ROWS] < 0.5, pixels.flip(2), pixels)
        pixels = _where(uniform[:, FLIP_COLUMNS] < 0.5, pixels.flip(3), pixels)
    if settings.quarter_turns:
        if pixels.shape[2] != pixels.shape[3]:
            raise ValueError(f"quarter turns need square images, got {tuple(pixels.shape)}")
        turns = (uniform[:, TURN] * 4).long()
        for quarter in (1, 2, 3):
            pixels = _where(turns == quarter, pixels.rot90(quarter, (2, 3)), pixels)
    if settings.shift:
        pixels = _shift(pixels, uniform[:, [SHIFT_ROWS, SHIFT_COLUMNS]], settings.shift)
    if settings.brightness or settings.contrast:
        factor = 1 + settings.contrast * (2 * uniform[:, CONTRAST] - 1).reshape(-1, 1, 1, 1)
        offset = 255 * settings.brightness * (2 * uniform[:, BRIGHTNESS] - 1).reshape(-1, 1, 1, 1)
        mean = pixels.mean((1, 2, 3), keepdim=True)
        pixels = ((pixels - mean) * factor + mean + offset).clamp(0, 255)
    return pixels


def _where(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(condition.reshape(-1, 1, 1, 1), yes, no)


def _shift(pixels: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Move each image by whole pixels, mirrored at the border (the border row itself is not doubled)."""
    batch, channels, height, width = pixels.shape
    rows = _mirrored(torch.round((2 * uniform[:, 0] - 1) * share * height), height)
    columns = _mirrored(torch.round((2 * uniform[:, 1] - 1) * share * width), width)
    image = torch.arange(batch, device=pixels.device).reshape(-1, 1, 1, 1)
    channel = torch.arange(channels, device=pixels.device).reshape(1, -1, 1, 1)
    return pixels[image, channel, rows.reshape(batch, 1, height, 1), columns.reshape(batch, 1, 1, width)]


def _mirrored(offsets: Tensor, length: int) -> Tensor:
    """Return (B, length) source positions of a move by `offsets` (B,)."""
    position = torch.arange(length, device=offsets.device).reshape(1, -1) + offsets.long().reshape(-1, 1)
    folded = position.abs() % max(2 * length - 2, 1)
    return torch.where(folded >= length, 2 * length - 2 - folded, folded)
