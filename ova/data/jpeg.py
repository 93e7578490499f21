"""Decode sound JPEG files straight into an array: the pixels that Pillow gives, without its copies.

Pillow and simplejpeg both call libjpeg-turbo. Pillow keeps four bytes a pixel, and copies them twice on their
way to an array: a third of the time of decoding a photograph.
"""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

_COLOURS = {"L": "GRAY", "RGB": "RGB"}
_INSTALLED = find_spec("simplejpeg") is not None  # a machine that only predicts may have Pillow alone


def decode_sound_jpeg(content: bytes, header: JpegImageFile) -> NDArray[np.uint8] | None:
    """Decode a grey or RGB JPEG about which libjpeg-turbo has nothing to say, not even a warning.

    Args:
        content: The whole file.
        header: The same file as Pillow opened it, with its draft chosen, its pixels not yet loaded.

    Returns:
        (height, width, 1 or 3) uint8 of the size of `header`, bit for bit what Pillow decodes. None for any
        other file, so that what is accepted, and as what, is Pillow's to say.
    """
    colours, (width, height) = _COLOURS.get(header.mode), header.size
    if colours is None or not _INSTALLED:
        return None
    from simplejpeg import decode_jpeg, decode_jpeg_header

    try:
        # Pillow has held this size against the limits. Another reader may find another one in a crafted file.
        if decode_jpeg_header(content, min_height=height, min_width=width)[:2] != (height, width):
            return None
        return decode_jpeg(content, colours, min_height=height, min_width=width)
    except ValueError:
        return None
