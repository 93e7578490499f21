"""The sets of labels of a table, such as coarse and fine classes: an ensemble is made of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ova.data.labels import LabelTable
from ova.data.recipe import DatasetRecipe
from ova.ensembles.recipe import Mode

ALL = "all"


@dataclass(frozen=True)
class LabelSet:
    """Labels that are decided together."""

    labels: tuple[str, ...]
    mode: Mode
    """`argmax` where no image has two of several classes; `multilabel` for the columns of a wide table."""


def label_sets(recipe: DatasetRecipe, table: LabelTable) -> dict[str, LabelSet]:
    """Return the labels of every class column, or all labels under "all" where there is no second column.

    Args:
        recipe: What `dataset.toml` says.
        table: The labels that it leads to.
    """
    columns = recipe.class_column if len(recipe.class_column) > 1 else (ALL,)
    members: dict[str, list[int]] = {column: [] for column in columns}
    for position, label in enumerate(table.labels):
        owners = [column for column in columns if label.startswith(f"{column}/")]
        members[max(owners, key=len, default=columns[0])].append(position)
    return {
        column: LabelSet(tuple(table.labels[position] for position in chosen), _mode(recipe, table, chosen))
        for column, chosen in members.items()
        if chosen
    }


def _mode(recipe: DatasetRecipe, table: LabelTable, chosen: list[int]) -> Mode:
    if recipe.format == "wide" or len(chosen) < 2:
        return "multilabel"
    positives = (table.values[:, chosen] == 1).sum(axis=1, dtype=np.int32)
    return "argmax" if positives.max(initial=0) <= 1 else "multilabel"
