"""Random erasing: a rectangle of each image is covered.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ova.data.augment.colour_jitter import exact_means
from ova.data.augment.draws import ERASE_AREA, ERASE_ASPECT, ERASE_COLUMN, ERASE_ROW
from ova.data.augment.flip import Draws
from ova.data.augment.recipe import AugmentSettings

_ASPECT = 10 / 3  # height / width within 0.3 .. 3.33, as in the paper


def erased_boxes(draws: Draws, settings: AugmentSettings, height: int, width: int) -> NDArray[np.int64]:
    """Return (B, 4): first row, row after the last, first column, column after the last; may be empty."""
    area = settings.erasing * draws[:, ERASE_AREA] * height * width
    aspect = _ASPECT ** (2 * draws[:, ERASE_ASPECT] - 1)
    rows = np.minimum(np.rint(np.sqrt(area * aspect)), height)
    columns = np.minimum(np.rint(np.sqrt(area / aspect)), width)
    top = np.floor(draws[:, ERASE_ROW] * (height - rows + 1))
    left = np.floor(draws[:, ERASE_COLUMN] * (width - columns + 1))
    return np.stack([top, top + rows, left, left + columns], axis=1).astype(np.int64)


def erase(pixels: Tensor, boxes: Tensor) -> Tensor:
    """Cover a box with the mean colour: unlike black or white, it is neither a crack nor a dark region.

    Args:
        pixels: (B, C, H, W) float32, values 0..255.
        boxes: (B, 4) of `erased_boxes`.

    Returns:
        (B, C, H, W) float32, values 0..255.
    """
    top, bottom, left, right = (edge.reshape(-1, 1, 1, 1) for edge in boxes.unbind(1))
    row = torch.arange(pixels.shape[2], device=pixels.device).reshape(1, 1, -1, 1)
    column = torch.arange(pixels.shape[3], device=pixels.device)
    inside = (row >= top) & (row < bottom) & ((column >= left) & (column < right))
    return torch.where(inside, exact_means(pixels), pixels)
