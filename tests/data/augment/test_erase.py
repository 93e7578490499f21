"""Random erasing against torchvision's `erase`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from augmenting import drawn, pictures, wanted
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from ova.data.augment.erase import erase, erased_boxes
from ova.data.augment.recipe import AugmentSettings

HIGHEST = np.nextafter(1.0, 0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(20, 20), (12, 31)])
def test_erasing_agrees_with_torchvision(channels, height, width):
    pixels, draws = pictures(30, channels, height, width), drawn(30)
    before = pixels.clone()
    boxes = erased_boxes(draws, AugmentSettings(erasing=0.4), height, width)
    result = erase(pixels, torch.from_numpy(boxes))
    for image, part, (top, bottom, left, right) in zip(pixels, result, boxes.tolist(), strict=True):
        mean = image.mean((1, 2), keepdim=True)
        expected = functional.erase(image, top, left, bottom - top, right - left, mean)
        torch.testing.assert_close(part, expected, atol=2e-3, rtol=0)
    assert torch.equal(pixels, before)
    assert (result != pixels).any((1, 2, 3)).sum() > 20


@given(
    st.floats(0, HIGHEST), st.floats(0, HIGHEST), st.floats(0, HIGHEST), st.floats(0, HIGHEST),
    st.floats(0, 0.5), st.integers(1, 40), st.integers(1, 40),
)  # fmt: skip
def test_boxes_lie_in_the_image(area, aspect, row, column, erasing, height, width):
    draws = wanted(ERASE_AREA=area, ERASE_ASPECT=aspect, ERASE_ROW=row, ERASE_COLUMN=column)
    [(top, bottom, left, right)] = erased_boxes(draws, AugmentSettings(erasing=erasing), height, width)
    assert 0 <= top <= bottom <= height
    assert 0 <= left <= right <= width
    assert bottom - top - 0.5 <= np.sqrt(erasing * area * height * width * 10 / 3) + 1e-9


def test_boxes_have_the_area_that_was_drawn():
    draws = wanted(ERASE_AREA=np.linspace(0, HIGHEST, 50), ERASE_ASPECT=0.3)
    top, bottom, left, right = erased_boxes(draws, AugmentSettings(erasing=0.2), 400, 400).T
    share = (bottom - top) * (right - left) / 400**2
    np.testing.assert_allclose(share, 0.2 * np.linspace(0, 1, 50), atol=0.003)


def test_boxes_reach_every_border():
    options = AugmentSettings(erasing=0.25)
    draws = wanted(ERASE_AREA=1.0, ERASE_ROW=[0.0, HIGHEST], ERASE_COLUMN=[0.0, HIGHEST])
    assert erased_boxes(draws, options, 20, 30).tolist() == [[0, 12, 0, 12], [8, 20, 18, 30]]


def test_an_empty_box_erases_nothing():
    pixels = pictures(1)
    assert torch.equal(erase(pixels, torch.tensor([[3, 3, 0, 24]])), pixels)
