"""Grey from colour, and colour from grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LUMA = np.array([19595, 38470, 7471], np.float32) / np.float32(2**16)
_STRIP = 8192


def to_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Turn (height, width, 1 or 3) into (height, width, channels): luma of colour, or grey three times."""
    if pixels.shape[2] == channels:
        return pixels
    return luma(pixels)[:, :, None] if channels == 1 else np.repeat(pixels, 3, axis=2)


def luma(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn RGB into grey, (..., 3) -> (...), bit for bit as Pillow does.

    ITU-R BT.601 luma in 16-bit fixed point: (19595 R + 38470 G + 7471 B + 2**15) >> 16. In units of 2**-16
    all sums are integers below 2**24, which float32 holds exactly.
    """
    grey = np.empty(rgb.shape[:-1], np.uint8)
    result, colours = grey.reshape(-1), rgb.reshape(-1, 3)
    for start in range(0, len(colours), _STRIP):  # short products stay in the cache and in this thread
        sums = colours[start : start + _STRIP].astype(np.float32) @ _LUMA
        result[start : start + _STRIP] = sums + np.float32(0.5)  # the cast truncates, which is floor here
    return grey
