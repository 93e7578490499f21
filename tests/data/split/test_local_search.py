"""At least k positives per part, compared with trying every assignment."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.labels.table import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split.split import make_split

PARTS = ("train", "validation", "test")


def table_of(values: np.ndarray, groups: np.ndarray) -> LabelTable:
    images = tuple(f"{row:03d}.png" for row in range(len(values)))
    labels = tuple("abcdef"[: values.shape[1]])
    return LabelTable(images, labels, values.astype(np.int8), tuple(f"g{group}" for group in groups))


def fewest(table: LabelTable, recipe: SplitRecipe) -> int:
    """Positives of the label and part that has fewest."""
    part_of = make_split(table, {image: image for image in table.images}, recipe).part_of
    parts = np.array([part_of[image] for image in table.images])
    return int(min((table.values[parts == part] == 1).sum(axis=0).min() for part in PARTS))


def reachable(values: np.ndarray, groups: np.ndarray) -> int:
    """The same of the best of all assignments."""
    clusters = int(groups.max()) + 1
    positives = np.zeros((clusters, values.shape[1]), int)
    np.add.at(positives, groups, values == 1)
    tried = np.array(list(product(range(3), repeat=clusters)))
    held = np.stack([(tried == part) @ positives for part in range(3)])
    return int(held.min(axis=(0, 2)).max())


@given(st.integers(0, 40), st.integers(0, 5), st.integers(0, 3))
@settings(max_examples=60)
def test_single_images_of_one_label_always_keep_the_promise(count, wanted, seed):
    values = np.arange(60)[:, None] < count
    table = table_of(values, np.arange(60))
    found = fewest(table, SplitRecipe(min_positives=wanted, seed=seed))
    assert found >= min(wanted, count // 3)


def test_the_promise_of_clusters_with_several_labels_is_nearly_always_kept():
    generator = np.random.default_rng(3)
    kept = missed = 0
    while kept + missed < 80:
        clusters, labels = int(generator.integers(4, 9)), int(generator.integers(1, 5))
        groups = np.repeat(np.arange(clusters), generator.integers(1, 6, clusters))
        values = generator.random((len(groups), labels)) < generator.uniform(0.2, 0.7, labels)
        wanted = int(generator.integers(1, 4))
        if reachable(values, groups) < wanted:
            continue
        found = fewest(table_of(values, groups), SplitRecipe(min_positives=wanted))
        kept, missed = kept + (found >= wanted), missed + (found < wanted)
    assert missed <= 1


def test_a_promise_is_kept_although_shares_alone_would_break_it():
    # Two large clusters would fill validation and test best, but all positives lie in the small ones.
    groups = np.repeat(np.arange(8), [20, 20, 12, 12, 12, 2, 2, 2])
    values = (groups >= 5)[:, None]
    assert fewest(table_of(values, groups), SplitRecipe(min_positives=2)) == 2


@pytest.mark.parametrize("wanted", [0, 2, 5])
def test_a_promise_costs_labels_with_enough_positives_nothing(wanted):
    values = np.arange(200)[:, None] < 60
    table = table_of(values, np.arange(200))
    pixels = {image: image for image in table.images}
    assert (
        make_split(table, pixels, SplitRecipe(min_positives=wanted)).part_of
        == make_split(table, pixels, SplitRecipe(min_positives=0)).part_of
    )
