from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.split.clusters import Clusters
from ova.data.split.quotas import bound_to, by_share, per_class
from ova.data.split.traits import Traits, find_traits

SHARES = np.array([0.6, 0.2, 0.2])


def traits_of(values, of_image=None) -> Traits:
    cells = np.asarray(values, np.int8)
    codes = np.arange(len(cells)) if of_image is None else np.asarray(of_image)
    return find_traits(Clusters(np.arange(len(cells)), codes, tuple(map(str, range(codes.max() + 1)))), cells)


def positives(count: int, rows: int = 100) -> Traits:
    return traits_of((np.arange(rows) < count)[:, None])


@pytest.mark.parametrize(
    ("count", "fewest", "wanted"),
    [
        (50, 2, [30, 10, 10]),
        (6, 2, [2, 2, 2]),
        (8, 2, [4, 2, 2]),
        (20, 5, [10, 5, 5]),
        (4, 0, [2.4, 0.8, 0.8]),
        (0, 0, [0, 0, 0]),
    ],
)
def test_scarce_labels_are_raised_to_the_fewest(count, fewest, wanted):
    found = by_share(positives(count), SHARES, np.full((1, 3), fewest))
    assert found.traits[1] == pytest.approx(wanted)
    assert found.traits[0] == pytest.approx([60, 20, 20])


def test_clusters_of_scarce_labels_are_not_bound_to_shares():
    assert by_share(positives(6), SHARES, np.full((1, 3), 2)).free.tolist() == [True, False]
    assert by_share(positives(50), SHARES, np.full((1, 3), 2)).free.tolist() == [False, False]


@given(st.integers(0, 40), st.integers(0, 10), st.floats(0.05, 0.5), st.floats(0.05, 0.4))
def test_what_is_wanted_adds_up_and_reaches_the_fewest(count, fewest, test, validation):
    shares = np.array([1 - test - validation, validation, test])
    fewest = min(fewest, count // 3)
    wanted = by_share(positives(count), shares, np.full((1, 3), fewest)).traits[1]
    assert wanted.sum() == pytest.approx(count)
    assert (wanted >= fewest - 1e-9).all()


def test_per_class_wants_a_number_of_each_label_and_of_none_but_at_most_half():
    values = np.zeros((100, 2), np.int8)
    values[:30, 0], values[30:38, 1] = 1, 1
    traits, wanted = per_class(traits_of(values), 10)
    assert wanted.traits[:4, 1].tolist() == [0, 10, 4, 10]
    assert wanted.traits[1:4, 0].tolist() == [20, 4, 52]
    assert (traits.weights > 0).nonzero()[0].tolist() == [1, 2, 3]


def test_what_is_left_is_bound_to_the_shares_of_the_whole_where_that_can_be():
    traits = traits_of(np.array([[1]] * 7 + [[0]] * 4))
    wanted = by_share(traits, np.array([0.75, 0.25]), np.zeros((1, 2), np.intp))
    whole = np.outer([9, 1], [0.6, 0.2])  # 7 of 9 can be 6 + 1 or 5 + 2; but 4 of 1 cannot be
    bound = bound_to(wanted, whole)
    assert bound.signatures[0].tolist() == whole[0].tolist()
    assert bound.signatures[1].tolist() == wanted.signatures[1].tolist()
