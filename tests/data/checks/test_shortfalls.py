from __future__ import annotations

import numpy as np
import pytest

from ova.data.checks.split_report import find_shortfalls
from ova.data.labels.table import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split.clusters import find_clusters
from ova.data.split.split import Split, make_split


def shortfalls(values, recipe: SplitRecipe, groups=None, parts=None) -> list[str]:
    cells = np.array(values, np.int8)
    images = tuple(f"{row:03d}" for row in range(len(cells)))
    table = LabelTable(images, tuple("ab"[: cells.shape[1]]), cells, tuple(groups or images))
    pixels = {image: image for image in images}
    split = make_split(table, pixels, recipe)
    if parts is not None:
        split = Split(dict(zip(images, parts, strict=True)))
    return [str(each) for each in find_shortfalls(table, find_clusters(table, pixels), split, recipe)]


def column(count: int, rows: int = 40) -> np.ndarray:
    return (np.arange(rows) < count)[:, None]


def test_nothing_is_told_where_the_promise_is_kept():
    assert shortfalls(column(6), SplitRecipe()) == []
    assert shortfalls(column(0), SplitRecipe(min_positives=0)) == []


def test_a_label_without_positives():
    assert shortfalls(column(0), SplitRecipe(min_positives=1)) == [
        f"a: {part} has 0 positives, 1 wanted: there is none" for part in ("train", "validation", "test")
    ]


def test_too_few_positives_for_all_parts():
    told = shortfalls(column(5), SplitRecipe(min_positives=3))
    assert len(told) == 3
    assert all(line.endswith("wanted: there are 5 for 3 parts") for line in told)
    assert sum(int(line.split()[3]) for line in told) == 5


def test_too_few_groups_that_hold_the_label():
    groups = ["x"] * 8 + ["y"] * 4 + [f"s{row}" for row in range(28)]
    told = shortfalls(column(12), SplitRecipe(), groups)
    assert len(told) == 1
    assert told[0].endswith("has 0 positives, 2 wanted: only 2 groups of images hold it")
    one = shortfalls(column(8), SplitRecipe(), groups)
    assert [line.split(": ")[-1] for line in one] == ["only 1 group of images hold it"] * 2


def test_known_images_and_groups_are_the_last_reason():
    parts = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10
    assert shortfalls(column(20), SplitRecipe(), parts=parts) == [
        f"a: {part} has 0 positives, 2 wanted: groups of images stay whole, and known images where they were"
        for part in ("validation", "test")
    ]


@pytest.mark.parametrize("folds", [None, 4])
def test_every_class_of_the_test_is_looked_at_and_images_of_none(folds):
    values = np.zeros((100, 2))
    values[:60, 0], values[60:80, 1] = 1, 1
    assert shortfalls(values, SplitRecipe(test_per_class=10, folds=folds)) == []
    assert shortfalls(values, SplitRecipe(test_per_class=20, folds=folds)) == [
        "b: test has 10 positives, 20 wanted: at most half of 20 go to the test",
        "none of the labels: test has 10 positives, 20 wanted: at most half of 20 go to the test",
    ]
