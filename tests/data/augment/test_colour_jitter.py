"""Light and colour against torchvision, one by one, and their product against float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from augmenting import drawn, pictures, wanted
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from ova.data.augment.colour_jitter import change_light, exact_means, grey, hue_turns, light_factors, turn_hue
from ova.data.augment.recipe import AugmentSettings

TOLERANCE = 1e-3  # float32 holds 255 to 1.5e-5, and a handful of sums follow


def changed(pixels, draws, options):
    return change_light(pixels, torch.from_numpy(light_factors(draws, options)).float(), options)


def hue_turned(pixels, draws, options):
    return turn_hue(pixels, torch.from_numpy(hue_turns(draws, options)).float())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(
    ("setting", "column", "reference"),
    [
        ("exposure", "EXPOSURE", functional.adjust_brightness),
        ("contrast", "CONTRAST", functional.adjust_contrast),
        ("saturation", "SATURATION", functional.adjust_saturation),
    ],
)
def test_factors_agree_with_torchvision(setting, column, reference, share, channels):
    pixels = pictures(4, channels, 9, 14)
    options = AugmentSettings(**{setting: 0.6})
    result = changed(pixels, wanted(**{column: [share] * 4}), options)
    expected = reference(pixels / 255, 1 + 0.6 * (2 * share - 1)) * 255
    # torchvision's weights of grey add up to 0.9999, ours to 1: up to 0.03 of 255 levels apart, times 0.6.
    torch.testing.assert_close(result, expected, atol=0.02 if column != "EXPOSURE" else TOLERANCE, rtol=0)
    assert torch.allclose(result, pixels) == (share == 0.5 or (setting == "saturation" and channels == 1))


def test_brightness_adds_a_share_of_white():
    pixels = torch.full((3, 1, 2, 2), 100.0)
    result = changed(pixels, wanted(BRIGHTNESS=[0.0, 0.5, 1.0]), AugmentSettings(brightness=0.1))
    np.testing.assert_allclose(result[:, 0, 0, 0], [74.5, 100, 125.5], atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_all_light_at_once_is_one_after_the_other(channels):
    pixels, draws = pictures(40, channels), drawn(40)
    options = AugmentSettings(exposure=0.3, contrast=0.5, brightness=0.2, saturation=0.7)
    expected = []
    for image, (exposure, contrast, saturation, offset) in zip(
        pixels.double().numpy(), light_factors(draws, options), strict=True
    ):
        lit = image * exposure
        shares = np.array([0.299, 0.587, 0.114] if channels == 3 else [1.0]).reshape(-1, 1, 1)
        mean = (lit * shares).sum(0).mean()
        lit = (lit - mean) * contrast + mean + offset
        middle = (lit * shares).sum(0)
        expected.append(np.clip((lit - middle) * saturation + middle, 0, 255))
    np.testing.assert_allclose(changed(pixels, draws, options), np.array(expected), atol=0.01)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_hue_agrees_with_torchvision(share, strength):
    pixels = pictures(4, 3, 9, 14)
    pixels[0, :, 0] = torch.tensor([255.0, 255.0, 0.0]).reshape(3, 1)  # two largest channels
    pixels[1, :, 0] = torch.tensor([7.0, 255.0, 255.0]).reshape(3, 1)
    result = hue_turned(pixels, wanted(HUE=[share] * 4), AugmentSettings(hue=strength))
    expected = functional.adjust_hue(pixels / 255, strength * (2 * share - 1)) * 255
    # Saturation and hue are quotients of differences: torchvision multiplies them out again.
    torch.testing.assert_close(result, expected, atol=0.01, rtol=0)
    if share == 0.5:
        torch.testing.assert_close(result, pixels, atol=0.01, rtol=0)


@given(st.integers(0, 255), st.integers(0, 2**31))
def test_grey_stays_grey(level, seed):
    pixels = torch.full((6, 3, 2, 2), float(level))
    draws = drawn(seed=seed)
    assert torch.equal(hue_turned(pixels, draws, AugmentSettings(hue=0.5)), pixels)
    result = changed(pixels, draws, AugmentSettings(saturation=1))
    torch.testing.assert_close(result, pixels, atol=TOLERANCE, rtol=0)


def test_light_stays_in_range():
    draws = np.repeat([[0.0], [0.5], [np.nextafter(1.0, 0)]], wanted(HUE=0).shape[1], axis=1)
    pixels = torch.tensor([0.0, 120.0, 255.0]).expand(3, 3, 3, 3)
    options = AugmentSettings(brightness=1, contrast=1, exposure=1, saturation=1)
    result = changed(pixels, draws, options)
    assert (result.min(), result.max()) == (0, 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_means_are_those_of_float64(channels):
    pixels = torch.rand(5, channels, 31, 17, generator=torch.Generator().manual_seed(0)) * 255
    expected = pixels.double().mean((2, 3), keepdim=True)
    # A value is rounded by 1/512 at most, and 527 of them by less on average.
    torch.testing.assert_close(exact_means(pixels).double(), expected, atol=5e-4, rtol=0)
    whole = torch.full((1, channels, 300, 300), 255.0)
    assert (exact_means(whole) == 255).all()


def test_means_do_not_depend_on_threads_or_memory_order():
    pixels = torch.rand(1, 3, 300, 301, generator=torch.Generator().manual_seed(0)) * 255
    alone = torch.cat([exact_means(pixels[:, channel : channel + 1]) for channel in range(3)], dim=1)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    shared = exact_means(pixels[:, :1])
    torch.set_num_threads(threads)
    assert torch.equal(shared, alone[:, :1])
    assert torch.equal(exact_means(pixels.contiguous(memory_format=torch.channels_last)), alone)


def test_grey_is_pillows():
    pixels = pictures(4, 3)
    torch.testing.assert_close(grey(pixels), functional.rgb_to_grayscale(pixels), atol=0.03, rtol=0)
    assert torch.equal(grey(pixels[:, :1]), pixels[:, :1])
