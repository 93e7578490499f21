"""Mirrors, quarter turns and moves by whole pixels: exact, in one gathering of pixels.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment.draws import FLIP_COLUMNS, FLIP_ROWS, SHIFT_COLUMNS, SHIFT_ROWS, TURN
from ova.data.augment.recipe import AugmentSettings

Draws = NDArray[np.float64]
Flags = NDArray[np.bool_]


def move(pixels: Tensor, draws: Draws, settings: AugmentSettings) -> Tensor:
    """Mirror, then turn, then shift each image; what a shift uncovers is the mirror image of what is there.

    Args:
        pixels: (B, C, H, W), of any dtype.
        draws: (B, DRAWS) uniform numbers of these images.
        settings: What is on.

    Returns:
        (B, C, H, W); `pixels` itself if nothing is on.
    """
    if not (settings.flips or settings.quarter_turns or settings.shift):
        return pixels
    height, width = pixels.shape[2:]
    shift_rows, shift_columns = whole_shifts(draws, settings, height, width)
    if pixels.device.type == "cpu":
        if settings.flips or settings.quarter_turns:
            pixels = _copy_reoriented(pixels, *orientation(draws, settings))
        return _copy_shifted(pixels, shift_rows, shift_columns) if settings.shift else pixels
    down = mirrored(np.arange(height) + shift_rows[:, None], height)
    across = mirrored(np.arange(width) + shift_columns[:, None], width)
    transposed, down_reversed, across_reversed = (flag[:, None] for flag in orientation(draws, settings))
    down = np.where(down_reversed, height - 1 - down, down) * np.where(transposed, 1, width)
    across = np.where(across_reversed, width - 1 - across, across) * np.where(transposed, width, 1)
    return _gather(pixels, down, across)


def orientation(draws: Draws, settings: AugmentSettings) -> tuple[Flags, Flags, Flags]:
    """Say where the pixels of each mirrored and turned image come from.

    Returns:
        transposed: (B,) whether its rows come from columns.
        down_reversed: (B,) whether going down the result runs backwards in the source.
        across_reversed: (B,) the same for going across.
    """
    nothing = np.zeros(len(draws), np.bool_)
    flip_rows = draws[:, FLIP_ROWS] < 0.5 if settings.flips else nothing
    flip_columns = draws[:, FLIP_COLUMNS] < 0.5 if settings.flips else nothing
    turns = (draws[:, TURN] * 4).astype(int) if settings.quarter_turns else np.zeros(len(draws), int)
    transposed = turns % 2 == 1
    down_reversed = np.isin(turns, (1, 2)) ^ np.where(transposed, flip_columns, flip_rows)
    across_reversed = (turns >= 2) ^ np.where(transposed, flip_rows, flip_columns)
    return transposed, down_reversed, across_reversed


def whole_shifts(
    draws: Draws, settings: AugmentSettings, height: int, width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (B,) rows and (B,) columns between a pixel of the result and its source."""
    rows, columns = (2 * draws[:, [SHIFT_ROWS, SHIFT_COLUMNS]].T - 1) * settings.shift
    return np.rint(rows * height).astype(np.int64), np.rint(columns * width).astype(np.int64)


def mirrored(positions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Fold positions outside 0 .. length - 1 back, any number of times; the border itself is not doubled."""
    folded = np.abs(positions) % max(2 * length - 2, 1)
    return np.where(folded >= length, 2 * length - 2 - folded, folded)


def _copy_reoriented(
    pixels: Tensor, transposed: Flags, down_reversed: Flags, across_reversed: Flags
) -> Tensor:
    """Copy image by image: a third of the time of `_gather` at 224 pixels, but a call or two for each."""
    result = torch.empty_like(pixels)
    for number, (turned, *backwards) in enumerate(
        zip(transposed, down_reversed, across_reversed, strict=True)
    ):
        source = pixels[number].transpose(1, 2) if turned else pixels[number]
        result[number] = source.flip([axis for axis, reverse in enumerate(backwards, 1) if reverse])
    return result


def _copy_shifted(pixels: Tensor, down: NDArray[np.int64], across: NDArray[np.int64]) -> Tensor:
    """Copy what stays and what is mirrored at the border, as it lies in memory."""
    if not len(pixels):
        return pixels
    interleaved = pixels.is_contiguous(memory_format=torch.channels_last)
    inner = pixels.permute(0, 2, 3, 1) if interleaved else pixels.contiguous()[..., None]
    source = inner.flatten(0, -4).numpy()  # (items, H, W, values of one pixel)
    result = np.empty_like(source)
    planes = len(source) // len(pixels)
    height, width = source.shape[1:3]
    for number, (rows, columns) in enumerate(zip(down.tolist(), across.tolist(), strict=True)):
        item = slice(number * planes, (number + 1) * planes)
        for to_rows, from_rows in _pieces(rows, height):
            for to_columns, from_columns in _pieces(columns, width):
                result[item, to_rows, to_columns] = source[item, from_rows, from_columns]
    moved = torch.from_numpy(result)
    return moved.permute(0, 3, 1, 2) if interleaved else moved.reshape(pixels.shape)


def _pieces(shift: int, length: int) -> list[tuple[slice, slice]]:
    """Say where each piece of a shifted line goes, and where it comes from; |shift| < length."""
    if shift == 0:
        return [(slice(None), slice(None))]
    if shift > 0:
        stop = length - 2 - shift
        mirror = slice(length - 2, stop if stop >= 0 else None, -1)
        return [(slice(0, length - shift), slice(shift, length)), (slice(length - shift, length), mirror)]
    return [(slice(0, -shift), slice(-shift, 0, -1)), (slice(-shift, length), slice(0, length + shift))]


def _gather(pixels: Tensor, down: NDArray[np.int64], across: NDArray[np.int64]) -> Tensor:
    """Take, for each pixel (i, j) of image n, the source pixel with the number down[n, i] + across[n, j]."""
    batch, channels, height, width = pixels.shape
    rows, columns = (torch.from_numpy(part).to(pixels.device) for part in (down, across))
    source = rows[:, :, None] + columns[:, None, :]
    if channels > 1 and pixels.is_contiguous(memory_format=torch.channels_last):
        source += torch.arange(batch, device=pixels.device).reshape(-1, 1, 1) * (height * width)
        flat = pixels.permute(0, 2, 3, 1).reshape(-1, channels).index_select(0, source.reshape(-1))
        return flat.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
    source = source.reshape(batch, 1, height * width).expand(-1, channels, -1)
    return pixels.reshape(batch, channels, height * width).gather(2, source).reshape(pixels.shape)
