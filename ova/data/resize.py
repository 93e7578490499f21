"""Antialiased bilinear resize that is bit-identical in numpy, torch and ONNX.

The filter is the triangle of Pillow's BILINEAR, widened when shrinking. Its weights are integers in units of
2**-16, so every product and every partial sum is an integer below 255 * 2**16 + 2**15 < 2**24. float32 holds
all of those exactly, so the result does not depend on the order of the sums, on fused multiply-adds, or on
the library and device that compute it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SCALE = 2**16
_BLOCK = 16

Band = tuple[slice, slice, NDArray[np.float32]]


def resize_pixels(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize one image: first its width, then its height, rounded half up to uint8 after each.

    Args:
        pixels: (height, width, channels), uint8.
        size: Wanted (height, width).

    Returns:
        (size[0], size[1], channels), uint8, always a new array.
    """
    height, width, channels = pixels.shape
    planes = pixels.transpose(0, 2, 1)  # (height, channels, width): rows of one channel for the matmul
    if width != size[1]:
        rows = planes.reshape(height * channels, width).astype(np.float32)
        planes = _pass(rows.T, size[1]).T.reshape(height, channels, size[1])
    if height != size[0]:
        columns = planes.reshape(height, channels * size[1]).astype(np.float32)
        planes = _pass(columns, size[0]).reshape(size[0], channels, size[1])
    return planes.transpose(0, 2, 1).copy()


def resize_weights(length: int, size: int) -> NDArray[np.int64]:
    """Compute the weight of every input pixel in every output pixel, along one axis.

    With n = length and m = size, the centres of input i and output o lie |(2i+1) m - (2o+1) n| / (2m) input
    pixels apart, and the triangle reaches max(1, n/m). Both are scaled by 2m to stay integers. The cumulative
    sums are rounded, not the weights, so that every row adds up exactly and each weight is less than 1 unit
    from the ideal one.

    Args:
        length: Input length in pixels.
        size: Output length in pixels.

    Returns:
        (size, length), int64, >= 0; every row adds up to 2**16.
    """
    inputs = (2 * np.arange(length, dtype=np.int64) + 1) * size
    outputs = (2 * np.arange(size, dtype=np.int64) + 1) * length
    triangle = np.maximum(0, 2 * max(length, size) - np.abs(inputs[None, :] - outputs[:, None]))
    cumulative = triangle.cumsum(axis=1)
    total = cumulative[:, -1:]
    rounded = (2 * cumulative * SCALE + total) // (2 * total)
    return np.diff(rounded, axis=1, prepend=0)


def _pass(values: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
    """Resize the first axis of (length, n) float32 integers 0..255 to (size, n) uint8."""
    result = np.empty((size, values.shape[1]), np.uint8)
    for outputs, inputs, weights in _bands(len(values), size):
        sums = weights @ values[inputs]
        sums += SCALE // 2
        sums /= SCALE
        result[outputs] = sums  # the cast truncates, which is floor here: nothing is negative
    return result


@lru_cache(maxsize=256)
def _bands(length: int, size: int) -> tuple[Band, ...]:
    """Cut the weights into small dense blocks, because most of the full matrix is zero."""
    weights = resize_weights(length, size)
    bands: list[Band] = []
    for start in range(0, size, _BLOCK):
        block = weights[start : start + _BLOCK]
        used = np.flatnonzero(block.any(axis=0))
        inputs = slice(int(used[0]), int(used[-1]) + 1)
        bands.append((slice(start, start + len(block)), inputs, block[:, inputs].astype(np.float32)))
    return tuple(bands)
