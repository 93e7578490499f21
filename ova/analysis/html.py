"""Self-contained HTML pages: no network, pictures inside, everything that is shown is escaped.

`templates/page.html` is the frame of every page; `templates/parts.html` draws tables, pictures and galleries.
A page runs no script but the one that it is given: its digest stands in the page's content security policy.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
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


def render_page(template: str, content: Mapping[str, Any], *, script: str | None = None) -> bytes:
    """Fill a template.

    Args:
        template: Name of a file in `templates`.
        content: What it shows. All text is escaped; a name that is missing raises.
        script: Name of a script in `templates` that the page runs when it is read.

    Returns:
        A whole HTML page, UTF-8. Text that is no Unicode (half of a surrogate pair) is shown as "?".
    """
    page = _environment().get_template(template)
    text = page.render(content, ova_version=ova.__version__, script=script and _read_script(script))
    return text.encode("utf-8", errors="replace")


def chart(png: bytes, text: str, *, caption: str = "") -> Picture:
    """Put a chart into a page, smaller than its pixels, so that it is sharp on fine screens."""
    with Image.open(io.BytesIO(png)) as image:
        width, height = (round(side * _CHART_SCALE) for side in image.size)
    return Picture(_data_uri(png), width, height, text, caption)


def photograph(
    pixels: NDArray[np.uint8], text: str, *, side: int = 128, caption: str = "", quality: int | None = None
) -> Picture:
    """Put a photograph into a page.

    Args:
        pixels: (height, width, 1 or 3).
        text: What it shows.
        side: Of the square in page pixels that it is fitted into.
        caption: A line under it.
        quality: Of a JPEG, 1 to 95, for pages with many photographs; a lossless PNG if None.
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((side, side))
    target = io.BytesIO()
    if quality is None:
        image.save(target, format="PNG", optimize=True)
    else:
        image.save(target, format="JPEG", quality=quality)
    shown = min(side / max(image.size), _LARGEST_ZOOM)
    width, height = (max(1, round(length * shown)) for length in image.size)
    kind = "png" if quality is None else "jpeg"
    return Picture(_data_uri(target.getvalue(), kind), width, height, text, caption)


@dataclass(frozen=True)
class _Script:
    """A script of this package, which is put into a page as it is."""

    text: Markup
    digest: str


@cache
def _read_script(name: str) -> _Script:
    content = (resources.files("ova.analysis") / "templates" / name).read_bytes()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return _Script(Markup(content.decode()), f"sha256-{digest}")  # noqa: S704 (ours, no user's text)


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("ova.analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _data_uri(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
