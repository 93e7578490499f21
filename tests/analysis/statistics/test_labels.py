"""Counts of labels, against pandas and brute force."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.analysis.statistics import labels as module
from ova.analysis.statistics.labels import count_labels
from ova.data.labels.table import LabelTable


def shuffled(table: LabelTable, seed: int = 1) -> LabelTable:
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(len(table.images)), generator.permutation(len(table.labels))
    images = tuple(table.images[row] for row in rows)
    labels = tuple(table.labels[column] for column in columns)
    return LabelTable(images, labels, table.values[rows][:, columns], images)


def test_every_label_is_counted_as_pandas_counts(random_table):
    table = random_table(500, 7)
    frame = pd.DataFrame(table.values, columns=list(table.labels))
    found = count_labels(table)
    assert [each.positives for each in found.labels] == sorted((frame == 1).sum(), reverse=True)
    assert found.to_json()["mean_positives"] == pytest.approx((frame == 1).sum().mean())
    for each in found.labels:
        counts = frame[each.label].value_counts()
        assert (each.positives, each.negatives, each.unknown) == (counts[1], counts[0], counts[-1])
        assert each.share == counts[1] / (counts[1] + counts[0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 2, 3, 8, 9, 65, 130]))
def test_combinations_are_those_of_pandas(seed, rows, labels):
    generator = np.random.default_rng(seed)
    values = generator.choice([-1, 0, 1], (rows, labels), p=[0.1, 0.8, 0.1]).astype(np.int8)
    names = tuple(f"label {column}" for column in range(labels))
    images = tuple(map(str, range(rows)))
    found = count_labels(LabelTable(images, names, values, images), most=5)
    frame = pd.DataFrame(values == 1, columns=list(names))
    frame["incomplete"] = (values == -1).any(axis=1)
    groups = frame.groupby(list(names)).incomplete
    expected = {}
    for key, group in groups:
        holds = key if isinstance(key, tuple) else (key,)
        positive = frozenset(name for name, one in zip(names, holds, strict=True) if one)
        expected[positive] = (len(group), int(group.sum()))
    most = sorted((count for count, _ in expected.values()), reverse=True)
    assert [each.images for each in found.combinations] == most[:5]
    for each in found.combinations:
        assert (each.images, each.incomplete) == expected[frozenset(each.labels)]
    assert found.other_combinations == len(expected) - len(found.combinations)
    assert found.other_images == sum(most[5:])


def test_pairs_are_counted_as_by_hand(random_table):
    table = random_table(300, 6)
    found = count_labels(table).together
    assert found.labels == tuple(each.label for each in count_labels(table).labels)
    shares = found.given_row()
    for row, one in enumerate(found.labels):
        for column, other in enumerate(found.labels):
            mine, theirs = table.column(one) == 1, table.column(other)
            both, known = int((mine & (theirs == 1)).sum()), int((mine & (theirs != -1)).sum())
            assert found.both[row, column] == both
            assert shares[row][column] == both / known


def test_images_per_number_of_labels(table_of):
    table = table_of([[1, 1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [-1, -1, -1, -1]])
    assert count_labels(table).per_image == (2, 2, 1)


@pytest.mark.parametrize("most", [3, 1000])
def test_neither_the_order_of_rows_nor_of_columns_matters(random_table, most):
    table = random_table(200, 9)
    assert count_labels(table, most=most).to_json() == count_labels(shuffled(table), most=most).to_json()


def test_blocks_of_rows_change_nothing(random_table, monkeypatch):
    table = random_table(200, 9)
    whole = count_labels(table).to_json()
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert count_labels(table).to_json() == whole


def test_only_the_most_frequent_labels_enter_the_table_of_pairs(random_table, monkeypatch):
    table = random_table(200, 9)
    monkeypatch.setattr(module, "MAX_TOGETHER", 4)
    found = count_labels(table)
    assert found.together.labels == tuple(each.label for each in found.labels[:4])
    assert found.together.both.shape == (4, 4)


def test_labels_without_any_known_or_positive_image(table_of):
    table = table_of([[-1, 0, 1], [-1, 0, 1]], ("dark", "never", "always"))
    found = count_labels(table)
    shares = {each.label: each.share for each in found.labels}
    assert shares == {"dark": None, "never": 0.0, "always": 1.0}
    assert found.together.labels[0] == "always"
    given = dict(zip(found.together.labels, found.together.given_row()[0], strict=True))
    assert given == {"always": 1.0, "dark": None, "never": 0.0}
    json.dumps(found.to_json(), allow_nan=False)
