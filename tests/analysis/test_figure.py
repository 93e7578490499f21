"""Charts are small files that look as they were drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ova.analysis.figure import BLUE, ORANGE, png_figure


def draw(figure: Figure) -> None:
    axes = figure.add_subplot()
    axes.plot(np.linspace(0, 1, 50), np.linspace(0, 1, 50) ** 2, color=ORANGE, linewidth=3, label="a curve")
    axes.fill_between([0, 1], [0.2, 0.4], [0.5, 0.9], color=BLUE, alpha=0.3)
    axes.set_title("Title of a chart")
    axes.legend()


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_few_colours_look_like_all_of_them():
    with png_figure(4.0, 3.0) as (figure, png):
        draw(figure)
        packed = png()
        assert png() == packed
        whole = io.BytesIO()
        figure.savefig(whole, format="png")
    found, wanted = pixels(packed), pixels(whole.getvalue())
    assert found.shape == wanted.shape == (450, 600, 3)
    assert np.abs(found - wanted).max() <= 16
    white = (wanted == 255).all(axis=2)
    assert white.mean() > 0.5
    assert (found[white] == 255).all()
    assert len(packed) < 0.6 * len(whole.getvalue())
    with Image.open(io.BytesIO(packed)) as image:
        assert image.mode == "P"
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
