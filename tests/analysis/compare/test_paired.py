"""Paired differences of F1 against scikit-learn, resampled rows and sums of binomial coefficients."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from ova.analysis.compare.paired import compare_decisions

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)


def answers(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, and two heads that mostly know it and err together at times."""
    random = np.random.default_rng(seed)
    truth = (random.random(rows) < 0.2).astype(int)
    first = np.where(random.random(rows) < 0.15, 1 - truth, truth)
    second = np.where(random.random(rows) < 0.1, 1 - first, first)
    return truth, first, second


@given(ROWS)
def test_counts_and_difference(rows):
    truth, first, second = np.array(rows).T
    found = compare_decisions(truth, first, second)
    assert (found.rows, found.positives) == (len(rows), truth.sum())
    assert found.only_a_right == ((first == truth) & (second != truth)).sum()
    assert found.only_b_right == ((first != truth) & (second == truth)).sum()
    if not truth.any():
        assert (found.f1_a, found.f1_b, found.difference, found.interval) == (None,) * 4
        return
    both = [f1_score(truth, each) for each in (first, second)]
    assert (found.f1_a, found.f1_b) == pytest.approx(both)
    assert found.difference == pytest.approx(both[1] - both[0])
    low, high = found.interval
    assert -1 <= low <= high <= 1


@given(ROWS)
def test_swapping_sides_and_the_order_of_rows(rows):
    truth, first, second = np.array(rows).T
    found = compare_decisions(truth, first, second)
    assert compare_decisions(truth[::-1], first[::-1], second[::-1]) == found
    swapped = compare_decisions(truth, second, first)
    assert (swapped.only_a_right, swapped.only_b_right) == (found.only_b_right, found.only_a_right)
    assert swapped.p_value == pytest.approx(found.p_value)
    if found.difference is not None:
        assert swapped.difference == pytest.approx(-found.difference)


def test_interval_is_that_of_resampled_rows():
    truth, first, second = answers(150, seed=3)
    random = np.random.default_rng(0)
    drawn = random.integers(0, 150, (20_000, 150))
    t, a, b = truth[drawn], first[drawn], second[drawn]
    f1 = [2 * (t * each).sum(1) / (t.sum(1) + each.sum(1)) for each in (a, b)]
    expected = np.quantile(f1[1] - f1[0], (0.025, 0.975))
    found = compare_decisions(truth, first, second)
    assert found.interval == pytest.approx(expected, abs=0.01)
    wider = compare_decisions(truth, first, second, confidence=0.99).interval
    assert wider.low < found.interval.low < found.interval.high < wider.high
    assert compare_decisions(truth, first, second, seed=1).interval != found.interval


def test_pairing_makes_the_interval_narrow():
    truth, first, _ = answers(400, seed=1)
    second = first.copy()
    second[np.flatnonzero(first != truth)[0]] ^= 1  # one image better
    found = compare_decisions(truth, first, second)
    assert found.difference > 0
    assert found.interval.high - found.interval.low < 0.05
    assert found.interval.low >= 0


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 1), (3, 3), (1, 8), (12, 2), (0, 6)])
def test_p_value_is_that_of_a_fair_coin(a, b):
    truth = np.zeros(a + b + 5, int)
    first = np.repeat([0, 1, 0], [a, b, 5])
    second = np.repeat([1, 0, 0], [a, b, 5])
    found = compare_decisions(truth, first, second)
    assert (found.only_a_right, found.only_b_right) == (a, b)
    below = sum(comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b)
    assert found.p_value == pytest.approx(min(1.0, 2 * below))


def test_all_alike_and_nothing_at_all():
    same = compare_decisions([0, 1, 1], [0, 1, 0], [0, 1, 0])
    assert (same.difference, same.interval, same.p_value) == (0.0, (0.0, 0.0), 1.0)
    nothing = compare_decisions([], [], [])
    assert (nothing.rows, nothing.difference, nothing.p_value) == (0, None, 1.0)
    with pytest.raises(ValueError, match="shape"):
        compare_decisions([0, 1], [0, 1], [0])
