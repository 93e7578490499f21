"""Counts per part of the split, against pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ova.analysis.statistics import parts as module
from ova.analysis.statistics.parts import Parts, count_by_part


def split_of(images, names, seed=0):
    generator = np.random.default_rng(seed)
    return {image: names[generator.integers(len(names))] for image in images}


@pytest.mark.parametrize("names", [("train", "validation", "test"), ("fold-1", "fold-2", "fold-3", "test")])
@pytest.mark.parametrize("block", [11, 65_536])
def test_every_label_is_counted_per_part_as_pandas_counts(random_table, monkeypatch, names, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    table = random_table(300, 5)
    part_of = split_of(table.images, names)
    found = count_by_part(table, Parts.of(table.images, part_of), sorted(table.labels, reverse=True))
    assert tuple(found.images) == names
    assert [each.label for each in found.labels] == sorted(table.labels, reverse=True)
    frame = pd.DataFrame(table.values, columns=list(table.labels))
    frame["part"] = [part_of[image] for image in table.images]
    assert dict(found.images) == frame.part.value_counts().to_dict()
    for each in found.labels:
        counts = frame.groupby("part")[each.label].value_counts()
        known = frame[frame[each.label] >= 0]
        shares = known.groupby("part")[each.label].mean() - known[each.label].mean()
        for part, count in each.parts.items():
            expected = tuple(counts[part].get(value, 0) for value in (1, 0, -1))
            assert (count.positives, count.negatives, count.unknown) == expected
        assert each.furthest == shares.abs().idxmax()
        assert each.deviation == pytest.approx(shares[each.furthest])
        rows = (known.part == each.furthest).sum()
        assert each.images == pytest.approx(shares[each.furthest] * rows)


def test_a_label_that_is_known_nowhere_has_no_furthest_part(table_of):
    table = table_of([[-1], [-1]])
    part_of = {table.images[0]: "train", table.images[1]: "test"}
    found = count_by_part(table, Parts.of(table.images, part_of), table.labels)
    assert (found.labels[0].furthest, found.labels[0].deviation) == (None, None)
    assert found.to_json()["labels"][0]["parts"]["train"]["share"] is None


def test_training_rows_are_neither_test_nor_held_out():
    images = [str(number) for number in range(8)]
    part_of = dict(zip(images, ["train", "validation", "test", "train"] * 2, strict=True))
    split = Parts.of(images, part_of)
    assert {part: rows.tolist() for part, rows in split.training().items()} == {
        "validation": [part_of[image] == "train" for image in images]
    }
    assert split.outside_test().tolist() == [part_of[image] != "test" for image in images]
    part_of = dict(zip(images, ["fold-1", "fold-2", "fold-3", "test"] * 2, strict=True))
    training = Parts.of(images, part_of).training()
    assert sorted(training) == ["fold-1", "fold-2", "fold-3"]
    for fold, rows in training.items():
        assert rows.tolist() == [part_of[image] not in (fold, "test") for image in images]
