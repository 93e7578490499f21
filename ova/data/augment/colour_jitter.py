"""Exposure, contrast, brightness, saturation and hue.

The first four are one sum per pixel: gain x value + share x grey + offset. Nothing is cut off in between.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment.draws import BRIGHTNESS, CONTRAST, EXPOSURE, HUE, SATURATION
from ova.data.augment.flip import Draws
from ova.data.augment.recipe import AugmentSettings

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow and `ova.data.images.decode.luma`
_STEPS = 256  # per grey level, in exact sums


def light_factors(draws: Draws, settings: AugmentSettings) -> NDArray[np.float64]:
    """Return (B, 4): factors of exposure, contrast and saturation (1 is no change), and what is added."""
    strengths = (settings.exposure, settings.contrast, settings.saturation, settings.brightness)
    either_way = 2 * draws[:, [EXPOSURE, CONTRAST, SATURATION, BRIGHTNESS]] - 1
    return either_way * strengths * (1, 1, 1, 255) + (1, 1, 1, 0)


def change_light(pixels: Tensor, factors: Tensor, settings: AugmentSettings) -> Tensor:
    """Apply exposure, contrast (about the mean grey), brightness and saturation, in this order.

    Args:
        pixels: (B, C, H, W) float32, values 0..255; C is 1 or 3.
        factors: (B, 4) float32 of `light_factors`.
        settings: What is on.

    Returns:
        (B, C, H, W) float32, values 0..255.
    """
    exposure, contrast, saturation, offset = (part.reshape(-1, 1, 1, 1) for part in factors.unbind(1))
    gain = exposure * contrast
    if settings.contrast:
        offset = offset + (1 - contrast) * (exposure * grey(exact_means(pixels)))
    if settings.saturation and pixels.shape[1] == 3:
        rest = grey(pixels).mul_(gain * (1 - saturation)).add_(offset)
        return (pixels * (gain * saturation)).add_(rest).clamp_(0, 255)
    return (pixels * gain).add_(offset).clamp_(0, 255)


def hue_turns(draws: Draws, settings: AugmentSettings) -> NDArray[np.float64]:
    """Return (B,) shares of the colour circle, -0.5 to 0.5."""
    return settings.hue * (2 * draws[:, HUE] - 1)


def turn_hue(pixels: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of colour images in HSV (A. R. Smith, "Color gamut transform pairs", 1978).

    Largest and smallest channel value of a pixel stay; which channel has which, and the middle one, follow
    from the hue.

    Args:
        pixels: (B, 3, H, W) float32, values 0..255.
        turns: (B,) float32, shares of the colour circle.

    Returns:
        (B, 3, H, W) float32, values 0..255.
    """
    red, green, blue = pixels.unbind(1)
    largest = pixels.amax(1)
    spread = largest - pixels.amin(1)
    divisor = torch.where(spread > 0, spread, 1)
    hue = torch.where(
        largest == red,
        (green - blue) / divisor,
        torch.where(largest == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    hue += (6 * turns).reshape(-1, 1, 1)
    channels = []
    for sixths in (5, 3, 1):
        place = (hue + sixths).remainder_(6)
        missing = torch.minimum(place, 4 - place).clamp_(0, 1)
        channels.append(largest - spread * missing)
    return torch.stack(channels, dim=1)


def grey(pixels: Tensor) -> Tensor:
    """Return (B, 1, H, W): how bright each pixel looks."""
    if pixels.shape[1] == 1:
        return pixels.clone()
    red, green, blue = (pixels[:, channel : channel + 1] * share for channel, share in enumerate(_GREY))
    return red.add_(green).add_(blue)


def exact_means(pixels: Tensor) -> Tensor:
    """Return (B, C, 1, 1) float32 mean values, to 1/512 of a grey level.

    Values are rounded to 1/256 first: sums of integers have no rounding that depends on their order, and so
    not on the batch or the number of threads.
    """
    total = (pixels * _STEPS).round_().to(torch.int32).sum((2, 3), keepdim=True, dtype=torch.int64)
    return total.to(torch.float32) / (_STEPS * pixels.shape[2] * pixels.shape[3])
