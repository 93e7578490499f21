import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.heads.calibration.calibrators.curve import Curve, curve_through

CURVE = Curve("beta", (-2.0, 0.0, 1.0), (-3.0, -1.0, 4.0))


def test_it_meets_its_knots_and_goes_on_as_steep_as_its_ends():
    assert CURVE([-2.0, -1.0, 0.0, 0.5, 1.0]).tolist() == [-3.0, -2.0, -1.0, 1.5, 4.0]
    assert CURVE([-4.0, 3.0]).tolist() == [-5.0, 14.0]
    assert CURVE(np.zeros((2, 3))).shape == (2, 3)


@given(st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=20))
def test_it_rises(logits):
    assert (np.diff(CURVE(np.sort(logits))) >= 0).all()


def test_other_odds_move_every_value_alike():
    np.testing.assert_allclose(CURVE.at_odds(3.0)([-5.0, 0.2, 9.0]), CURVE([-5.0, 0.2, 9.0]) + math.log(3.0))


@pytest.mark.parametrize(
    ("knots", "log_odds", "words"),
    [
        ((0.0,), (1.0,), "two or more"),
        ((0.0, 1.0), (1.0,), "two or more"),
        (tuple(range(300)), tuple(range(300)), "two or more"),
        ((0.0, 0.1), (1.0, 2.0), "exact in float32"),
        ((1.0, 1.0), (1.0, 2.0), "knots must increase"),
        ((0.0, 1.0), (2.0, 2.0), "log_odds must increase"),
        ((0.0, 1.0), (2.0, math.inf), "finite"),
    ],
)
def test_unsound_numbers_are_named(knots, log_odds, words):
    assert words in "; ".join(Curve("beta", knots, log_odds).problems())


def test_a_kind_that_does_not_exist_is_named():
    assert Curve("spline", CURVE.knots, CURVE.log_odds).problems() == ["curve is of an unknown kind"]


def test_knots_that_float32_cannot_tell_apart_become_one():
    found = curve_through("beta", np.array([1.0, 1.0 + 1e-12, 2.0]), np.array([0.0, 1.0, 2.0]))
    assert found == Curve("beta", (1.0, 2.0), (0.0, 2.0))
    assert found.problems() == []
    assert curve_through("beta", np.array([1.0, 1.0 + 1e-12]), np.array([0.0, 1.0])) is None
