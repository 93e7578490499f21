"""The short way of decoding a JPEG, against Pillow."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from ova.data.images import decode as images
from ova.data.images.decode import decode_bytes, decode_sound_jpeg
from ova.errors import DataError


def picture(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Smooth colours, so that subsampled chroma and every filter of the decoder have something to do."""
    coarse = np.random.default_rng(seed).integers(
        0, 256, (height // 5 + 2, width // 5 + 2, 3), dtype=np.uint8
    )
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encode(image: Image.Image, **options) -> bytes:
    content = BytesIO()
    image.save(content, "JPEG", **options)
    return content.getvalue()


def opened(content: bytes, draft_side: int | None = None) -> JpegImageFile:
    header = JpegImageFile(BytesIO(content))
    if draft_side is not None:
        header.draft(None, (draft_side, draft_side))
    return header


def pillow(content: bytes, draft_side: int | None = None) -> np.ndarray:
    pixels = np.asarray(opened(content, draft_side))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


@given(
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    mode=st.sampled_from(["L", "RGB"]),
    draft_side=st.none() | st.integers(1, 60),
    options=st.fixed_dictionaries(
        {
            "quality": st.integers(1, 100),
            "progressive": st.booleans(),
            "optimize": st.booleans(),
            "subsampling": st.sampled_from([0, 1, 2]),
            "restart_marker_blocks": st.integers(0, 3),
        }
    ),
)
@settings(max_examples=150, deadline=None)
def test_every_sound_jpeg_has_the_pixels_of_pillow(size, mode, draft_side, options):
    content = encode(picture(*size, mode), **options)
    pixels = decode_sound_jpeg(content, opened(content, draft_side))
    assert pixels is not None
    np.testing.assert_array_equal(pixels, pillow(content, draft_side), strict=True)


def test_rgb_that_is_stored_as_rgb():
    content = encode(picture(40, 50), keep_rgb=True, subsampling=0)
    pixels = decode_sound_jpeg(content, opened(content))
    np.testing.assert_array_equal(pixels, pillow(content), strict=True)


@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(["overwrite", "insert", "cut"]))
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_what_pillow_says_it_is(seed, progressive, damage):
    random = np.random.default_rng(seed)
    content = bytearray(encode(picture(40, 50), progressive=progressive, restart_marker_blocks=2))
    place = int(random.integers(3, len(content)))
    if damage == "cut":
        del content[place:]
    elif damage == "insert":
        content[place:place] = random.integers(0, 256, 3, dtype=np.uint8).tobytes()
    else:
        content[place] = random.integers(0, 256)
    try:
        header = opened(bytes(content))
        expected = pillow(bytes(content))
    except Exception:
        with pytest.raises(DataError):
            decode_bytes(bytes(content))
        return
    pixels = decode_sound_jpeg(bytes(content), header)
    assert pixels is None or np.array_equal(pixels, expected)
    if header.mode in ("L", "RGB") and not header.getexif():
        assert np.array_equal(decode_bytes(bytes(content)).pixels, expected)


def test_what_libjpeg_warns_of_is_left_to_pillow():
    content = encode(picture(40, 50))
    warned = content[:-2] + b"\0\0\0" + content[-2:]
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(warned)
    assert decode_sound_jpeg(warned, opened(warned)) is None
    assert np.array_equal(decode_bytes(warned).pixels, pillow(warned))


def test_four_channels_are_left_to_pillow():
    content = encode(picture(20, 30, "CMYK"))
    assert decode_sound_jpeg(content, opened(content)) is None
    assert decode_bytes(content).pixels.shape == (20, 30, 3)


def test_a_size_other_than_the_one_that_was_checked_is_not_decoded(monkeypatch):
    content = encode(picture(20, 30))
    monkeypatch.setattr("simplejpeg.decode_jpeg_header", lambda *_, **__: (60_000, 60_000, "RGB", "444"))
    monkeypatch.setattr("simplejpeg.decode_jpeg", lambda *_, **__: pytest.fail("was decoded"))
    assert decode_sound_jpeg(content, opened(content)) is None


def test_the_decoder_takes_the_short_way_and_pillow_loads_nothing(monkeypatch):
    content = encode(picture(64, 64))
    monkeypatch.setattr(images.JpegImageFile, "load", lambda *_: pytest.fail("Pillow decoded it too"))
    assert decode_bytes(content).pixels.shape == (64, 64, 3)
    assert decode_bytes(content, draft_side=16).pixels.shape == (16, 16, 3)


def test_pillow_alone_gives_the_same(monkeypatch):
    content = encode(picture(64, 64))
    pixels = decode_bytes(content).pixels
    monkeypatch.setattr("ova.data.images.decode._SIMPLEJPEG_INSTALLED", False)
    assert decode_sound_jpeg(content, opened(content)) is None
    assert np.array_equal(decode_bytes(content).pixels, pixels)
