from __future__ import annotations

import numpy as np

from ova.data.labels.table import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split.leaks import find_leaks
from ova.data.split.split import make_split


def siblings(cells: int = 200, copies: int = 6) -> LabelTable:
    """A table whose rows are flipped and turned copies of fewer cells, as one that was published."""
    kinds = ("cell", "rot", "rot2", "rot3", "mirrh", "mirrv")[:copies]
    images = tuple(f"{kind}{number:04d}.png" for number in range(cells) for kind in kinds)
    labels = np.repeat(np.random.default_rng(0).random((cells, 2)) < [0.22, 0.06], copies, axis=0)
    groups = tuple(f"{number}" for number in range(cells) for _ in kinds)
    return LabelTable(images, ("crack", "inactive"), labels.astype(np.int8), groups)


def test_copies_of_one_image_are_never_parted():
    table = siblings()
    pixels = {image: image for image in table.images}
    part_of = make_split(table, pixels, SplitRecipe()).part_of
    assert find_leaks(table, pixels, part_of).total == 0
    ungrouped = LabelTable(table.images, table.labels, table.values, table.images)
    apart = make_split(ungrouped, pixels, SplitRecipe()).part_of
    assert len(find_leaks(table, pixels, apart).groups) > 150  # what a split by rows does


def test_ten_injected_duplicates_are_found():
    table = siblings(100, 1)
    pixels = {image: image for image in table.images}
    part_of = dict(make_split(table, pixels, SplitRecipe()).part_of)
    trained = [image for image in table.images if part_of[image] == "train"]
    tested = [image for image in table.images if part_of[image] == "test"]
    pixels |= {two: pixels[one] for one, two in zip(trained[:10], tested, strict=False)}
    leaks = find_leaks(table, pixels, part_of)
    assert leaks.total == 10
    assert leaks.identical == tuple(
        sorted(tuple(sorted(pair)) for pair in zip(trained[:10], tested, strict=False))
    )
    assert not leaks.groups
    assert not leaks.near
    assert find_leaks(table, pixels, make_split(table, pixels, SplitRecipe()).part_of).total == 0


def test_near_duplicates_are_looked_at_as_given():
    table = siblings(4, 1)
    pixels = {image: image for image in table.images}
    part_of = dict(zip(table.images, ("train", "train", "test", "test"), strict=True))
    clusters = [table.images[:2], [*table.images[1:4], "gone.png"], []]
    assert find_leaks(table, pixels, part_of, clusters).near == ((table.images[1], table.images[2]),)
