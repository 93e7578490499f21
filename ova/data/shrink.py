"""Smaller image files, for a copy of a data set."""

from __future__ import annotations

import io

from PIL import Image

from ova.data.images import decode_bytes
from ova.data.resize import resize_pixels

_JPEG_START = b"\xff\xd8\xff"


def shrink_image(content: bytes, short_side: int, white_level: int | None = None) -> bytes | None:
    """Make an image smaller so that its shorter side has a given length, without distorting it.

    Args:
        content: A JPEG or PNG file.
        short_side: Pixels.
        white_level: Value of 16-bit grey that becomes 255; see `ova.data.images.decode_image`.

    Returns:
        A file of the same kind, upright, 8 bits a channel (JPEG: quality 95, colours at full resolution), or
        None if the shorter side is not longer than that.

    Raises:
        DataError: The image cannot be decoded.
    """
    pixels = decode_bytes(content, white_level=white_level).pixels
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter <= short_side:
        return None
    size = round(height * short_side / shorter), round(width * short_side / shorter)
    small = resize_pixels(pixels, size)
    image = Image.fromarray(small[:, :, 0] if small.shape[2] == 1 else small)
    file = io.BytesIO()
    if content.startswith(_JPEG_START):
        image.save(file, "JPEG", quality=95, subsampling=0)
    else:
        image.save(file, "PNG")
    return file.getvalue()
