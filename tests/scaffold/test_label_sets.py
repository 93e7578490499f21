"""Which labels are decided together."""

from __future__ import annotations

import numpy as np
import pytest

from ova.data.labels.table import LabelTable
from ova.data.recipe import DatasetRecipe
from ova.scaffold.scaffold import LabelSet, label_sets


def table(labels: list[str], *rows: list[int]) -> LabelTable:
    images = tuple(f"{row}.png" for row in range(len(rows)))
    return LabelTable(images, tuple(labels), np.array(rows, np.int8), images)


LONG = {"labels": "t.csv", "format": "long"}


@pytest.mark.parametrize(
    ("recipe", "rows", "mode"),
    [
        ({"labels": "t.csv"}, [[1, 0], [0, 1]], "multilabel"),
        ({"format": "folders"}, [[1, 0], [0, 1]], "argmax"),
        (LONG, [[1, 0], [0, 1], [-1, -1]], "argmax"),
        (LONG, [[1, 0], [1, 1]], "multilabel"),
    ],
)
def test_one_set(recipe: dict[str, str], rows: list[list[int]], mode: str) -> None:
    found = label_sets(DatasetRecipe.model_validate(recipe), table(["a", "b"], *rows))
    assert found == {"all": LabelSet(("a", "b"), mode)}


def test_one_class_alone_has_nothing_to_choose_from() -> None:
    found = label_sets(DatasetRecipe(format="folders"), table(["a"], [1]))
    assert found == {"all": LabelSet(("a",), "multilabel")}


def test_a_set_per_class_column_in_their_order_without_those_that_are_empty() -> None:
    recipe = DatasetRecipe.model_validate({**LONG, "class_column": ["x", "x/y", "none"]})
    found = label_sets(recipe, table(["x/a", "x/b", "x/y/c"], [1, 0, 1], [1, 1, 0]))
    assert found == {"x": LabelSet(("x/a", "x/b"), "multilabel"), "x/y": LabelSet(("x/y/c",), "multilabel")}
    assert list(found) == ["x", "x/y"]
