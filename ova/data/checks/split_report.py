"""What a split holds: counts, combinations, leaks, what it could not give and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.data.checks.counts import PartCounts, count_parts
from ova.data.dataset import Dataset
from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split.clusters import Clusters, find_clusters
from ova.data.split.leaks import Leaks, find_leaks
from ova.data.split.split import TEST, Split, rest_shares
from ova.data.split.stored import Moved, read_split
from ova.errors import first_few
from ova.spreadsheets import neutralised
from ova.storage import write_csv
from ova.workspace import Workspace

_NONE = "none of the labels"
# A group of images this large cannot be put anywhere without bending the shares.
_LARGE_SHARE = 0.2
_GROUPS_LISTED = 10
_COMBINATIONS_SHOWN = 20
_COLUMNS = ("kind", "name", "part", "images", "positives", "negatives", "unknown", "share", "note")

_Cells = tuple[object, ...]


@dataclass(frozen=True)
class SplitReport:
    """Everything that `ova data split --report` tells."""

    counts: PartCounts
    combinations: Mapping[str, Mapping[str, int]]
    """Labels that occur together -> part -> images, the most frequent first."""
    leaks: Leaks
    shortfalls: tuple[Shortfall, ...]
    groups: int
    """Sets of images that could not be parted, single images among them."""
    largest: tuple[Group, ...]
    """The largest of them with more than one image."""
    moved: tuple[Moved, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return self.counts.to_json() | {
            "combinations": {name: dict(parts) for name, parts in self.combinations.items()},
            "leaks": {kind: [list(images) for images in found] for kind, found in vars(self.leaks).items()},
            "shortfalls": [asdict(each) for each in self.shortfalls],
            "groups": self.groups,
            "largest_groups": [asdict(each) for each in self.largest],
            "moved": [asdict(each) for each in self.moved],
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return the most frequent combinations as a table for people."""
        names = list(self.counts.parts)
        shown = list(self.combinations.items())[:_COMBINATIONS_SHOWN]
        rows = [(name, *(str(parts.get(part, 0)) for part in names)) for name, parts in shown]
        return [("combination", *names), *rows]

    def lines(self) -> list[str]:
        """Return what a person should know besides the tables."""
        leaks = self.leaks
        lines = [
            f"leaks between parts: {leaks.total} ({len(leaks.identical)} identical pixels, "
            f"{len(leaks.groups)} groups, {len(leaks.near)} near duplicates)",
            f"{self.groups} groups of images that stay together, single images included",
        ]
        left_out = len(self.combinations) - _COMBINATIONS_SHOWN
        lines += [f"{left_out} rarer combinations are not shown"] if left_out > 0 else []
        lines += [f"not met: {each}" for each in self.shortfalls]
        lines += [
            f"warning: {each.images} of {self.counts.images} images belong together ({each.first} ...), "
            f"all in {each.part}; check what joins them"
            for each in self.largest
            if each.images > _LARGE_SHARE * self.counts.images
        ]
        if self.moved:
            told = [f"{each.image} from {each.before} to {each.after}" for each in self.moved]
            lines.append(f"moved because they belong together with others now: {first_few(told, 5)}")
        return lines


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


@dataclass(frozen=True)
class Group:
    """Images that could not be parted."""

    first: str
    """The first of them by name."""
    images: int
    part: str


def report_split(workspace: Workspace, dataset: Dataset) -> SplitReport:
    """Describe the split of a dataset; leaks are counted from the table, not taken from how it was made."""
    pixels = {image: fact.pixels_blake3 for image, fact in dataset.facts.items()}
    table, part_of = dataset.table, dataset.split.part_of
    clusters = find_clusters(table, pixels, dataset.together)
    sizes = clusters.sizes()
    largest = [
        number for number in np.argsort(-sizes, kind="stable")[:_GROUPS_LISTED].tolist() if sizes[number] > 1
    ]
    stored = read_split(workspace)
    return SplitReport(
        counts=count_parts(dataset),
        combinations=_combinations(table, part_of),
        leaks=find_leaks(table, pixels, part_of, dataset.together),
        shortfalls=find_shortfalls(table, clusters, dataset.split, dataset.recipe.split),
        groups=len(sizes),
        largest=tuple(
            Group(clusters.names[number], int(sizes[number]), part_of[clusters.names[number]])
            for number in largest
        ),
        moved=stored.moved if stored is not None else (),
    )


def _combinations(table: LabelTable, part_of: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """Count images per combination of labels and part; an unknown label has a question mark."""
    by_name = sorted(range(len(table.labels)), key=table.labels.__getitem__)
    values = np.ascontiguousarray(table.values[:, by_name])
    keys = values.view(f"V{values.shape[1]}").ravel().tolist()
    counted: dict[bytes, Counter[str]] = {}
    for key, image in zip(keys, table.images, strict=True):
        counted.setdefault(key, Counter())[part_of[image]] += 1
    labels = [table.labels[column] for column in by_name]
    named: dict[str, Counter[str]] = {}
    for key, parts in counted.items():
        named.setdefault(_describe(np.frombuffer(key, np.int8), labels), Counter()).update(parts)
    ordered = sorted(named.items(), key=lambda item: (-item[1].total(), item[0]))
    return {name: dict(parts) for name, parts in ordered}


def _describe(values: np.ndarray, labels: list[str]) -> str:
    shown = [label for label, value in zip(labels, values.tolist(), strict=True) if value == 1]
    shown += [f"{label}?" for label, value in zip(labels, values.tolist(), strict=True) if value == UNKNOWN]
    return " + ".join(shown) or _NONE


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
        yield _NONE, ~(table.values == 1).any(axis=1) & (table.values == 0).any(axis=1)


def _wanted(part: str, label: str, recipe: SplitRecipe) -> int:
    if part == TEST and recipe.test_per_class is not None:
        return recipe.test_per_class
    return 0 if label == _NONE else recipe.min_positives


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


def write_split_report(workspace: Workspace, report: SplitReport) -> None:
    """Write the report as one table, a fact per row: `runs/split-report.csv`."""
    rows = map(neutralised, _rows(report))
    write_csv(workspace.split_report, _COLUMNS, rows)


def _rows(report: SplitReport) -> Iterator[_Cells]:
    counts, not_counted = report.counts, (None, None, None)
    for part, images in counts.parts.items():
        yield "part", "", part, images, *not_counted, _share(images, counts.images), ""
    for label, parts in counts.labels.items():
        total = sum(positives for positives, _, _ in parts.values())
        for part, numbers in parts.items():
            yield "label", label, part, counts.parts[part], *numbers, _share(numbers[0], total), ""
    for name, parts in report.combinations.items():
        for part in counts.parts:
            images = parts.get(part, 0)
            share = _share(images, sum(parts.values()))
            yield "combination", name, part, images, *not_counted, share, ""
    for kind, found in vars(report.leaks).items():
        examples = first_few([" = ".join(each) for each in found])
        yield f"leak: {kind}", "", "", len(found), *not_counted, None, examples
    for each in report.shortfalls:
        why = f"{each.wanted} wanted: {each.why}"
        yield "not met", each.label, each.part, None, each.has, None, None, None, why
    for group in report.largest:
        share = _share(group.images, counts.images)
        yield "group", group.first, group.part, group.images, *not_counted, share, ""
    for each in report.moved:
        yield "moved", each.image, each.after, 1, *not_counted, None, f"from {each.before}"


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
