"""Self-contained HTML pages: no script, no network, pictures inside, everything that is shown is escaped.

`templates/page.html` is the frame of every page; `templates/parts.html` draws tables, pictures and galleries.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image

import ova

_CHART_SCALE = 96 / 150  # charts have 150 pixels an inch, a page 96
_LARGEST_ZOOM = 2.0  # tiny images are enlarged, but not to a blur


@dataclass(frozen=True)
class Picture:
    """A picture inside a page."""

    source: str
    """A data URI."""
    width: int
    """In pixels of the page."""
    height: int
    text: str
    """What it shows, for those who do not see it."""
    caption: str = ""


def render_page(template: str, content: Mapping[str, Any]) -> bytes:
    """Fill a template.

    Args:
        template: Name of a file in `templates`.
        content: What it shows. All text is escaped; a name that is missing raises.

    Returns:
        A whole HTML page, UTF-8. Text that is no Unicode (half of a surrogate pair) is shown as "?".
    """
    text = _environment().get_template(template).render(content, ova_version=ova.__version__)
    return text.encode("utf-8", errors="replace")


def chart(png: bytes, text: str, *, caption: str = "") -> Picture:
    """Put a chart into a page, smaller than its pixels, so that it is sharp on fine screens."""
    with Image.open(io.BytesIO(png)) as image:
        width, height = (round(side * _CHART_SCALE) for side in image.size)
    return Picture(_data_uri(png), width, height, text, caption)


def photograph(pixels: NDArray[np.uint8], text: str, *, side: int = 128, caption: str = "") -> Picture:
    """Put a photograph (height, width, 1 or 3) into a page, fitted into a square of `side` pixels."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((side, side))
    target = io.BytesIO()
    image.save(target, format="PNG", optimize=True)
    shown = min(side / max(image.size), _LARGEST_ZOOM)
    width, height = (max(1, round(length * shown)) for length in image.size)
    return Picture(_data_uri(target.getvalue()), width, height, text, caption)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("ova.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
