"""Gaussian noise whose every value is a pure function of its image's seed and its place in the image.

The random bits are those of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
generators", OOPSLA 2014), which is a mixture of a counter: integers alone, so the same on every device. Each
64 bits make four values, looked up in a table of 65,536 quantiles of the normal distribution (it ends at 4.3
deviations). That takes half the time of a generator per image.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from ova.data.augment.draws import NOISE, NOISE_SEED
from ova.data.augment.flip import Draws
from ova.data.augment.recipe import AugmentSettings

_GOLDEN, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def noise_deviations(draws: Draws, settings: AugmentSettings) -> NDArray[np.float64]:
    """Return (B,) standard deviations in grey levels of 255."""
    return 255 * settings.noise * draws[:, NOISE]


def noise_seeds(draws: Draws) -> NDArray[np.int64]:
    """Return (B,) seeds of 53 bits."""
    return (draws[:, NOISE_SEED] * 2.0**53).astype(np.int64)


def add_noise(pixels: Tensor, seeds: Tensor, deviations: Tensor) -> Tensor:
    """Add noise of these standard deviations.

    Args:
        pixels: (B, C, H, W) float32, values 0..255.
        seeds: (B,) int64.
        deviations: (B,) float32.

    Returns:
        (B, C, H, W) float32, values 0..255.
    """
    count = pixels[0].numel()
    noise = standard_normal(seeds, count).reshape(pixels.shape)
    return noise.mul_(deviations.reshape(-1, 1, 1, 1)).add_(pixels).clamp_(0, 255)


def standard_normal(seeds: Tensor, count: int) -> Tensor:
    """Return (B, count) float32 values of mean 0 and deviation 1; row n depends on seeds[n] alone."""
    words = split_mix(seeds, -(-count // 4))
    quantile = words.view(torch.int16)[:, :count].to(torch.int32).add_(2**15)
    values = _quantiles(str(seeds.device)).index_select(0, quantile.reshape(-1))
    return values.reshape(len(seeds), count)


def split_mix(seeds: Tensor, count: int) -> Tensor:
    """Return (B, count) int64: the first outputs of SplitMix64 from these seeds, in two's complement."""
    state = torch.arange(1, count + 1, device=seeds.device) * _signed(_GOLDEN) + seeds.reshape(-1, 1)
    state = (state ^ _shifted(state, 30)) * _signed(_FIRST)
    state = (state ^ _shifted(state, 27)) * _signed(_SECOND)
    return state ^ _shifted(state, 31)


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


def _shifted(words: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros; torch repeats the sign."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)


@cache
def _quantiles(device: str) -> Tensor:
    middles = (np.arange(2**16) + 0.5) / 2**16
    return torch.from_numpy(ndtri(middles).astype(np.float32)).to(device)
