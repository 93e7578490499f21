from __future__ import annotations

import numpy as np
import pytest

from ova.analysis.statistics.balance import HeadBalance
from ova.analysis.statistics.labels import count_labels
from ova.analysis.statistics.notices import notices
from ova.analysis.statistics.parts import Parts, count_by_part
from ova.analysis.statistics.row_check import RowCheck
from ova.analysis.statistics.sizes import Sizes, measure_sizes
from ova.data.images.store import StoreSpec


def lines_of(table, part_of=None, *, rows=None, heads=(), side=100):
    count = len(table.images)
    own = part_of or {image: ("train", "test")[row % 2] for row, image in enumerate(table.images)}
    side = np.full(count, side)
    sizes = measure_sizes(Sizes(side, side, side), np.ones(count, bool))
    parts = count_by_part(table, Parts.of(table.images, own), table.labels)
    return notices(rows or RowCheck(count, (), ()), count_labels(table), parts, sizes, heads)


@pytest.fixture
def even(table_of):
    """Two labels, half of 200 images each, spread evenly."""
    return table_of([[row // 2 % 2, row // 4 % 2] for row in range(200)], ("a", "b"))


def test_nothing_is_told_of_sound_data(even):
    assert lines_of(even) == []


def test_rows_and_images_that_do_not_match(even):
    check = RowCheck(200, ("x.png",), tuple(f"{number}.png" for number in range(1234)))
    first, second = lines_of(even, rows=check)
    assert first == "rows without an image: 1 (x.png)"
    assert "1,234 (0.png, 1.png, 2.png and 1231 more)" in second


def test_scarce_labels_are_judged_by_images_outside_the_test(table_of):
    table = table_of([[int(row % 4 == 0), int(row % 10 == 1)] for row in range(200)], ("common", "rare"))
    part_of = {image: ("train", "test")[row % 2] for row, image in enumerate(table.images)}
    (line,) = [line for line in lines_of(table, part_of) if "fewer" in line]
    assert line == "fewer than 20 positives outside the test: rare (0)"


def test_labels_that_are_mostly_unknown(table_of):
    table = table_of([[row // 2 % 2, -1 if row < 50 else row // 2 % 2] for row in range(200)], ("a", "b"))
    assert "unknown for many images: b (25.0 %)" in lines_of(table)


def test_labels_that_are_spread_unevenly(even):
    part_of = {image: "test" if row < 100 else "train" for row, image in enumerate(even.images)}
    assert lines_of(even, part_of) == []
    by_label = {image: "test" if even.values[row, 0] else "train" for row, image in enumerate(even.images)}
    assert any(
        line.startswith("positives spread unevenly over the parts: a (") for line in lines_of(even, by_label)
    )


def test_heads_with_a_note_or_too_large_an_input(even):
    heads = [
        HeadBalance("x", None, (), None, None, "no such label"),
        HeadBalance("y", "a", (), StoreSpec(224, 224, 3), 1.0, None),
        HeadBalance("z", "a", (), StoreSpec(128, 128, 3), 1.0, None),
    ]
    found = lines_of(even, heads=heads)
    assert found == [
        "head x: no such label",
        "inputs of more than twice the pixels of the median image: y (224 x 224)",
    ]
