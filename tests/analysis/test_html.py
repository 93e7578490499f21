from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path

import jinja2
import numpy as np
import pytest
from PIL import Image

import ova
from ova.analysis import html as pages
from ova.analysis.html import chart, photograph, render_page
from ova.analysis.statistics.tables import Table

HOSTILE = "<script>alert('1')</script>"
TEMPLATES = Path(ova.__file__).parent / "analysis" / "templates"


def render(monkeypatch, source: str, **content) -> str:
    """Render a template that is not one of the package's, in the same environment."""
    environment = pages._environment()
    own = jinja2.DictLoader({"own.html": source})
    loader = jinja2.ChoiceLoader([own, environment.loader])
    monkeypatch.setattr(pages, "_environment", lambda: environment.overlay(loader=loader))
    return render_page("own.html", content).decode()


def test_text_is_escaped_wherever_it_stands(monkeypatch):
    name = "<script>alert('1')</script> \"&"
    table = Table(name, ("label", name), ((name, name),))
    source = '{% import "parts.html" as parts %}{{ parts.table(table) }}{{ parts.look([name]) }}{{ parts.facts([(name, name)]) }}'
    page = render(monkeypatch, source, table=table, name=name)
    assert "<script" not in page
    assert "'1'" not in page
    assert ' "&' not in page
    assert page.count("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &#34;&amp;") == 8


def test_a_missing_name_is_an_error_and_not_a_gap(monkeypatch):
    with pytest.raises(jinja2.UndefinedError, match="heading"):
        render(monkeypatch, "{{ heading }}")
    with pytest.raises(jinja2.UndefinedError):
        render_page("statistics.html", {})


def test_half_a_surrogate_pair_does_not_stop_a_page(monkeypatch):
    assert render(monkeypatch, "a{{ name }}b", name="\udcff") == "a?b"


def test_every_page_may_load_nothing_but_itself(monkeypatch):
    page = render(monkeypatch, '{% extends "page.html" %}{% block title %}x{% endblock %}')
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'\"" in page
    assert "<script" not in page
    assert f"ova {ova.__version__}" in page
    for template in TEMPLATES.glob("*.html"):
        text = template.read_text(encoding="utf-8")
        assert not [
            word for word in ("http://", "https://", "url(", "|safe", "| safe", "onclick=") if word in text
        ]


def test_a_page_runs_the_script_that_it_was_given_and_no_other():
    own = (TEMPLATES / "report.js").read_bytes()
    digest = base64.b64encode(hashlib.sha256(own).digest()).decode()
    content = dict.fromkeys(("title", "lead", "summary_note"), HOSTILE) | {
        "summary": Table(HOSTILE, (HOSTILE,), ())
    }
    content |= dict.fromkeys(("facts", "notices", "sections", "across", "heads", "heat_maps"), ())
    page = render_page("report.html", content, script="report.js")
    assert f"; script-src 'sha256-{digest}'\"".encode() in page
    assert page.count(b"<script") == page.count(b"</script") == 1
    assert b"<script>" + own + b"</script>" in page
    assert [path.name for path in TEMPLATES.glob("*.html") if "<script" in path.read_text()] == ["page.html"]


def png_of(width: int, height: int) -> bytes:
    target = io.BytesIO()
    Image.new("L", (width, height), 99).save(target, format="PNG")
    return target.getvalue()


def test_a_chart_is_shown_as_large_as_it_was_drawn():
    png = png_of(1080, 450)  # 7.2 x 3 inches
    picture = chart(png, "what it shows", caption="more")
    assert (picture.width, picture.height) == (691, 288)
    assert picture.source == "data:image/png;base64," + base64.b64encode(png).decode()
    assert (picture.text, picture.caption) == ("what it shows", "more")


@pytest.mark.parametrize(
    ("shape", "stored", "shown"),
    [
        ((400, 200, 3), (64, 128), (64, 128)),
        ((10, 20, 1), (20, 10), (40, 20)),
        ((128, 128, 1), (128, 128), (128, 128)),
        ((5000, 1, 3), (1, 128), (1, 128)),
    ],
)
def test_photographs_fit_into_their_square(shape, stored, shown):
    picture = photograph(np.full(shape, 120, np.uint8), "a cell")
    content = base64.b64decode(picture.source.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == stored
        assert image.getpixel((0, 0)) in (120, (120, 120, 120))
    assert (picture.width, picture.height) == shown


def test_many_photographs_take_less_room_as_jpeg():
    pixels = np.random.default_rng(0).integers(0, 255, (200, 100, 3)).astype(np.uint8)
    whole, small = photograph(pixels, "a cell"), photograph(pixels, "a cell", quality=80)
    content = base64.b64decode(small.source.removeprefix("data:image/jpeg;base64,"))
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.size) == ("JPEG", (64, 128))
    assert len(small.source) < len(whole.source) / 2
    assert (small.width, small.height) == (whole.width, whole.height)
