"""What a split was asked for and does not have, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ova.data.clusters import Clusters
from ova.data.labels import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.splits import TEST, Split, rest_shares

NONE = "none of the labels"


@dataclass(frozen=True)
class Shortfall:
    """Positives that a part lacks."""

    label: str
    part: str
    has: int
    wanted: int
    why: str

    def __str__(self) -> str:
        return f"{self.label}: {self.part} has {self.has} positives, {self.wanted} wanted: {self.why}"


def find_shortfalls(
    table: LabelTable, clusters: Clusters, split: Split, recipe: SplitRecipe
) -> tuple[Shortfall, ...]:
    """List every label and part with fewer positives than `min_positives` or `test_per_class` ask for.

    Args:
        table: Images and labels.
        clusters: What could not be parted.
        split: The parts.
        recipe: What was asked for.
    """
    parts = [*rest_shares(recipe), TEST]
    number_of = {part: number for number, part in enumerate(parts)}
    images = [table.images[row] for row in clusters.rows.tolist()]
    part = np.array([number_of[split.part_of[image]] for image in images], np.intp)
    found: list[Shortfall] = []
    for label, positive in _asked(table, recipe):
        of_image = positive[clusters.rows]
        counts = np.bincount(part[of_image], minlength=len(parts))
        groups = len(np.unique(clusters.of_image[of_image]))
        for name, has in zip(parts, counts.tolist(), strict=True):
            wanted = _wanted(name, label, recipe)
            if has < wanted:
                why = _why(name, wanted, int(counts.sum()), groups, len(parts), recipe)
                found.append(Shortfall(label, name, has, wanted, why))
    return tuple(found)


def _asked(table: LabelTable, recipe: SplitRecipe) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The labels in the order of their names, and images of none where these are wanted too."""
    for label in sorted(table.labels):
        yield label, table.column(label) == 1
    if recipe.test_per_class is not None:
        yield NONE, ~(table.values == 1).any(axis=1) & (table.values == 0).any(axis=1)


def _wanted(part: str, label: str, recipe: SplitRecipe) -> int:
    if part == TEST and recipe.test_per_class is not None:
        return recipe.test_per_class
    return 0 if label == NONE else recipe.min_positives


def _why(part: str, wanted: int, total: int, groups: int, parts: int, recipe: SplitRecipe) -> str:
    if not total:
        return "there is none"
    if groups < parts:
        return f"only {groups} {'group' if groups == 1 else 'groups'} of images hold it"
    if part == TEST and recipe.test_per_class is not None and total < 2 * wanted:
        return f"at most half of {total} go to the test"
    if total < recipe.min_positives * parts:
        return f"there are {total} for {parts} parts"
    return "groups of images stay whole, and known images where they were"
