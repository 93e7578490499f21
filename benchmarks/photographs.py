"""Drawn photographs: noise whose power falls with frequency as in real ones, so that they compress alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def photograph(draw: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Draw one picture, (height, width, 3) uint8, with amplitudes of 1/f^1.2 and some noise of the sensor."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    waves = draw.normal(size=(3, *frequency.shape, 2)) @ np.array([1, 1j])
    planes = np.fft.irfft2(waves / frequency**1.2, (height, width))
    planes = 0.8 * planes[:1] + 0.4 * planes  # channels of a photograph go together
    shown = (planes - planes.min()) / (planes.max() - planes.min()) * 255
    return (shown + draw.normal(0, 4, shown.shape)).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def write_photographs(
    folder: Path, count: int, *, kind: str, height: int, width: int, distinct: int = 40
) -> list[Path]:
    """Write `count` files, of which `distinct` differ in more than a corner.

    Args:
        folder: Made here.
        count: Files.
        kind: "jpeg" (quality 90, colour) or "png" (grey).
        height: Pixels.
        width: Pixels.
        distinct: Pictures that are drawn; drawing takes longer than decoding.
    """
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    pictures = [photograph(draw, height, width) for _ in range(min(distinct, count))]
    paths = []
    for number in range(count):
        pixels = pictures[number % len(pictures)].copy()
        pixels[:8, :8] = draw.integers(0, 256, (8, 8, 1))
        path = folder / f"{number:05d}.{'jpg' if kind == 'jpeg' else 'png'}"
        if kind == "jpeg":
            Image.fromarray(pixels).save(path, quality=90)
        else:
            Image.fromarray(pixels[..., 0]).save(path, compress_level=6)
        paths.append(path)
    return paths
