"""Figures as PNG bytes that are the same every time, and the colours that all pictures share.

Every figure is drawn with matplotlib's own defaults, whatever the user's settings, and without pyplot. The
colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
_LONGEST_NAME = 60


@contextmanager
def png_figure(width: float, height: float) -> Iterator[tuple[Figure, Callable[[], bytes]]]:
    """Give an empty figure of that many inches, and the function that turns it into PNG bytes."""
    # The user's own settings (LaTeX, other fonts) would change the bytes; they are back afterwards.
    with style.context("default"):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)  # inches
        figure = Figure(figsize=(width, height), dpi=150, layout=layout)

        def png() -> bytes:
            drawn = io.BytesIO()
            figure.savefig(drawn, format="rgba")
            size = (round(figure.bbox.width), round(figure.bbox.height))
            return _packed(Image.frombytes("RGBA", size, drawn.getvalue()), figure.dpi)

        yield figure, png


def _packed(picture: Image.Image, dpi: float) -> bytes:
    """Encode in at most 256 colours: a third of the size.

    In the six charts of a head no channel was off by more than 8 of 255, and white stays white.
    """
    few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    target = io.BytesIO()
    few.save(target, format="PNG", optimize=True, dpi=(dpi, dpi))
    return target.getvalue()


def readable(text: str, otherwise: str, longest: int = _LONGEST_NAME) -> str:
    """Return a text for a picture, shortened, or another one if the font cannot show it."""
    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    if not text.isprintable() or any(ord(letter) not in glyphs for letter in text):
        return otherwise
    return text if len(text) <= longest else text[: longest - 3] + "..."
