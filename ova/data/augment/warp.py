"""Rotation, scale, shear, perspective and crop: all geometry of an image in one resampling.

Every part is a 3 x 3 matrix (a homography), so that their product moves each pixel once and nothing is
blurred twice. Positions are (column, row, 1) in pixels, the centre of the first pixel at 0.

Shape letters: B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample

from ova.data.augment.draws import (
    CROP_AREA,
    CROP_ASPECT,
    CROP_COLUMN,
    CROP_ROW,
    PERSPECTIVE,
    ROTATION,
    SCALE,
    SHEAR_COLUMNS,
    SHEAR_ROWS,
)
from ova.data.augment.flip import Draws, orientation, whole_shifts
from ova.data.augment.recipe import AugmentSettings

Numbers = NDArray[np.float64]


def warp(pixels: Tensor, sources: Tensor) -> Tensor:
    """Resample images bilinearly; beyond the border they are mirrored (the border row is not doubled).

    Args:
        pixels: (B, C, H, W) float32.
        sources: (B, 2 or 3, 3) float32: `source_positions` of these images.

    Returns:
        (B, C, H, W) float32. Weights add up to 1 but for rounding, and so may leave the range by 1e-4.
    """
    height, width = pixels.shape[2:]
    column = torch.arange(width, dtype=torch.float32, device=pixels.device)
    row = torch.arange(height, dtype=torch.float32, device=pixels.device)
    # Sums and products one by one, not a matrix product, whose rounding depends on the size of the batch.
    across = sources[:, :, :1, None] * column
    down = (sources[:, :, 1:2] * row + sources[:, :, 2:])[..., None]
    traced = across + down
    if traced.shape[1] == 3:
        traced = traced[:, :2].div_(traced[:, 2:])
    grid = traced.permute(0, 2, 3, 1)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def source_positions(draws: Draws, settings: AugmentSettings, height: int, width: int) -> Numbers:
    """Compute where each pixel of an augmented image comes from.

    An image is cropped, mirrored and turned by quarters, then sheared, scaled, rotated and shifted about its
    centre, then put in perspective; a position is traced back through that.

    Returns:
        (B, 2, 3): (column, row, 1) of a pixel -> its source, which runs from -1 to 1 between the centres of
        the border pixels, as `grid_sample` has it. With perspective (B, 3, 3): the source times a weight, and
        that weight.
    """
    source = _cropped(draws, settings, height, width)
    source = source @ _reoriented(draws, settings, height, width)
    source = source @ _affine(draws, settings, height, width)
    units = np.array([[2 / max(width - 1, 1), 0, -1], [0, 2 / max(height - 1, 1), -1], [0, 0, 1]])
    source = units @ source
    return source @ _perspective(draws, settings, height, width) if settings.perspective else source[:, :2]


def _cropped(draws: Draws, settings: AugmentSettings, height: int, width: int) -> Numbers:
    """Position in the enlarged crop -> position in the image."""
    area = 1 - (1 - settings.crop) * draws[:, CROP_AREA]
    limit = np.minimum(settings.crop_aspect, 1 / area)  # a longer side than the image's would change the area
    aspect = limit ** (2 * draws[:, CROP_ASPECT] - 1)
    share_across, share_down = np.sqrt(area * aspect), np.sqrt(area / aspect)
    left = width * (1 - share_across) * draws[:, CROP_COLUMN]
    top = height * (1 - share_down) * draws[:, CROP_ROW]
    # A pixel reaches half a pixel from its centre: edges are scaled, not centres.
    return _matrices(
        [[share_across, 0, left + share_across / 2 - 0.5], [0, share_down, top + share_down / 2 - 0.5]]
    )


def _reoriented(draws: Draws, settings: AugmentSettings, height: int, width: int) -> Numbers:
    """Position in the mirrored and turned image -> position before."""
    transposed, down_reversed, across_reversed = orientation(draws, settings)
    down, across = np.where(down_reversed, -1, 1), np.where(across_reversed, -1, 1)
    # Only square images are transposed, so that a reversed axis has the same length before and after.
    from_down, from_across = (height - 1) * down_reversed, (width - 1) * across_reversed
    return _matrices(
        [
            [across * ~transposed, down * transposed, np.where(transposed, from_down, from_across)],
            [across * transposed, down * ~transposed, np.where(transposed, from_across, from_down)],
        ]
    )


def _affine(draws: Draws, settings: AugmentSettings, height: int, width: int) -> Numbers:
    """Position in the sheared, scaled, rotated and shifted image -> position before."""
    angle = np.radians(settings.rotation) * _either_way(draws[:, ROTATION])
    size = 1 + settings.scale * _either_way(draws[:, SCALE])
    slant_across = np.tan(np.radians(settings.shear) * _either_way(draws[:, SHEAR_COLUMNS]))
    slant_down = np.tan(np.radians(settings.shear) * _either_way(draws[:, SHEAR_ROWS]))
    rows, columns = whole_shifts(draws, settings, height, width)
    centre_across, centre_down = (width - 1) / 2, (height - 1) / 2
    cosine, sine = np.cos(angle) / size, np.sin(angle) / size
    back = _matrices([[1, -slant_across, centre_across], [0, 1, centre_down]])
    back = back @ _matrices([[1, 0, 0], [-slant_down, 1, 0]])
    back = back @ _matrices([[cosine, sine, 0], [-sine, cosine, 0]])
    return back @ _matrices([[1, 0, columns - centre_across], [0, 1, rows - centre_down]])


def _perspective(draws: Draws, settings: AugmentSettings, height: int, width: int) -> Numbers:
    """Position in the tilted image -> position before.

    The four corners give the matrix of P. Heckbert, "Fundamentals of texture mapping and image warping"
    (1989), section 2.2.3: unit square -> quadrilateral, whose adjugate leads back.
    """
    inwards = settings.perspective / 2 * draws[:, PERSPECTIVE].T
    # Clockwise from the top left: 0 0, 1 0, 1 1, 0 1, each moved inwards.
    y0, y1, y2, y3 = inwards[0], inwards[1], 1 - inwards[2], 1 - inwards[3]
    x0, x1, x2, x3 = inwards[4], 1 - inwards[5], 1 - inwards[6], inwards[7]
    rest_x, rest_y = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    right_x, right_y, left_x, left_y = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    whole = right_x * left_y - left_x * right_y
    g = (rest_x * left_y - left_x * rest_y) / whole
    h = (right_x * rest_y - rest_x * right_y) / whole
    a, b, c = x1 - x0 + g * x1, x3 - x0 + h * x3, x0
    d, e, f = y1 - y0 + g * y1, y3 - y0 + h * y3, y0
    adjugate = [
        [e - f * h, c * h - b, b * f - c * e],
        [f * g - d, a - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    sides = np.diag([max(width - 1.0, 1.0), max(height - 1.0, 1.0), 1.0])
    return sides @ _matrices(adjugate) @ np.linalg.inv(sides)


def _either_way(uniform: Numbers) -> Numbers:
    return 2 * uniform - 1


def _matrices(rows: list[list[NDArray[np.generic] | float]]) -> Numbers:
    """Stack entries, each (B,) or one number, to (B, 3, 3); a missing last row is 0 0 1."""
    rows = [*rows, [0.0, 0.0, 1.0]][:3]
    entries = np.broadcast_arrays(*(np.asarray(entry, np.float64) for row in rows for entry in row))
    return np.stack(entries, axis=-1).reshape(-1, 3, 3)
