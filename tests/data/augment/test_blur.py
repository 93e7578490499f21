"""Blur and sharpness against torchvision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from augmenting import drawn, pictures, wanted
from torchvision.transforms.v2 import functional

from ova.data.augment.blur import blur, blur_weights, sharpen, sharpness_factors
from ova.data.augment.recipe import AugmentSettings

# Both sum some 200 products of float32 below 255, whose rounding is 1.5e-5 each.
TOLERANCE = 2e-3


def blurred(pixels, draws, options):
    return blur(pixels, torch.from_numpy(blur_weights(draws, options)).float())


def sharpened(pixels, draws, options):
    return sharpen(pixels, torch.from_numpy(sharpness_factors(draws, options)).float())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("strength", "reach"), [(0.3, 1), (1.0, 3), (2.4, 8)])
def test_blur_agrees_with_torchvision(strength, reach, channels):
    pixels, draws = pictures(4, channels, 20, 33), wanted(BLUR=[0.1, 0.5, 0.8, 1.0])
    result = blurred(pixels, draws, AugmentSettings(blur=strength))
    for image, part, share in zip(pixels, result, (0.1, 0.5, 0.8, 1.0), strict=True):
        expected = functional.gaussian_blur(image, [2 * reach + 1] * 2, [share * strength] * 2)
        torch.testing.assert_close(part, expected, atol=TOLERANCE, rtol=0)


def test_no_blur_is_no_change():
    pixels = pictures()
    assert torch.equal(blurred(pixels, wanted(BLUR=[0.0] * 6), AugmentSettings(blur=2)), pixels)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (3, 2)])
def test_blur_reaches_beyond_a_tiny_image(height, width):
    pixels = pictures(8, 1, height, width)
    result = blurred(pixels, drawn(8), AugmentSettings(blur=10))
    assert result.min() >= 0
    assert result.max() <= 255 + TOLERANCE
    if height * width == 1:
        torch.testing.assert_close(result, pixels)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("share", "factor"), [(0.0, 0.2), (0.25, 0.6), (0.5, 1.0), (1.0, 1.8)])
def test_sharpness_agrees_with_torchvision(share, factor, channels):
    pixels = pictures(4, channels, 9, 14)
    result = sharpened(pixels, wanted(SHARPNESS=[share] * 4), AugmentSettings(sharpness=0.8))
    # torchvision treats float images as 0..1.
    expected = functional.adjust_sharpness(pixels / 255, factor) * 255
    torch.testing.assert_close(result, expected, atol=TOLERANCE, rtol=0)
    assert torch.equal(result, pixels) == (factor == 1.0)


@pytest.mark.parametrize(("height", "width"), [(2, 9), (9, 1)])
def test_images_without_a_middle_stay(height, width):
    pixels = pictures(4, 1, height, width)
    assert torch.equal(sharpened(pixels, drawn(4), AugmentSettings(sharpness=1)), pixels)


def test_pictures_are_left_as_they_were():
    pixels = pictures()
    before = pixels.clone()
    sharpened(pixels, drawn(), AugmentSettings(sharpness=1))
    blurred(pixels, drawn(), AugmentSettings(blur=1))
    assert torch.equal(pixels, before)
    assert np.isfinite(blur_weights(drawn(), AugmentSettings(blur=1e-9))).all()
