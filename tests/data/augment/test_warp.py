"""Resampling against torchvision with the same parameters, and against moves that are exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from augmenting import drawn, smooth_pictures, wanted
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import pad
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from ova.data.augment.flip import move
from ova.data.augment.recipe import AugmentSettings
from ova.data.augment.warp import source_positions, warp

# Neighbouring pixels of these pictures differ by 30 at most, and float32 places a pixel to 1e-4 or better.
TOLERANCE = 0.01
MARGIN = 23
HIGHEST = np.nextafter(1.0, 0)


def warped(pixels, draws, options):
    sources = source_positions(draws, options, *pixels.shape[2:])
    return warp(pixels, torch.from_numpy(sources).float())


def reference(pixels, change):
    """Apply torchvision's change, which fills with black, far inside a mirrored margin."""
    padded = pad(pixels, [MARGIN] * 4, mode="reflect")
    return change(padded)[:, :, MARGIN:-MARGIN, MARGIN:-MARGIN]


@pytest.mark.parametrize(("height", "width"), [(24, 24), (24, 37)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("options", "columns", "angle", "scale", "shear", "shift"),
    [
        (AugmentSettings(rotation=40), {"ROTATION": 1.0}, 40, 1, (0, 0), (0, 0)),
        (AugmentSettings(rotation=40), {"ROTATION": 0.25}, -20, 1, (0, 0), (0, 0)),
        (AugmentSettings(scale=0.4), {"SCALE": 1.0}, 0, 1.4, (0, 0), (0, 0)),
        (AugmentSettings(scale=0.4), {"SCALE": 0.25}, 0, 0.8, (0, 0), (0, 0)),
        (AugmentSettings(shear=15), {"SHEAR_COLUMNS": 0.0}, 0, 1, (15, 0), (0, 0)),
        (AugmentSettings(shear=15), {"SHEAR_ROWS": 0.0}, 0, 1, (0, 15), (0, 0)),
        (
            AugmentSettings(rotation=30, scale=0.2, shear=10, shift=0.25),
            {"ROTATION": 1.0, "SCALE": 0.75, "SHEAR_COLUMNS": 0.1, "SHEAR_ROWS": 0.7}
            | {"SHIFT_ROWS": 0.0, "SHIFT_COLUMNS": 0.5},
            30, 1.1, (8, -4), (0, 6),
        ),
    ],
)  # fmt: skip
def test_affine_parts_agree_with_torchvision(
    options, columns, angle, scale, shear, shift, channels, height, width
):
    pixels = smooth_pictures(2, channels, height, width)
    result = warped(pixels, wanted(**columns).repeat(2, axis=0), options)
    expected = reference(
        pixels,
        lambda padded: functional.affine(
            padded, angle=angle, translate=list(shift), scale=scale, shear=list(shear),
            interpolation=InterpolationMode.BILINEAR,
        ),
    )  # fmt: skip
    torch.testing.assert_close(result, expected, atol=TOLERANCE, rtol=0)
    assert (result - pixels).abs().max() > 10


@pytest.mark.parametrize(("height", "width"), [(24, 24), (26, 37)])
@pytest.mark.parametrize("seed", range(4))
def test_perspective_agrees_with_torchvision(seed, height, width):
    pixels = smooth_pictures(1, 3, height, width)
    inwards = np.random.default_rng(seed).random(8)
    draws = wanted(PERSPECTIVE=[inwards])
    bottom, right = height - 1, width - 1
    rows, columns = 0.4 / 2 * bottom * inwards[:4], 0.4 / 2 * right * inwards[4:]
    start = np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]])
    end = np.array(
        [
            [columns[0], rows[0]],
            [right - columns[1], rows[1]],
            [right - columns[2], bottom - rows[2]],
            [columns[3], bottom - rows[3]],
        ]
    )
    # torchvision counts from the corner of the first pixel, half a pixel from its centre.
    start, end = start + MARGIN + 0.5, end + MARGIN + 0.5
    expected = reference(
        pixels,
        lambda padded: functional.perspective(
            padded, start.tolist(), end.tolist(), interpolation=InterpolationMode.BILINEAR
        ),
    )
    result = warped(pixels, draws, AugmentSettings(perspective=0.4))
    torch.testing.assert_close(result, expected, atol=TOLERANCE, rtol=0)
    assert (result - pixels).abs().max() > 10


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 64)])
def test_a_crop_agrees_with_torchvisions_resized_crop(height, width):
    """Where the crop's own border is not in reach: torchvision repeats it, here the image goes on."""
    pixels = smooth_pictures(1, 3, height, width)
    draws = wanted(CROP_AREA=1.0, CROP_ASPECT=0.5, CROP_ROW=0.5, CROP_COLUMN=0.25)
    result = warped(pixels, draws, AugmentSettings(crop=0.25))
    box = {"top": height // 4, "left": width // 8, "height": height // 2, "width": width // 2}
    expected = functional.resized_crop(pixels, **box, size=[height, width], antialias=False)
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(result[inner], expected[inner], atol=TOLERANCE, rtol=0)
    assert (result - pixels).abs().max() > 10


@given(st.lists(st.floats(0, HIGHEST), min_size=4, max_size=4), st.floats(0.05, 1), st.floats(1, 4))
def test_a_crop_lies_in_the_image_and_keeps_its_share(uniform, share, aspect):
    area, stretch, row, column = uniform
    if share == 1:
        aspect = 4 / 3
    options = AugmentSettings(crop=share, crop_aspect=aspect)
    draws = wanted(CROP_AREA=area, CROP_ASPECT=stretch, CROP_ROW=row, CROP_COLUMN=column)
    height, width = 30, 50
    [(a, b, _), (c, d, _)] = matrix = source_positions(draws, options, height, width)[0]
    assert (b, c) == (0, 0)
    assert a * d / (2 / (width - 1) * 2 / (height - 1)) == pytest.approx(1 - (1 - share) * area)
    assert 1 / aspect - 1e-9 <= a * (width - 1) / (d * (height - 1)) <= aspect + 1e-9
    # The corners of the pixels in the corners, in units where the centres of border pixels are at -1 and 1.
    corners = matrix @ [[-0.5, width - 0.5], [-0.5, height - 0.5], [1, 1]]
    limit = np.array([[1 + 1 / (width - 1)], [1 + 1 / (height - 1)]])
    assert (np.abs(corners) <= limit + 1e-9).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width", "turns"), [(24, 24, True), (16, 25, False)])
def test_moves_composed_with_resampling_are_the_exact_moves(channels, height, width, turns):
    """A rotation by 0 is none, so that only mirrors, turns and shifts are left of the product."""
    options = {"flips": True, "quarter_turns": turns, "shift": 0.2}
    draws = drawn(40)
    draws[:, wanted_columns("ROTATION", "SCALE")] = 0.5
    pixels = smooth_pictures(40, channels, height, width)
    result = warped(pixels, draws, AugmentSettings(rotation=20, scale=0.2, **options))
    torch.testing.assert_close(
        result, move(pixels, draws, AugmentSettings(**options)), atol=TOLERANCE, rtol=0
    )


def test_a_mirror_and_a_turn_after_a_crop_move_the_crop():
    pixels, draws = smooth_pictures(40), drawn(40)
    moves = {"flips": True, "quarter_turns": True}
    expected = move(warped(pixels, draws, AugmentSettings(crop=0.2)), draws, AugmentSettings(**moves))
    result = warped(pixels, draws, AugmentSettings(crop=0.2, **moves))
    torch.testing.assert_close(result, expected, atol=TOLERANCE, rtol=0)


def wanted_columns(*names: str) -> list[int]:
    from ova.data.augment import draws

    return [getattr(draws, name) for name in names]


def test_a_rotation_after_a_mirror_turns_the_mirrored_image():
    pixels = smooth_pictures(1)
    draws = wanted(FLIP_COLUMNS=0.0, FLIP_ROWS=0.9, ROTATION=1.0)
    result = warped(pixels, draws, AugmentSettings(flips=True, rotation=30))
    expected = warped(pixels.flip(3), draws, AugmentSettings(rotation=30))
    torch.testing.assert_close(result, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (30, 30), (2, 50)])
def test_weights_of_the_strongest_perspectives_stay_positive(height, width):
    """Where the weight passes 0 lies the horizon, and behind it the image upside down."""
    draws = wanted(PERSPECTIVE=np.array(list(itertools.product([0.0, 0.5, HIGHEST], repeat=8))))
    sources = source_positions(draws, AugmentSettings(perspective=0.4), height, width)
    corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1], [1, 1, 1, 1]])
    weights = (sources @ corners)[:, 2]  # linear in the position, so that corners are the extremes
    weights *= np.sign(weights[:, :1])
    assert (weights.min(axis=1) / weights.max(axis=1)).min() > 0.1


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (2, 2)])
def test_tiny_images_stay_numbers(height, width):
    options = AugmentSettings(
        rotation=45, scale=0.5, shear=45, perspective=0.4, crop=0.05, shift=0.5, flips=True
    )
    pixels = smooth_pictures(20, 1, height, width)
    result = warped(pixels, drawn(20), options)
    assert result.isfinite().all()
    assert result.min() >= pixels.min() - 1e-3
    assert result.max() <= pixels.max() + 1e-3
