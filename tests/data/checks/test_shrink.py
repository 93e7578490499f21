from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ova.data.checks.copy import shrink_image
from ova.data.images.decode import decode_image
from ova.errors import DataError


def photo(height: int, width: int, mode: str = "RGB") -> Image.Image:
    """Slow waves, so that a smaller picture shows the same."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [127 + 100 * np.sin(rows / (20 + 3 * plane)) * np.cos(columns / 25) for plane in range(3)]
    return Image.fromarray(np.stack(planes, axis=2).astype(np.uint8)).convert(mode)


def encode(image: Image.Image, kind: str, **options) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_it_shows_what_pillow_would_make_of_it(kind, mode):
    content = encode(photo(150, 210, mode), kind)
    small = shrink_image(content, 60)
    assert small is not None
    with Image.open(BytesIO(small)) as image:
        assert (image.format, image.mode, image.size) == (kind, mode, (84, 60))
    with Image.open(BytesIO(content)) as image:
        expected = np.asarray(image.resize((84, 60), Image.Resampling.BILINEAR), int)
    channels = 3 if mode == "RGB" else 1
    difference = decode_image(small, channels=channels).astype(int) - expected.reshape(60, 84, channels)
    assert np.abs(difference).max() <= (1 if kind == "PNG" else 8)


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_the_shorter_side_has_the_length_and_the_shape_stays(height, width, short_side):
    small = shrink_image(encode(photo(height, width), "PNG"), short_side)
    if min(height, width) <= short_side:
        assert small is None
        return
    assert small is not None
    shape = decode_image(small, channels=3).shape
    scale = short_side / min(height, width)
    assert min(shape[:2]) == short_side
    assert np.abs(np.array(shape[:2]) - scale * np.array([height, width])).max() <= 0.5


def test_sideways_pictures_come_out_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    small = shrink_image(encode(photo(80, 120), "JPEG", exif=exif), 40)
    assert small is not None
    with Image.open(BytesIO(small)) as image:
        assert image.size == (40, 60)
        assert not image.getexif()


def test_deep_grey_becomes_8_bits_by_its_white_level():
    deep = Image.fromarray(np.full((40, 40), 1000, np.uint16))
    small = shrink_image(encode(deep, "PNG"), 20, white_level=2000)
    assert small is not None
    assert (decode_image(small, channels=1) == 128).all()


def test_what_is_no_image_is_refused():
    with pytest.raises(DataError, match="neither JPEG nor PNG"):
        shrink_image(b"GIF89a", 10)
