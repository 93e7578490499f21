"""A grid of small images with captions, as PNG bytes that are the same every time."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SMALLEST, _LARGEST = 96, 256  # pixels of a tile's longer side, as far as whole factors reach
_GAP, _LINE, _TEXT = 4, 18, 13  # pixels
_LONGEST = 2000  # letters of a text that is cut to a width: more never fit

Tile = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class GridRow:
    """One row of a grid."""

    caption: str
    tiles: Sequence[Tile]
    """(height, width) or (height, width, 1 or 3) each."""


def picture_grid_png(title: Sequence[str], columns: Sequence[str], rows: Sequence[GridRow]) -> bytes:
    """Draw rows of tiles below their captions, and columns below their names.

    Small tiles are enlarged by a whole factor, so that each pixel stays a square; tiles above 256 pixels are
    shrunk. A caption that is too long loses its beginning, because the end of a path tells images apart.

    Args:
        title: Lines above everything; long ones are wrapped.
        columns: A name per column.
        rows: With a tile per column, all tiles of one size.
    """
    height, width = _shown_size(*rows[0].tiles[0].shape[:2])
    total = (_GAP + width) * len(columns) + _GAP
    title = [part for line in title for part in _wrapped(line, total)]
    head = _LINE * (len(title) + 1) + _GAP
    mode = "RGB" if any(tile.shape[2:] == (3,) for row in rows for tile in row.tiles) else "L"
    sheet = Image.new(mode, (total, head + (_LINE + height + _GAP) * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(title):
        _write(pen, (_GAP, _LINE * number), line, total)
    for number, name in enumerate(columns):
        _write(pen, (_GAP + (_GAP + width) * number, _LINE * len(title)), name, width)
    for number, row in enumerate(rows):
        top = head + (_LINE + height + _GAP) * number
        _write(pen, (_GAP, top), row.caption, total)
        for column, tile in enumerate(row.tiles):
            sheet.paste(
                _picture(tile, (width, height)).convert(mode), (_GAP + (_GAP + width) * column, top + _LINE)
            )
    png = io.BytesIO()
    sheet.save(png, format="PNG", optimize=True)
    return png.getvalue()


def _shown_size(height: int, width: int) -> tuple[int, int]:
    longer = max(height, width)
    if longer <= _LARGEST:
        factor = max(1, -(-_SMALLEST // longer))
        return height * factor, width * factor
    return max(1, round(height * _LARGEST / longer)), max(1, round(width * _LARGEST / longer))


def _picture(tile: Tile, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(tile.squeeze(2) if tile.ndim == 3 and tile.shape[2] == 1 else tile)
    enlarged = size[0] >= picture.width
    return picture.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def _wrapped(line: str, width: int) -> list[str]:
    """Break a line between words."""
    lines = [""]
    for word in line.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _font().getlength(_printable(longer)) > width - 2 * _GAP:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _printable(text: str) -> str:
    """Replace what would break a line; a letter that the font lacks becomes a box by itself."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _write(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    """Write a text as far as it fits, counted from its end."""
    font = _font()
    text = _printable(text[-_LONGEST:])
    fitting = text
    while fitting and font.getlength(fitting) > width - 2 * _GAP:
        text = text[max(1, len(text) // 20) :]
        fitting = f"...{text}" if text else ""
    pen.text(place, fitting, "black", font=font)


@cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: it has more scripts than Pillow's own."""
    from matplotlib.font_manager import findfont

    return ImageFont.truetype(findfont("DejaVu Sans"), _TEXT)
