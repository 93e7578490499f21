"""Grids of pictures: every pixel is there, and any text fits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ova.data.images.contact_sheet import GridRow, picture_grid_png


def tiles(count=3, height=12, width=12, channels=1, seed=0):
    shape = (height, width, channels)
    return list(np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8))


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def grid(rows, title=("title",), columns=("stored", "epoch 1", "epoch 2")):
    return picture_grid_png(title, columns, rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_small_tiles_are_enlarged_by_a_whole_factor(channels):
    rows = [GridRow("a", tiles(channels=channels)), GridRow("b", tiles(channels=channels, seed=1))]
    picture = opened(grid(rows))
    place = 0
    for row in rows:
        for number, tile in enumerate(row.tiles):
            enlarged = np.broadcast_to(tile, (12, 12, 3)).repeat(8, 0).repeat(8, 1)
            left = 4 + number * 100
            tops = [
                top
                for top in range(place, len(picture) - 95)
                if (picture[top : top + 96, left : left + 96] == enlarged).all()
            ]
            assert len(tops) == 1
        place = tops[0] + 96
    assert picture.shape[1] == 3 * 100 + 4


@pytest.mark.parametrize(
    ("size", "shown"),
    [((12, 12), (96, 96)), ((100, 90), (100, 90)), ((256, 128), (256, 128)), ((512, 300), (256, 150)), ((1, 300), (1, 256))],
)  # fmt: skip
def test_tiles_are_of_a_size_that_can_be_looked_at(size, shown):
    rows = [GridRow("a", tiles(3, *size))]
    picture = opened(grid(rows))
    below = opened(grid([*rows, GridRow("b", tiles(3, *size))]))
    assert picture.shape[1] == 3 * (shown[1] + 4) + 4
    assert len(below) - len(picture) == shown[0] + 18 + 4


@pytest.mark.parametrize(
    "text", ["", "x" * 5000, "b\nc\td\x00", "Ünïcode 太阳能 \U0001f600", "../" * 300, "\ud800"]
)
def test_any_text_can_be_shown(text):
    plain = opened(grid([GridRow("plain", tiles())]))
    picture = opened(grid([GridRow(text, tiles())], columns=(text, "", "b")))
    assert picture.shape == plain.shape
    assert len(opened(grid([GridRow("a", tiles())], title=(text, "two")))) >= len(plain)


def test_a_long_caption_keeps_its_end_and_a_long_title_its_words():
    ends = [grid([GridRow("folder/" * 40 + name, tiles())]) for name in ("cell1.png", "cell2.png")]
    assert ends[0] != ends[1]
    starts = [
        grid([GridRow("a", tiles())], title=(" ".join([word, *"bcdefghijk" * 12]),)) for word in ("x", "y")
    ]
    assert starts[0] != starts[1]


def test_the_same_grid_is_the_same_bytes():
    assert grid([GridRow("a", tiles())]) == grid([GridRow("a", tiles())])
