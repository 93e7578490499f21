from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.augment import augment
from ova.data.augment_recipe import AugmentSettings
from ova.data.draws import (
    BRIGHTNESS,
    CONTRAST,
    DRAWS,
    FLIP_COLUMNS,
    FLIP_ROWS,
    SHIFT_COLUMNS,
    SHIFT_ROWS,
    TURN,
    draw,
    image_keys,
)
from ova.errors import RecipeError
from ova.recipes import check_recipe

IMAGES = [f"images/cell{number:04d}.png" for number in range(24)]
GEOMETRY = AugmentSettings(flips=True, quarter_turns=True, shift=0.3)
EVERYTHING = AugmentSettings(flips=True, quarter_turns=True, shift=0.2, brightness=0.2, contrast=0.3)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(count=24, channels=2, height=7, width=7, seed=0) -> torch.Tensor:
    values = np.random.default_rng(seed).integers(0, 256, (count, channels, height, width))
    return torch.from_numpy(values.astype(np.float32))


def draws_of(images=IMAGES, seed=0, epoch=0):
    return draw(image_keys(images), seed, epoch)


def brute_force(image, uniform, options: AugmentSettings):
    """One image (channels, height, width), its own draws, plain numpy."""
    u = uniform.astype(np.float32)
    if options.flips and u[FLIP_ROWS] < 0.5:
        image = image[:, ::-1]
    if options.flips and u[FLIP_COLUMNS] < 0.5:
        image = image[:, :, ::-1]
    if options.quarter_turns:
        image = np.rot90(image, int(u[TURN] * 4), (1, 2))
    for axis, column in ((1, SHIFT_ROWS), (2, SHIFT_COLUMNS)):
        length = image.shape[axis]
        move = int(np.rint((2 * u[column] - 1) * np.float32(options.shift) * length))
        pad = [(0, 0)] * 3
        pad[axis] = (length, length)
        image = np.pad(image, pad, mode="reflect").take(np.arange(length) + length + move, axis)
    mean = image.mean()
    image = (image - mean) * (1 + options.contrast * (2 * u[CONTRAST] - 1)) + mean
    return np.clip(image + 255 * options.brightness * (2 * u[BRIGHTNESS] - 1), 0, 255)


def test_nothing_is_done_unless_asked():
    pixels = batch()
    assert torch.equal(augment(pixels, draws_of(), AugmentSettings()), pixels)


@pytest.mark.parametrize(
    "options",
    [
        AugmentSettings(flips=True),
        AugmentSettings(quarter_turns=True),
        AugmentSettings(shift=0.5),
        GEOMETRY,
    ],
)
def test_moves_agree_with_numpy_exactly(options):
    pixels, drawn = batch(), draws_of()
    before = pixels.clone()
    result = augment(pixels, drawn, options).numpy()
    expected = [brute_force(image, each, options) for image, each in zip(pixels.numpy(), drawn, strict=True)]
    np.testing.assert_array_equal(result, np.stack(expected).round())
    assert torch.equal(pixels, before)
    assert not np.array_equal(result, before.numpy())


@pytest.mark.parametrize(("height", "width"), [(5, 9), (1, 4), (6, 1), (2, 3)])
def test_flips_and_shifts_of_images_that_are_not_square(height, width):
    options = AugmentSettings(flips=True, shift=0.4)
    pixels, drawn = batch(height=height, width=width), draws_of()
    result = augment(pixels, drawn, options).numpy()
    expected = [brute_force(image, each, options) for image, each in zip(pixels.numpy(), drawn, strict=True)]
    np.testing.assert_array_equal(result, np.stack(expected).round())


@pytest.mark.parametrize(
    "options", [AugmentSettings(brightness=0.4), AugmentSettings(contrast=1.0), EVERYTHING]
)
def test_light_agrees_with_numpy(options):
    pixels, drawn = batch(), draws_of()
    result = augment(pixels, drawn, options).numpy()
    expected = [brute_force(image, each, options) for image, each in zip(pixels.numpy(), drawn, strict=True)]
    np.testing.assert_allclose(result, np.stack(expected), atol=1e-3)
    assert not np.allclose(result, pixels.numpy(), atol=1)


def test_light_stays_in_range():
    drawn = np.stack([np.full(DRAWS, value) for value in (0.0, 0.5, np.nextafter(1.0, 0))])
    pixels = torch.tensor([0.0, 120.0, 255.0]).expand(3, 1, 3, 3)
    result = augment(pixels, drawn, AugmentSettings(brightness=1.0, contrast=1.0))
    assert (result.min(), result.max()) == (0, 255)
    added = augment(torch.full((3, 1, 2, 2), 100.0), drawn, AugmentSettings(brightness=0.1))
    np.testing.assert_allclose(added[:, 0, 0, 0], [74.5, 100, 125.5], atol=1e-4)


@given(st.permutations(range(24)), st.integers(1, 24))
@settings(max_examples=25, deadline=None)
def test_an_image_is_the_same_in_every_batch(order, count):
    pixels, drawn, chosen = batch(), draws_of(), order[:count]
    for options in (GEOMETRY, EVERYTHING):
        whole = augment(pixels, drawn, options)
        assert torch.equal(augment(pixels[chosen], drawn[chosen], options), whole[chosen])


def test_grey_and_colour_move_alike():
    colour = batch(channels=3)
    moved = augment(colour, draws_of(), GEOMETRY)
    assert torch.equal(augment(colour[:, :1], draws_of(), GEOMETRY), moved[:, :1])


def test_each_flip_and_turn_is_as_likely_as_the_others():
    drawn = draw(image_keys([f"{number}.png" for number in range(3000)]), 0, 0)
    marked = torch.zeros(3000, 1, 3, 3)
    marked[:, 0, 0, 0], marked[:, 0, 0, 1] = 1, 2
    flipped = augment(marked, drawn, AugmentSettings(flips=True))
    down, across = (flipped[:, 0].eq(1).any(dim) for dim in (2, 1))
    # 3000 coins: 0.5 with a deviation of 0.0091, 0.06 is more than six of them.
    assert abs(down[:, 2].float().mean() - 0.5) < 0.06
    assert abs(across[:, 2].float().mean() - 0.5) < 0.06
    turned = augment(marked, drawn, AugmentSettings(flips=True, quarter_turns=True))
    kinds = Counter(tuple(image.flatten().tolist()) for image in turned)
    assert len(kinds) == 8
    assert all(abs(count / 3000 - 1 / 8) < 0.04 for count in kinds.values())


def test_turns_of_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="square"):
        augment(batch(height=5, width=6), draws_of(), AugmentSettings(quarter_turns=True))


@pytest.mark.parametrize("content", [{"shift": 0.6}, {"brightness": -0.1}, {"contrast": 2.0}, {"flips": 1}])
def test_settings_out_of_range_are_refused(content):
    with pytest.raises(RecipeError):
        check_recipe(content, AugmentSettings, "augment")
