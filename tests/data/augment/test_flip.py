"""Mirrors, quarter turns and shifts against numpy, exactly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from augmenting import drawn, pictures, wanted
from hypothesis import given
from hypothesis import strategies as st

from ova.data.augment.draws import FLIP_COLUMNS, FLIP_ROWS, SHIFT_COLUMNS, SHIFT_ROWS, TURN
from ova.data.augment.flip import _gather, mirrored, move, whole_shifts
from ova.data.augment.recipe import AugmentSettings

EVERYTHING = AugmentSettings(flips=True, quarter_turns=True, shift=0.3)


def brute_force(image, uniform, options: AugmentSettings):
    """One image (channels, height, width), its own draws, plain numpy."""
    if options.flips and uniform[FLIP_ROWS] < 0.5:
        image = image[:, ::-1]
    if options.flips and uniform[FLIP_COLUMNS] < 0.5:
        image = image[:, :, ::-1]
    if options.quarter_turns:
        image = np.rot90(image, int(uniform[TURN] * 4), (1, 2))
    for axis, column in ((1, SHIFT_ROWS), (2, SHIFT_COLUMNS)):
        length = image.shape[axis]
        shift = int(np.rint((2 * uniform[column] - 1) * options.shift * length))
        pad = [(0, 0)] * 3
        pad[axis] = (length, length)
        image = np.pad(image, pad, mode="reflect").take(np.arange(length) + length + shift, axis)
    return image


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("options", "height", "width"),
    [
        (AugmentSettings(flips=True), 7, 7),
        (AugmentSettings(quarter_turns=True), 7, 7),
        (AugmentSettings(quarter_turns=True, flips=True), 6, 6),
        (AugmentSettings(shift=0.5), 7, 7),
        (EVERYTHING, 8, 8),
        (EVERYTHING, 1, 1),
        (AugmentSettings(flips=True, shift=0.4), 5, 9),
        (AugmentSettings(flips=True, shift=0.4), 1, 4),
        (AugmentSettings(flips=True, shift=0.4), 6, 1),
        (AugmentSettings(flips=True, shift=0.4), 2, 3),
    ],
)
def test_moves_agree_with_numpy_exactly(options, height, width, channels, memory, dtype):
    pixels = pictures(40, channels, height, width).to(dtype).contiguous(memory_format=memory)
    before, draws = pixels.clone(), drawn(40)
    result = move(pixels, draws, options)
    expected = [brute_force(image, each, options) for image, each in zip(pixels.numpy(), draws, strict=True)]
    np.testing.assert_array_equal(result.numpy(), np.stack(expected))
    assert torch.equal(pixels, before)
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=memory)
    if height * width > 1:
        assert not torch.equal(result, before)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_one_gathering_as_on_other_devices_moves_the_same_pixels(channels, memory):
    pixels = pictures(40, channels, 6, 9).contiguous(memory_format=memory)
    draws, settings = drawn(40), AugmentSettings(shift=0.4)
    down, across = (
        mirrored(np.arange(length) + shifts[:, None], length)
        for length, shifts in zip((6, 9), whole_shifts(draws, settings, 6, 9), strict=True)
    )
    assert torch.equal(_gather(pixels, down * 9, across), move(pixels, draws, settings))


def test_nothing_is_touched_unless_asked():
    pixels = pictures()
    assert move(pixels, drawn(), AugmentSettings(rotation=20)) is pixels


@given(st.integers(1, 9), st.integers(-60, 60))
def test_folding_is_numpys_reflection(length, start):
    padded = np.pad(np.arange(length), (60, 70), mode="reflect")
    found = mirrored(np.arange(start, start + 10), length)
    np.testing.assert_array_equal(found, padded[start + 60 : start + 70])


def test_each_flip_and_turn_is_as_likely_as_the_others():
    marked = torch.zeros(3000, 1, 3, 3)
    marked[:, 0, 0, 0], marked[:, 0, 0, 1] = 1, 2
    flipped = move(marked, drawn(3000), AugmentSettings(flips=True))
    # 3000 coins: 0.5 with a deviation of 0.0091, 0.06 is more than six of them.
    for axis in (1, 2):
        mirrored_share = flipped[:, 0].eq(1).any(3 - axis)[:, 2].float().mean()
        assert abs(mirrored_share - 0.5) < 0.06
    turned = move(marked, drawn(3000), AugmentSettings(flips=True, quarter_turns=True))
    kinds = Counter(tuple(image.flatten().tolist()) for image in turned)
    assert len(kinds) == 8
    assert all(abs(count / 3000 - 1 / 8) < 0.04 for count in kinds.values())


def test_the_largest_shift_is_the_share_that_was_asked_for():
    pixels = torch.arange(10.0).expand(1, 1, 10, 10)
    draws = wanted(SHIFT_COLUMNS=[0.0, np.nextafter(1.0, 0)])
    found = move(pixels.expand(2, -1, -1, -1), draws, AugmentSettings(shift=0.3))[:, 0, 0]
    assert found.tolist() == [[3, 2, 1, 0, 1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8, 9, 8, 7, 6]]
