from __future__ import annotations

import os
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from ova.data.files.read import MAX_IMAGE_BYTES
from ova.data.images.colour import luma
from ova.data.images.decode import decode_bytes, decode_image
from ova.data.images.resize import resize_pixels
from ova.errors import DataError


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def raw_png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(extra)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_8_bit_grey_and_rgb_come_back_as_they_are(seed, height, width):
    random = np.random.default_rng(seed)
    grey = random.integers(0, 256, (height, width), dtype=np.uint8)
    colour = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    from_grey, from_colour = encode(Image.fromarray(grey)), encode(Image.fromarray(colour))
    assert np.array_equal(decode_image(from_grey, channels=1), grey[:, :, None])
    assert np.array_equal(decode_image(from_grey, channels=3), np.stack([grey] * 3, axis=2))
    assert np.array_equal(decode_image(from_colour, channels=3), colour)
    assert np.array_equal(decode_image(from_colour, channels=1)[:, :, 0], luma(colour))


def test_result_is_contiguous_writable_uint8(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(encode(Image.fromarray(noise(5, 7, 3)), "JPEG"))
    for channels in (1, 3):
        pixels = decode_image(path, channels=channels)
        assert pixels.shape == (5, 7, channels)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
    with pytest.raises(ValueError, match="channels must be 1 or 3"):
        decode_image(path, channels=4)


def test_16_bit_ramp_is_scaled_and_never_clipped():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    scaled = decode_image(encode(Image.fromarray(ramp)), channels=1)[:, :, 0]
    assert np.array_equal(scaled, np.floor(ramp / 65535 * 255 + 0.5).astype(np.uint8))
    assert abs(scaled.mean() - 127.5) < 0.01
    camera = encode(Image.fromarray(ramp[:16]))
    scaled = decode_image(camera, channels=1, white_level=4095)[:, :, 0]
    expected = [(value * 255 * 2 + 4095) // (2 * 4095) for value in range(4096)]
    assert scaled.ravel().tolist() == expected
    with pytest.raises(DataError, match="4095, above white_level 4000; declare"):
        decode_image(camera, channels=1, white_level=4000)


def test_white_level_leaves_8_bit_images_alone():
    grey = noise(4, 4)
    assert np.array_equal(
        decode_image(encode(Image.fromarray(grey)), channels=1, white_level=10)[:, :, 0], grey
    )


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_16_bit_colour_and_alpha_are_refused(colour):
    samples = {2: 3, 4: 2, 6: 4}[colour]
    content = raw_png(1, 1, 16, colour, b"\0" + struct.pack(f">{samples}H", *[300] * samples))
    with pytest.raises(DataError, match="16 bits a channel"):
        decode_image(content, channels=3)


def over_black(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.floor(colours.astype(float) * alpha[..., None] / 255 + 0.5).astype(np.uint8)


def test_alpha_is_laid_over_black():
    rgba, grey_alpha = noise(16, 16, 4), noise(16, 16, 2)
    expected = over_black(rgba[:, :, :3], rgba[:, :, 3])
    assert np.array_equal(decode_image(encode(Image.fromarray(rgba)), channels=3), expected)
    content = encode(Image.fromarray(grey_alpha))
    assert Image.open(BytesIO(content)).mode == "LA"
    expected = over_black(grey_alpha[:, :, :1], grey_alpha[:, :, 1])
    assert np.array_equal(decode_image(content, channels=1), expected)


def test_palette_with_and_without_transparency():
    index = noise(12, 12) % 4
    palette = [10, 20, 30, 200, 100, 50, 255, 255, 255, 0, 0, 9]
    image = Image.fromarray(index)
    image.putpalette(palette)
    assert image.mode == "P"
    colours = np.array(palette, np.uint8).reshape(4, 3)
    assert np.array_equal(decode_image(encode(image), channels=3), colours[index])
    for transparency in (bytes([0, 128, 255, 7]), 2):
        alpha = np.array([255] * 4, np.uint8)
        if isinstance(transparency, bytes):
            alpha[:] = list(transparency)
        else:
            alpha[transparency] = 0
        content = encode(image, transparency=transparency)
        assert np.array_equal(decode_image(content, channels=3), over_black(colours[index], alpha[index]))


@pytest.mark.parametrize(
    ("depth", "colour", "row", "key", "expected"),
    [
        (8, 0, bytes([1, 2, 3, 4]), struct.pack(">H", 2), [1, 0, 3, 4]),
        (16, 0, struct.pack(">4H", 257, 514, 771, 65535), struct.pack(">H", 514), [1, 0, 3, 255]),
        (8, 2, bytes([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]), struct.pack(">3H", 2, 2, 2), [1, 0, 3, 4]),
    ],
)
def test_colour_key_transparency_is_black(depth, colour, row, key, expected):
    content = raw_png(4, 1, depth, colour, b"\0" + row, chunk(b"tRNS", key))
    assert decode_image(content, channels=1).ravel().tolist() == expected


def test_1_bit():
    bits = noise(9, 11) > 127
    assert np.array_equal(
        decode_image(encode(Image.fromarray(bits)), channels=1)[:, :, 0], bits * np.uint8(255)
    )


def test_cmyk_jpeg_is_converted():
    levels = np.zeros((16, 16, 4), np.uint8)
    levels[:8, :, 0] = 255  # cyan above, half black below
    levels[8:, :, 3] = 128
    content = encode(Image.fromarray(levels, "CMYK"), "JPEG", quality=100)
    pixels = decode_image(content, channels=3).astype(int)
    assert np.abs(pixels[:8] - [0, 255, 255]).max() <= 2
    assert np.abs(pixels[8:] - 127).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(noise(10, 6, 3)), kind, exif=exif)
    with Image.open(BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    pixels = decode_image(content, channels=3)
    assert np.array_equal(pixels, expected)
    assert pixels.shape == ((10, 6, 3) if orientation < 5 else (6, 10, 3))
    assert np.array_equal(decode_image(content, channels=1)[:, :, 0], luma(expected))


@pytest.mark.parametrize("orientation", [0, 9, 4711])
def test_meaningless_orientation_is_ignored(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = noise(4, 5)
    assert np.array_equal(
        decode_image(encode(Image.fromarray(pixels), exif=exif), channels=1)[:, :, 0], pixels
    )


def test_unreadable_exif_does_not_cost_the_image():
    pixels = noise(4, 5)
    content = encode(Image.fromarray(pixels), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert np.array_equal(decode_image(content, channels=1)[:, :, 0], pixels)


def test_colour_profile_is_ignored():
    pixels = noise(4, 5, 3)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert np.array_equal(
        decode_image(encode(Image.fromarray(pixels), icc_profile=profile), channels=3), pixels
    )


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("PNG", {"compress_level": 0})],
)
def test_cut_off_file_is_named_or_complete(tmp_path, kind, options):
    content = encode(Image.fromarray(noise(40, 40, 3)), kind, **options)
    whole = decode_image(content, channels=3)
    path = tmp_path / "cut.jpg"
    refusals = []
    lengths = {len(content) * share // 100 for share in range(0, 100, 5)} | {
        len(content) - n for n in range(1, 20)
    }
    for length in lengths:
        path.write_bytes(content[:length])
        try:
            assert np.array_equal(decode_image(path, channels=3), whole)
        except DataError as error:
            refusals.append(str(error))
    assert len(refusals) >= 20
    assert all(message.startswith(f"{path}: ") and "\n" not in message for message in refusals)


@pytest.mark.parametrize(
    "size", [(50_000, 50_000), (12_000, 12_000), (10_000, 5_001), (70_000, 1), (1, 70_000)]
)
def test_bomb_is_refused_by_its_header(size):
    width, height = size
    content = raw_png(width, height, 8, 0, b"\0")
    with pytest.raises(
        DataError, match=rf"image bytes: has {width} x {height} pixels, the limit is 50,000,000"
    ):
        decode_image(content, channels=1)


def test_jpeg_bomb_is_refused_by_its_header():
    content = encode(Image.fromarray(noise(8, 8)), "JPEG")
    start = content.index(b"\xff\xc0") + 5
    content = content[:start] + struct.pack(">HH", 60_000, 60_000) + content[start + 4 :]
    with pytest.raises(DataError, match="has 60000 x 60000 pixels"):
        decode_image(content, channels=1)


def test_animation_is_refused():
    frames = [Image.fromarray(noise(5, 5)), Image.fromarray(255 - noise(5, 5))]
    content = encode(frames[0], save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="is animated"):
        decode_image(content, channels=1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html>", "is neither JPEG nor PNG .*<!DOCTYP"),
        (
            encode(Image.fromarray(noise(5, 5)), "GIF"),
            "is neither JPEG nor PNG .*GIF89a|is neither JPEG nor PNG .*GIF87a",
        ),
        (b"\x89PNG\r\n\x1a\n", "damaged or cut-off PNG"),
        (b"\xff\xd8\xff", "damaged or cut-off JPEG"),
        (raw_png(0, 1, 8, 0, b"\0"), "damaged or cut-off PNG"),
    ],
)
def test_what_is_no_image_is_one_clear_line(tmp_path, content, reason):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        decode_image(path, channels=1)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_missing_folder_device_and_too_large(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        decode_image(tmp_path / "none.png", channels=1)
    with pytest.raises(DataError, match="is a folder"):
        decode_image(tmp_path, channels=1)
    with pytest.raises(DataError, match="cannot be read"):
        decode_image(tmp_path / "nul\0.png", channels=1)
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(DataError, match="67,108,865 bytes, the limit is 67,108,864"):
        decode_image(large, channels=1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="not a regular file"):
        decode_image(tmp_path / "pipe.png", channels=1)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["JPEG", "PNG"]))
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_decode_or_give_a_data_error(seed, kind):
    random = np.random.default_rng(seed)
    content = bytearray(encode(Image.fromarray(noise(12, 12, 3)), kind))
    for position in random.integers(0, len(content), 4):
        content[position] = random.integers(0, 256)
    message = ""
    try:
        assert decode_image(bytes(content), channels=3).shape[2] == 3
    except DataError as error:
        message = str(error)
    assert "\n" not in message


# Drafts


def photo(height: int, width: int) -> Image.Image:
    """Smooth shapes with some grain, as a photo has."""
    rows, columns = np.mgrid[0:height, 0:width]
    shapes = [110 + 90 * np.sin(rows / (9 + 4 * plane)) * np.cos(columns / 13 + plane) for plane in range(3)]
    grain = np.random.default_rng(1).normal(0, 4, (height, width, 3))
    return Image.fromarray((np.stack(shapes, axis=2) + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [
        ((64, 64), 32, (32, 32)),
        ((64, 64), 33, (64, 64)),
        ((64, 64), 65, (64, 64)),
        ((64, 64), 16, (16, 16)),
        ((64, 64), 8, (8, 8)),
        ((64, 64), 1, (8, 8)),
        ((64, 200), 16, (16, 50)),
        ((201, 67), 16, (51, 17)),
        ((65, 66), 32, (33, 33)),
    ],
)
def test_draft_is_the_greatest_reduction_with_both_sides_long_enough(size, side, expected):
    content = encode(photo(*size), "JPEG")
    assert decode_image(content, channels=3, draft_side=side).shape[:2] == expected
    decoded = decode_bytes(content, draft_side=side)
    assert (decoded.height, decoded.width) == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_draft_is_turned_upright(orientation):
    image = photo(64, 96)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(image, "JPEG", exif=exif, quality=95)
    decoded = decode_bytes(content, draft_side=32)
    whole = decode_image(content, channels=3)
    assert (decoded.height, decoded.width) == whole.shape[:2]
    assert decoded.pixels.shape[:2] == (whole.shape[0] // 2, whole.shape[1] // 2)
    small = whole.reshape(whole.shape[0] // 2, 2, whole.shape[1] // 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(decoded.pixels - small).mean() < 3


def test_a_draft_is_nearly_what_full_decoding_and_resizing_shows():
    content = encode(photo(900, 1200), "JPEG", quality=90)
    full, draft = (
        resize_pixels(decode_image(content, channels=3, draft_side=side), (224, 224)) for side in (None, 448)
    )
    difference = np.abs(full.astype(int) - draft)
    assert decode_bytes(content, draft_side=448).pixels.shape == (450, 600, 3)
    assert 0 < difference.mean() < 0.6


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_has_drafts(mode):
    content = encode(photo(64, 64).convert(mode), "JPEG")
    assert decode_image(content, channels=3, draft_side=16).shape == (16, 16, 3)


def test_png_and_cut_off_files_are_no_drafts():
    image = photo(64, 64)
    assert np.array_equal(decode_image(encode(image), channels=3, draft_side=8), np.asarray(image))
    with pytest.raises(DataError, match="damaged or cut-off JPEG"):
        decode_image(encode(image, "JPEG")[:-300], channels=3, draft_side=8)
