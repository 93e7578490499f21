"""Blur and sharpness, as sums over neighbours.

Every sum is taken in one order, whatever the batch: a convolution of a library picks its algorithm, and with
it its rounding, by the size of the batch and the number of threads.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment.draws import BLUR, SHARPNESS
from ova.data.augment.flip import Draws, mirrored
from ova.data.augment.recipe import AugmentSettings


def blur_weights(draws: Draws, settings: AugmentSettings) -> NDArray[np.float64]:
    """Return (B, R + 1) weights of the neighbours at distance 0..R along a line, R three deviations away."""
    deviation = settings.blur * draws[:, BLUR]
    distance = np.arange(math.ceil(3 * settings.blur) + 1)
    weights = np.exp(-0.5 * (distance / np.maximum(deviation, 1e-6)[:, None]) ** 2)
    return weights / (2 * weights.sum(axis=1, keepdims=True) - 1)


def blur(pixels: Tensor, weights: Tensor) -> Tensor:
    """Blur images, mirrored at the border, first down, then across.

    Args:
        pixels: (B, C, H, W) float32.
        weights: (B, R + 1) float32 of `blur_weights`.

    Returns:
        (B, C, H, W) float32.
    """
    return _smooth(_smooth(pixels, weights, 2), weights, 3)


def sharpness_factors(draws: Draws, settings: AugmentSettings) -> NDArray[np.float64]:
    """Return (B,) factors, 1 for no change."""
    return 1 + settings.sharpness * (2 * draws[:, SHARPNESS] - 1)


def sharpen(pixels: Tensor, factors: Tensor) -> Tensor:
    """Scale the difference between each pixel and its smoothed neighbourhood; the border row stays.

    The smoothing is Pillow's SMOOTH: a 3 x 3 mean in which the middle counts five times.

    Args:
        pixels: (B, C, H, W) float32, values 0..255.
        factors: (B,) float32; 0 smooths, 1 changes nothing, 2 sharpens.

    Returns:
        (B, C, H, W) float32, values 0..255.
    """
    if min(pixels.shape[2:]) < 3:
        return pixels
    middle = pixels[:, :, 1:-1, 1:-1]
    lines = pixels[:, :, :-2] + pixels[:, :, 1:-1] + pixels[:, :, 2:]
    detail = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    detail.add_(middle * 4).mul_(-1 / 13).add_(middle).mul_((factors - 1).reshape(-1, 1, 1, 1))
    result = pixels.clone()
    result[:, :, 1:-1, 1:-1] += detail
    return result.clamp_(0, 255)


def _smooth(pixels: Tensor, weights: Tensor, axis: int) -> Tensor:
    length, reach = pixels.shape[axis], weights.shape[1] - 1
    positions = torch.from_numpy(mirrored(np.arange(-reach, length + reach), length))
    padded = pixels.index_select(axis, positions.to(pixels.device))
    total = pixels * weights[:, 0].reshape(-1, 1, 1, 1)
    for distance in range(1, reach + 1):
        pair = padded.narrow(axis, reach - distance, length) + padded.narrow(axis, reach + distance, length)
        total += pair.mul_(weights[:, distance].reshape(-1, 1, 1, 1))
    return total
