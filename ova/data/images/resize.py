"""Antialiased bilinear resize that is bit-identical in numpy, torch and ONNX.

The filter is the triangle of Pillow's BILINEAR, widened when shrinking. Its weights are integers in units of
2**-16, so every product and every partial sum is an integer in these units, at most 255 * 2**16 + 2**15, less
than 2**24. float32 holds all of those exactly: the result does not depend on the order of the sums, on
fused multiply-adds, or on the library and device that compute it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ova.data.images.crop import WHOLE, middle

SCALE = 2**16
# OpenBLAS keeps a product of up to 2**18 multiply-adds in the calling thread, where it belongs: images are
# resized side by side, and threads of threads are several times slower.
_PRODUCT = 2**18
# Values that are worked on at a time, so that they stay in the cache.
_STRIP = 2**20

Block = tuple[slice, slice, NDArray[np.float32]]


def resize_pixels(pixels: NDArray[np.uint8], size: tuple[int, int], crop: int = WHOLE) -> NDArray[np.uint8]:
    """Resize the middle of one image: first its width, then its height, rounded half up to uint8 after each.

    Args:
        pixels: (height, width, channels), uint8.
        size: Wanted (height, width).
        crop: Thousandths of either side that are kept, 1 to 1000.

    Returns:
        (size[0], size[1], channels), uint8, always a new array.
    """
    if crop != WHOLE:
        pixels = pixels[middle(pixels.shape[0], crop), middle(pixels.shape[1], crop)]
    height, width, channels = pixels.shape
    if (height, width) == size:
        return pixels.copy()
    rows = pixels.reshape(height, width * channels)
    if width != size[1]:
        rows = _across(rows, width, size[1], channels)
    if height != size[0]:
        rows = _down(rows, size[0])
    return rows.reshape(*size, channels)


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


def _across(rows: NDArray[np.uint8], width: int, size: int, channels: int) -> NDArray[np.uint8]:
    """Resize (height, width * channels) along the width, channels left interleaved."""
    result = np.empty((len(rows), size * channels), np.uint8)
    blocks = _blocks_across(width, size, channels)
    largest = max(weights.size for _, _, weights in blocks)
    step = max(1, min(_PRODUCT // largest, _STRIP // rows.shape[1]))
    for start in range(0, len(rows), step):
        values = rows[start : start + step].astype(np.float32)
        sums = np.empty((len(values), result.shape[1]), np.float32)
        for outputs, inputs, weights in blocks:
            np.matmul(values[:, inputs], weights, out=sums[:, outputs])
        sums += np.float32(0.5)
        result[start : start + step] = sums  # the cast truncates, which is floor here: nothing is negative
    return result


def _down(rows: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize (height, n) along the height."""
    result = np.empty((size, rows.shape[1]), np.uint8)
    blocks = _blocks_down(len(rows), size)
    largest = max(weights.size for _, _, weights in blocks)
    step = max(1, min(_PRODUCT // largest, _STRIP // len(rows)))
    for start in range(0, rows.shape[1], step):
        values = rows[:, start : start + step].astype(np.float32)
        sums = np.empty((size, values.shape[1]), np.float32)
        for outputs, inputs, weights in blocks:
            np.matmul(weights, values[inputs], out=sums[outputs])
        sums += np.float32(0.5)
        result[:, start : start + step] = sums
    return result


@lru_cache(maxsize=64)
def _blocks_across(width: int, size: int, channels: int) -> tuple[Block, ...]:
    """Cut the weights of every channel into small blocks, laid out for interleaved channels."""
    identity = np.eye(channels, dtype=np.float32)
    return tuple(
        (_times(outputs, channels), _times(inputs, channels), np.kron(weights.T, identity))
        # Few outputs per block, because most of it is zero across interleaved channels: one register's worth.
        for outputs, inputs, weights in _blocks(width, size, max(1, (16 if size < width else 48) // channels))
    )


@lru_cache(maxsize=64)
def _blocks_down(height: int, size: int) -> tuple[Block, ...]:
    return tuple(_blocks(height, size, 8 if size < height else 32))


def _blocks(length: int, size: int, count: int) -> list[Block]:
    """Cut the weights into small dense blocks, because most of the full matrix is zero."""
    weights = resize_weights(length, size)
    blocks: list[Block] = []
    for start in range(0, size, count):
        block = weights[start : start + count]
        used = np.flatnonzero(block.any(axis=0))
        inputs = slice(int(used[0]), int(used[-1]) + 1)
        shares = (block[:, inputs] / SCALE).astype(np.float32)  # exact: at most 16 bits after the point
        blocks.append((slice(start, start + len(block)), inputs, np.ascontiguousarray(shares)))
    return blocks


def _times(part: slice, factor: int) -> slice:
    return slice(part.start * factor, part.stop * factor)
