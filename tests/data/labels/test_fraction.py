from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.labels.fraction import take_fraction
from ova.data.labels.table import LabelTable, LeftOut
from ova.errors import DataError


def make_table(values, groups=None, labels=None):
    values = np.array(values, np.int8)
    images = tuple(f"{row}.png" for row in range(len(values)))
    labels = labels or tuple(f"l{column}" for column in range(values.shape[1]))
    return LabelTable(images, labels, values, tuple(groups) if groups else images, len(images))


def random_table(seed=0, rows=2000):
    generator = np.random.default_rng(seed)
    return make_table(generator.choice([-1, 0, 1], (rows, 3), p=[0.1, 0.8, 0.1]))


TABLES = st.lists(
    st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from([0, 1]), st.integers(0, 9)), min_size=1
).map(lambda rows: make_table([row[:2] for row in rows], [f"g{row[2]}" for row in rows]))


def taken(table, fraction):
    try:
        return set(take_fraction(table, fraction).images)
    except DataError:
        return set()


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_every_combination_keeps_its_share_to_within_an_image(fraction):
    table = random_table()
    some = take_fraction(table, fraction)
    all_of, some_of = (Counter(map(tuple, one.values.tolist())) for one in (table, some))
    assert all(abs(some_of[each] - fraction * count) < 1 for each, count in all_of.items())
    assert len(some.images) == pytest.approx(fraction * 2000, abs=4)
    assert some.left_out == (LeftOut(f"fraction = {fraction}", 2000 - len(some.images), 2000),)


def test_combinations_of_one_image_keep_their_share_together():
    bits = [[int(bit) for bit in f"{row:010b}"] for row in range(1024)]
    counts = [len(taken(make_table(bits), fraction)) for fraction in (0.1, 0.3, 0.5)]
    assert counts == pytest.approx([102, 307, 512], abs=50)


@given(TABLES, st.floats(0.01, 1), st.floats(0.01, 1))
def test_less_is_contained_in_more_and_groups_stay_whole(table, one, other):
    small, large = (taken(table, fraction) for fraction in sorted((one, other)))
    assert small <= large <= set(table.images)
    group_of = dict(zip(table.images, table.groups, strict=True))
    for chosen in (small, large):
        groups = {group_of[image] for image in chosen}
        assert chosen == {image for image, group in group_of.items() if group in groups}


@given(TABLES, st.randoms(), st.floats(0.05, 1))
def test_order_of_rows_and_columns_does_not_matter(table, random, fraction):
    rows = list(range(len(table.images)))
    random.shuffle(rows)
    turned = table.subset(np.array(rows))
    turned = LabelTable(turned.images, turned.labels[::-1], turned.values[:, ::-1], turned.groups)
    assert taken(turned, fraction) == taken(table, fraction)


def test_all_of_it_and_none_of_it():
    table = make_table([[1], [0]])
    assert take_fraction(table, 1.0) is table
    with pytest.raises(DataError, match=r"fraction = 1e-09 of 2 images leaves none"):
        take_fraction(table, 1e-9)
