from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ova.data.checks.counts import count_parts
from ova.data.dataset import Dataset
from ova.data.files.image_files import FolderFiles
from ova.data.images.facts import ImageFacts
from ova.data.labels.table import LabelTable
from ova.data.recipe import DatasetRecipe
from ova.data.split.split import Split


def dataset_of(values, parts, pixels=None, sizes=None) -> Dataset:
    images = tuple(f"{row}.png" for row in range(len(parts)))
    facts = {
        image: ImageFacts(
            image, 1, 1, 0, f"file {image}", (pixels or images)[row], *(sizes or [(4, 5)] * 99)[row]
        )
        for row, image in enumerate(images)
    }
    cells = np.array(values, np.int8)
    table = LabelTable(images, ("crack", "dust")[: cells.shape[1]], cells, images)
    split = Split(dict(zip(images, parts, strict=True)))
    return Dataset(DatasetRecipe(labels="a.csv"), Path(), FolderFiles(Path()), table, facts, split, {})


@pytest.fixture
def counts():
    values = [[1, -1], [0, 1], [0, 0], [1, 1], [-1, 0], [0, 1]]
    parts = ["train", "test", "train", "validation", "test", "train"]
    sizes = [(4, 5), (4, 5), (9, 9), (4, 5), (5, 4), (9, 9)]
    return count_parts(dataset_of(values, parts, ["a", "b", "a", "b", "d", "a"], sizes))


def test_counts_per_label_and_part(counts):
    assert counts.images == 6
    assert counts.parts == {"train": 3, "validation": 1, "test": 2}
    assert list(counts.parts) == ["train", "validation", "test"]
    assert counts.labels == {
        "crack": {"train": (1, 2, 0), "validation": (1, 0, 0), "test": (0, 1, 1)},
        "dust": {"train": (1, 1, 1), "validation": (1, 0, 0), "test": (1, 1, 0)},
    }
    assert counts.identical == 5
    assert list(counts.sizes.items()) == [("4x5", 3), ("9x9", 2), ("5x4", 1)]


def test_counts_agree_with_brute_force():
    generator = np.random.default_rng(0)
    values = generator.integers(-1, 2, (200, 2))
    parts = generator.choice(["fold-1", "fold-2", "fold-3", "test"], 200)
    counts = count_parts(dataset_of(values, parts.tolist(), sizes=[(4, 5)] * 200))
    assert list(counts.parts) == ["fold-1", "fold-2", "fold-3", "test"]
    for column, label in enumerate(("crack", "dust")):
        for part in counts.parts:
            cells = values[parts == part, column]
            expected = tuple(int(np.sum(cells == value)) for value in (1, 0, -1))
            assert counts.labels[label][part] == expected
    assert counts.identical == 0


def test_table_and_json(counts):
    assert counts.rows() == [
        ("label", "train (3)", "validation (1)", "test (2)", "unknown"),
        ("crack", "1 of 3", "1 of 1", "0 of 1", "1"),
        ("dust", "1 of 2", "1 of 1", "1 of 2", "1"),
    ]
    value = counts.to_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    keys = ["images", "parts", "labels", "identical", "sizes", "rows", "left_out", "unnamed"]
    assert list(value) == keys
    assert value["labels"]["dust"]["train"] == {"positives": 1, "negatives": 1, "unknown": 1}
