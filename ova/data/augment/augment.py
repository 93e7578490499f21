"""All steps of an augmentation in their order, on the device.

On one machine's CPU, an augmented image has the same bits in every batch: whatever its neighbours, their
order, the size of the batch, the memory order of the channels and the number of threads. Elementwise
operations round each value alone, means are sums of integers, and no library picks an algorithm by the size
of the batch. Between devices or machines, mirrors, quarter turns, shifts and the random bits of the noise are
exact; the rest agrees to rounding.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment.blur import blur, blur_weights, sharpen, sharpness_factors
from ova.data.augment.colour_jitter import change_light, hue_turns, light_factors, turn_hue
from ova.data.augment.erase import erase, erased_boxes
from ova.data.augment.flip import Draws, move
from ova.data.augment.noise import add_noise, noise_deviations, noise_seeds
from ova.data.augment.recipe import AugmentSettings
from ova.data.augment.warp import source_positions, warp

Step = Callable[[Tensor, slice], Tensor]

_CHUNK = 2**17  # values at a time on a CPU: what a step writes, the next one finds in the cache


def augment(pixels: Tensor, draws: Draws, settings: AugmentSettings) -> Tensor:
    """Augment a batch: geometry, then blur and sharpness, light and colour, noise, erasing.

    Args:
        pixels: (B, C, H, W) uint8, or float32 with values 0..255; C is 1 or 3.
        draws: (B, DRAWS) uniform numbers of these images in this epoch.
        settings: What is on.

    Returns:
        A batch of the same shape, range and memory order; `pixels` itself if nothing is on. It is float32, or
        uint8 if `pixels` is and nothing more than mirrors, turns and whole shifts is on.

    Raises:
        ValueError: Quarter turns of images that are not square.
    """
    if settings.quarter_turns and pixels.shape[2] != pixels.shape[3]:
        raise ValueError(f"quarter turns need square images, got {tuple(pixels.shape)}")
    if not settings.resamples:
        pixels = move(pixels, draws, settings)
    steps = list(_steps(pixels, draws, settings))
    if not steps:
        return pixels
    result = torch.empty_like(pixels, dtype=torch.float32)
    for rows in _chunks(pixels):
        part = pixels[rows].to(torch.float32).contiguous()
        for step in steps:
            part = step(part, rows)
        result[rows] = part
    return result


def _chunks(pixels: Tensor) -> Iterator[slice]:
    size = len(pixels) if pixels.device.type != "cpu" else _CHUNK // max(1, pixels[:1].numel())
    for start in range(0, len(pixels), max(1, size)):
        yield slice(start, start + max(1, size))


def _steps(like: Tensor, draws: Draws, settings: AugmentSettings) -> Iterator[Step]:
    """Compute the parameters of all images; give functions of (some of the images, their rows)."""
    height, width = like.shape[2:]

    def tensor(parameters: NDArray[Any], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.from_numpy(parameters).to(like.device, dtype)

    if settings.resamples:
        sources = tensor(source_positions(draws, settings, height, width))
        yield lambda part, rows: warp(part, sources[rows])
    if settings.blur:
        weights = tensor(blur_weights(draws, settings))
        yield lambda part, rows: blur(part, weights[rows])
    if settings.sharpness:
        sharpness = tensor(sharpness_factors(draws, settings))
        yield lambda part, rows: sharpen(part, sharpness[rows])
    if settings.exposure or settings.contrast or settings.brightness or settings.saturation:
        light = tensor(light_factors(draws, settings))
        yield lambda part, rows: change_light(part, light[rows], settings)
    if settings.hue and like.shape[1] == 3:
        turns = tensor(hue_turns(draws, settings))
        yield lambda part, rows: turn_hue(part, turns[rows])
    if settings.noise:
        seeds = tensor(noise_seeds(draws), torch.int64)
        deviations = tensor(noise_deviations(draws, settings))
        yield lambda part, rows: add_noise(part, seeds[rows], deviations[rows])
    if settings.erasing:
        boxes = tensor(erased_boxes(draws, settings, height, width), torch.int64)
        yield lambda part, rows: erase(part, boxes[rows])
