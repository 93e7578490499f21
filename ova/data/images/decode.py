"""The one image decoder: training, export check, prediction and serving all see these pixels.

Policy, the same everywhere:

- JPEG and PNG, known by their first bytes, not by the file name; one frame; at most 64 MiB, 50 megapixels
  and 65,535 pixels a side, checked from the header before anything is decoded.
- A file that does not decode to its end is refused, never filled up.
- A JPEG without a flaw is read by simplejpeg where that is installed, with the same pixels; Pillow reads all
  else. Both call libjpeg-turbo, but Pillow keeps four bytes a pixel, and copies them twice on their way to an
  array: a third of the time of decoding a photograph.
- A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size where the dataset says so (`draft_side`).
- EXIF orientation is applied. Colour profiles and gamma chunks are ignored.
- Transparent pixels are laid over black. Palette, 1-bit and CMYK images become RGB or grey.
- 16-bit grey is divided by its white level and rounded half up; a value above it is refused, never clipped.
  16-bit colour and 16-bit grey with alpha are refused: Pillow would drop the lower 8 bits without a word.
- Grey from colour is the ITU-R 601 luma; colour from grey repeats it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from ova.data.files.read import MAX_IMAGE_BYTES, read_image, too_large
from ova.data.images.colour import to_channels
from ova.errors import DataError

_MAX_PIXELS = 50_000_000
_MAX_SIDE = 65_535
_DEFAULT_WHITE_LEVEL = 65_535

_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH_AND_COLOUR = slice(24, 26)
# Bit depth 16 with colour type RGB, grey + alpha, RGBA.
_PNG_DEEP = (b"\x10\x02", b"\x10\x04", b"\x10\x06")

# A machine that only predicts may have Pillow alone.
_SIMPLEJPEG_INSTALLED = find_spec("simplejpeg") is not None
_SIMPLEJPEG_COLOURS = {"L": "GRAY", "RGB": "RGB"}


@dataclass(frozen=True, eq=False)
class Decoded:
    """An image as it lies in its file, 8 bits, upright."""

    pixels: NDArray[np.uint8]
    """(height, width, channels): 1 channel where the file is grey, 3 where it is RGB; may be read-only."""
    height: int
    """Of the file, upright: more than that of `pixels` where a JPEG was decoded smaller."""
    width: int


def decode_image(
    source: Path | bytes, *, channels: int, white_level: int | None = None, draft_side: int | None = None
) -> NDArray[np.uint8]:
    """Decode one image to 8 bits.

    Args:
        source: A JPEG or PNG file, or its bytes.
        channels: 1 for grey, 3 for RGB.
        white_level: Value of 16-bit grey images that becomes 255; 65535 when None. No effect on 8-bit images.
        draft_side: Lets libjpeg decode a JPEG at the smallest of 1/1, 1/2, 1/4 and 1/8 that leaves both sides
            at least this long: much faster, and antialiased. In full when None. No effect on PNG.

    Returns:
        (height, width, channels), uint8, C-contiguous, writable, upright.

    Raises:
        DataError: The file is missing, too large, not a sound JPEG or PNG, or of a kind that is refused.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got {channels}")
    name = "image bytes" if isinstance(source, bytes) else str(source)
    content = source if isinstance(source, bytes) else read_image(source)
    try:
        decoded = decode_bytes(content, white_level=white_level, draft_side=draft_side)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return np.require(to_channels(decoded.pixels, channels), requirements=["C", "W"])


def decode_bytes(content: bytes, *, white_level: int | None = None, draft_side: int | None = None) -> Decoded:
    """Decode one image into the channels that it has, as `decode_image` does; its errors do not name it."""
    image = _open(content)
    width, height = image.size
    pixels = _decode(image, content, white_level or _DEFAULT_WHITE_LEVEL, draft_side)
    orientation = _orientation(image)
    if orientation in _SIDEWAYS:
        width, height = height, width
    shaped = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return Decoded(np.ascontiguousarray(_upright(shaped, orientation)), height, width)


def _open(content: bytes) -> ImageFile:
    """Open a JPEG or PNG, and check everything that its header tells."""
    if len(content) > MAX_IMAGE_BYTES:
        raise DataError(too_large(len(content)))
    # The readers are named here instead of Image.open(formats=...), so that the pixel cap is ours alone and
    # needs neither Pillow's global limit nor a change of the warning filters, which threads share.
    if content.startswith(_PNG_SIGNATURE):
        reader, kind = PngImageFile, "PNG"
    elif content.startswith(b"\xff\xd8\xff"):
        reader, kind = JpegImageFile, "JPEG"
    else:
        raise DataError(_not_an_image(content))
    with _damage_told(kind):
        image = reader(BytesIO(content))
        _check_header(image, content)
        return image


def _not_an_image(content: bytes) -> str:
    if not content:
        return "is empty (0 bytes); replace the file"
    return f"is neither JPEG nor PNG (it begins with {content[:8]!r}); convert or remove it"


def _check_header(image: ImageFile, content: bytes) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS or max(width, height) > _MAX_SIDE:
        raise DataError(
            f"has {width} x {height} pixels, the limit is {_MAX_PIXELS:,} in all and {_MAX_SIDE:,} a side; "
            "make it smaller"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise DataError("is animated; save the one frame that you want")
    if isinstance(image, PngImageFile) and content[_PNG_DEPTH_AND_COLOUR] in _PNG_DEEP:
        raise DataError("has 16 bits a channel in colour or with alpha; save it as 8-bit, or as 16-bit grey")


def _decode(image: ImageFile, content: bytes, white_level: int, draft_side: int | None) -> NDArray[np.uint8]:
    """Decode the whole image into (height, width), (height, width, 1) or (height, width, 3), as it lies."""
    with _damage_told(image.format):
        if draft_side is not None:
            image.draft(None, (draft_side, draft_side))  # what is no JPEG has no draft
        if isinstance(image, JpegImageFile):
            pixels = decode_sound_jpeg(content, image)
            if pixels is not None:
                return pixels
        image.load()
    return _grey_or_rgb(image, white_level)


def decode_sound_jpeg(content: bytes, header: JpegImageFile) -> NDArray[np.uint8] | None:
    """Decode a grey or RGB JPEG about which libjpeg-turbo has nothing to say, not even a warning.

    Args:
        content: The whole file.
        header: The same file as Pillow opened it, with its draft chosen, its pixels not yet loaded.

    Returns:
        (height, width, 1 or 3) uint8 of the size of `header`, bit for bit what Pillow decodes. None for any
        other file, so that what is accepted, and as what, is Pillow's to say.
    """
    colours, (width, height) = _SIMPLEJPEG_COLOURS.get(header.mode), header.size
    if colours is None or not _SIMPLEJPEG_INSTALLED:
        return None
    from simplejpeg import decode_jpeg, decode_jpeg_header

    try:
        # Pillow has held this size against the limits. Another reader may find another one in a crafted file.
        if decode_jpeg_header(content, min_height=height, min_width=width)[:2] != (height, width):
            return None
        return decode_jpeg(content, colours, min_height=height, min_width=width)
    except ValueError:
        return None


def _grey_or_rgb(image: Image.Image, white_level: int) -> NDArray[np.uint8]:
    """Turn any mode into (height, width) grey or (height, width, 3) RGB, uint8."""
    if image.mode in ("I;16", "I;16B", "I"):
        return _scale_deep(np.array(image, dtype=np.int32), image.info.get("transparency"), white_level)
    if image.mode == "LA":
        return _over_black(np.array(image))[:, :, 0]
    if image.mode in ("P", "RGBA") or "transparency" in image.info:
        return _over_black(np.array(image.convert("RGBA")))
    if image.mode in ("1", "L"):
        return np.asarray(image if image.mode == "L" else image.convert("L"))
    if image.mode in ("RGB", "CMYK"):
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    raise DataError(f"has the colour mode {image.mode}, which is not supported; save it as RGB or grey")


def _scale_deep(values: NDArray[np.int32], transparent: object, white_level: int) -> NDArray[np.uint8]:
    """Scale 16-bit grey (height, width) so that `white_level` becomes 255, rounded half up."""
    if isinstance(transparent, int):
        values = np.where(values == transparent, 0, values)
    brightest = int(values.max(initial=0))
    if brightest > white_level:
        raise DataError(
            f"has the value {brightest}, above white_level {white_level}; declare the right white_level"
        )
    return ((values * 510 + white_level) // (2 * white_level)).astype(np.uint8)


def _over_black(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay (height, width, colours + alpha) over black: colour * alpha / 255, rounded half up."""
    alpha = pixels[:, :, -1:].astype(np.uint16)  # 255 * 255 + 127 fits in 16 bits
    return ((pixels[:, :, :-1] * alpha + 127) // 255).astype(np.uint8)


@contextmanager
def _damage_told(kind: str | None) -> Iterator[None]:
    """Turn whatever Pillow says of a damaged file into one line: it lets many kinds of errors through."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        raise DataError(f"is a damaged or cut-off {kind} ({_one_line(error)}); replace the file") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # unreadable EXIF says nothing about the pixels, which every viewer shows as they lie
        return 1


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo EXIF orientation 2-8 (Exif 2.3, tag 274); anything else leaves the pixels as they lie."""
    turned = {
        2: lambda: pixels[:, ::-1],
        3: lambda: pixels[::-1, ::-1],
        4: lambda: pixels[::-1],
        5: lambda: pixels.swapaxes(0, 1),
        6: lambda: np.rot90(pixels, -1),
        7: lambda: pixels[::-1, ::-1].swapaxes(0, 1),
        8: lambda: np.rot90(pixels),
    }
    return turned[orientation]() if orientation in turned else pixels
