from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ova.data.labels.table import LabelTable
from ova.data.split.clusters import find_clusters


def table_of(groups: list[str]) -> LabelTable:
    images = tuple(f"{row}.png" for row in range(len(groups)))
    return LabelTable(images, ("a",), np.zeros((len(groups), 1), np.int8), tuple(groups))


def joined(table, pixels, together=()) -> dict[str, str]:
    """Image -> name of its cluster."""
    clusters = find_clusters(table, pixels, together)
    images = [table.images[row] for row in clusters.rows]
    return {image: clusters.names[number] for image, number in zip(images, clusters.of_image, strict=True)}


def by_spreading(table, pixels, together) -> dict[str, str]:
    """The same by spreading names until nothing changes."""
    owners = [[("g", table.groups[row]), ("p", pixels[image])] for row, image in enumerate(table.images)]
    for number, group in enumerate(together):
        for image in group:
            if image in table.images:
                owners[table.images.index(image)].append(("t", number))
    name = dict(zip(table.images, table.images, strict=True))
    for _ in table.images:
        first = {}
        for image, keys in zip(table.images, owners, strict=True):
            for key in keys:
                first[key] = min(first.get(key, name[image]), name[image])
        for image, keys in zip(table.images, owners, strict=True):
            name[image] = min(name[image], *(first[key] for key in keys))
    return name


@given(st.data(), st.integers(1, 25))
def test_clusters_agree_with_spreading_names(data, rows):
    some = st.integers(0, rows)
    table = table_of([f"g{data.draw(some)}" for _ in range(rows)])
    pixels = {image: f"p{data.draw(some)}" for image in table.images}
    ids = st.sampled_from([*table.images, "gone.png"])
    together = data.draw(st.lists(st.lists(ids, max_size=4), max_size=4))
    expected = by_spreading(table, pixels, together)
    assert joined(table, pixels, together) == expected
    clusters = find_clusters(table, pixels, together)
    assert list(clusters.names) == sorted(set(expected.values()))
    assert clusters.sizes().tolist() == [list(expected.values()).count(name) for name in clusters.names]


def test_the_order_of_the_table_says_nothing():
    generator = np.random.default_rng(0)
    table = table_of([f"g{number}" for number in generator.integers(0, 30, 60)])
    pixels = {image: f"p{number}" for image, number in zip(table.images, range(60), strict=True)}
    mixed = table.subset(generator.permutation(60))
    one, other = find_clusters(table, pixels), find_clusters(mixed, pixels)
    assert one.names == other.names
    assert np.array_equal(one.of_image, other.of_image)
    assert [table.images[row] for row in one.rows] == [mixed.images[row] for row in other.rows]


def test_groups_pixels_and_near_duplicates_join_through_each_other():
    table = table_of(["x", "x", "y", "y", "z"])
    pixels = {f"{row}.png": f"p{row}" for row in range(5)} | {"1.png": "same", "2.png": "same"}
    assert set(joined(table, pixels).values()) == {"0.png", "4.png"}
    assert set(joined(table, pixels, [["4.png", "3.png"]]).values()) == {"0.png"}
