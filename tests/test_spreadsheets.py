from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.spreadsheets import neutralise, neutralised, restore


@pytest.mark.parametrize(
    ("cell", "shown"), [("=1+1", "'=1+1"), ("@a", "'@a"), ("-2", "'-2"), ("a=1", "a=1"), ("", "")]
)
def test_formulas_are_neutralised(cell, shown):
    assert neutralise(cell) == shown
    assert neutralised([cell, 3, -0.5, None]) == [shown, 3, -0.5, None]


@given(st.text() | st.text("'=+-@\t\ra", max_size=5))
def test_every_text_comes_back_and_none_is_a_formula(cell):
    shown = neutralise(cell)
    assert restore(shown) == cell
    assert not shown.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_no_two_texts_look_the_same():
    texts = [apostrophes + end for apostrophes in ("", "'", "''") for end in ("=1", "a", "")]
    assert len({neutralise(text) for text in texts}) == len(texts)
