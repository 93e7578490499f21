from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.images.crop import WHOLE, middle


@pytest.mark.parametrize(
    ("length", "crop", "kept"),
    [
        (256, 875, slice(16, 240)),
        (300, 1000, slice(0, 300)),
        (5, 500, slice(1, 4)),
        (4, 500, slice(1, 3)),
        (1, 1, slice(0, 1)),
        (7, 100, slice(3, 4)),
    ],
)
def test_a_crop_keeps_the_middle(length, crop, kept):
    assert middle(length, crop) == kept


@given(st.integers(1, 70_000), st.integers(1, WHOLE))
def test_a_crop_is_inside_centred_and_of_its_share(length, crop):
    kept = middle(length, crop)
    assert 0 <= kept.start < kept.stop <= length
    assert 0 <= (length - kept.stop) - kept.start <= 1
    assert kept.stop - kept.start == 1 or abs((kept.stop - kept.start) - length * crop / WHOLE) <= 0.5
