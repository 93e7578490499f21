from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ova.data.images.resize import resize_pixels, resize_weights

LENGTHS = st.integers(1, 40)


def brute_force_weights(length: int, size: int) -> list[list[int]]:
    rows = []
    for output in range(size):
        triangle = [
            max(0, 2 * max(length, size) - abs((2 * i + 1) * size - (2 * output + 1) * length))
            for i in range(length)
        ]
        edges = [0]
        for end in range(1, length + 1):
            edges.append((2 * sum(triangle[:end]) * 65536 + sum(triangle)) // (2 * sum(triangle)))
        rows.append([after - before for before, after in pairwise(edges)])
    return rows


def brute_force_resize(pixels: list[list[int]], height: int, width: int) -> list[list[int]]:
    def one_axis(line: list[int], size: int) -> list[int]:
        return [
            (sum(w * x for w, x in zip(weights, line, strict=True)) + 32768) // 65536
            for weights in brute_force_weights(len(line), size)
        ]

    wide = [one_axis(row, width) for row in pixels]
    tall = [one_axis(list(column), height) for column in zip(*wide, strict=True)]
    return [list(row) for row in zip(*tall, strict=True)]


def ideal_weights(length: int, size: int) -> np.ndarray:
    distance = np.abs((np.arange(length) + 0.5) - ((np.arange(size) + 0.5) * length / size)[:, None])
    triangle = np.maximum(0, 1 - distance / max(1, length / size))
    return triangle / triangle.sum(axis=1, keepdims=True)


@given(LENGTHS, LENGTHS)
@settings(max_examples=100, deadline=None)
def test_weights_are_the_integers_of_the_definition(length, size):
    weights = resize_weights(length, size)
    assert weights.dtype == np.int64
    assert weights.tolist() == brute_force_weights(length, size)


@pytest.mark.parametrize(
    ("length", "size"), [(1, 1), (1, 9), (300, 224), (224, 300), (4001, 7), (65535, 3), (5, 5)]
)
def test_weights_add_up_exactly_and_stay_within_one_unit(length, size):
    weights = resize_weights(length, size)
    assert weights.shape == (size, length)
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == 2**16).all()
    ideal = ideal_weights(length, size)
    assert np.abs(weights - 2**16 * ideal).max() < 1 + 1e-6


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24), st.integers(1, 24), st.integers(1, 24)
)
@settings(max_examples=60, deadline=None)
def test_pixels_equal_the_brute_force(seed, height, width, new_height, new_width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 1), dtype=np.uint8)
    resized = resize_pixels(pixels, (new_height, new_width))
    assert resized.dtype == np.uint8
    assert resized[:, :, 0].tolist() == brute_force_resize(pixels[:, :, 0].tolist(), new_height, new_width)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((300, 300, 1), (224, 224)),
        ((300, 300, 1), (112, 96)),
        ((64, 48, 3), (224, 160)),
        ((37, 501, 3), (200, 100)),
        ((501, 37, 3), (9, 111)),
        ((1, 200, 1), (5, 64)),
        ((90, 90, 3), (90, 31)),
        ((1200, 800, 3), (56, 56)),
    ],
)
@pytest.mark.parametrize("kind", ["random", "smooth"])
def test_at_most_one_level_from_pillow(shape, size, kind):
    channels = shape[2]
    if kind == "random":
        pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    else:
        rows, columns, planes = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
        pixels = np.uint8(127.5 + 127 * np.sin(rows / 9 + planes) * np.cos(columns / 13))
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    expected = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).reshape(*size, channels)
    assert np.abs(resize_pixels(pixels, size).astype(int) - expected).max() <= 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 600), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_one_axis_is_the_ideal_sum_rounded(seed, length, size):
    pixels = np.random.default_rng(seed).integers(0, 256, (3, length, 1), dtype=np.uint8)
    ideal = pixels[:, :, 0] @ ideal_weights(length, size).T
    for resized in (
        resize_pixels(pixels, (3, size)),
        resize_pixels(pixels.swapaxes(0, 1), (size, 3)).swapaxes(0, 1),
    ):
        assert np.abs(resized[:, :, 0] - ideal).max() < 0.55


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_constant_stays_constant(level):
    pixels = np.full((31, 47, 3), level, np.uint8)
    for size in [(7, 5), (31, 90), (64, 47), (1, 1)]:
        assert (resize_pixels(pixels, size) == level).all()


def test_same_size_is_a_copy():
    pixels = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    resized = resize_pixels(pixels, (20, 30))
    assert np.array_equal(resized, pixels)
    assert not np.shares_memory(resized, pixels)
    assert (resize_weights(20, 20) == 2**16 * np.eye(20)).all()


def test_torch_gives_the_same_bits_with_dense_weights():
    pixels = np.random.default_rng(3).integers(0, 256, (75, 130, 3), dtype=np.uint8)
    values = torch.from_numpy(pixels).permute(2, 0, 1).float()
    across, down = (torch.from_numpy(resize_weights(n, m)).float() for n, m in [(130, 56), (75, 96)])
    values = torch.floor((values @ across.T + 2**15) / 2**16)
    values = torch.floor((down @ values + 2**15) / 2**16)
    expected = values.permute(1, 2, 0).to(torch.uint8).numpy()
    assert np.array_equal(resize_pixels(pixels, (96, 56)), expected)


def test_a_crop_is_that_of_torchvision():
    from torchvision.transforms.v2 import functional

    pixels = np.random.default_rng(0).integers(0, 256, (256, 320, 3), dtype=np.uint8)
    cropped = functional.center_crop(torch.from_numpy(pixels).permute(2, 0, 1), [224, 280])
    wanted = resize_pixels(cropped.permute(1, 2, 0).numpy(), (96, 120))
    assert np.array_equal(resize_pixels(pixels, (96, 120), 875), wanted)
