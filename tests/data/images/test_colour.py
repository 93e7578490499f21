from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ova.data.images.colour import luma, to_channels


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_luma_is_bit_equal_to_pillow(colours):
    pixels = np.array([colours], np.uint8)
    assert np.array_equal(luma(pixels), np.asarray(Image.fromarray(pixels).convert("L")))


def test_luma_of_grey_is_the_grey():
    grey = np.arange(256, dtype=np.uint8)
    assert np.array_equal(luma(np.stack([grey] * 3, axis=-1)), grey)


def test_grey_three_times_is_colour_and_colour_becomes_luma():
    colour = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    grey = to_channels(colour, 1)
    assert grey.shape == (3, 5, 1)
    assert np.array_equal(grey[..., 0], np.asarray(Image.fromarray(colour).convert("L")))
    assert np.array_equal(to_channels(grey, 3), np.asarray(Image.fromarray(grey[..., 0]).convert("RGB")))
    assert to_channels(colour, 3) is colour
