"""Write a workspace: dataset.toml, one head recipe per label, an ensemble per set of labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ova.data.duplicates.augmented import copies_pattern
from ova.data.files.find import open_files
from ova.data.files.zip_files import ZipFiles
from ova.data.labels.folders import provider_splits
from ova.data.labels.groups import groups_by_pattern
from ova.data.labels.read import read_label_table
from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.paths import is_device
from ova.data.recipe import DatasetRecipe
from ova.data.source import open_source
from ova.data.tables.texts import Texts
from ova.ensembles.recipe import Mode
from ova.errors import RecipeError, first_few
from ova.heads.network.packages import find_package
from ova.recipes import check_recipe
from ova.scaffold.dataset_settings import RawData, data_settings, prefix_of, refuse_among_classes
from ova.storage import write_bytes
from ova.workspace import Workspace

_MAX_NAME = 60
_ALL = "all"
# Trunks whose weights come with pip, the better first, and the input size at which that was measured.
_QUICK_TRUNKS = {"tf_efficientnet_lite2": 300, "tf_efficientnet_lite0": 224}


@dataclass(frozen=True)
class Made:
    """A new workspace."""

    files: Sequence[Path]
    labels: Mapping[str, LabelCounts]
    ensembles: Mapping[str, str]
    """Name -> mode."""
    notes: Sequence[str]
    """What was read and left out, and what was found out about the data, a line each."""

    def rows(self) -> list[tuple[str, ...]]:
        """Return a table for people, scarcest label first."""
        ordered = sorted(self.labels.items(), key=lambda item: item[1].positives)
        header = ("label", "head", "positives", "negatives", "unknown")
        return [
            header,
            *(
                (label, each.head, str(each.positives), str(each.negatives), str(each.unknown))
                for label, each in ordered
            ),
        ]

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            "files": [str(path) for path in self.files],
            "labels": {label: asdict(each) for label, each in self.labels.items()},
            "ensembles": dict(self.ensembles),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class LabelCounts:
    """How often a label is there, and which head learns it."""

    head: str
    positives: int
    negatives: int
    unknown: int


def make_workspace(folder: Path, data: RawData) -> Made:
    """Make a workspace around label tables, or around a folder or zip that holds a folder per class.

    Where nothing is said of the data, but the folder has a `data/dataset.toml`, its heads and ensembles are
    made.

    Args:
        folder: Where the workspace goes; recipes that are already there are refused, not overwritten.
        data: Where labels and images lie, and how to read them.

    Raises:
        RecipeError: Neither labels nor images, what is said contradicts itself, or the workspace exists or
            would lie among class folders.
        DataError: The labels are refused; nothing is written.
        EnvironmentFault: The disk is full or read-only; nothing is left of what was written.
    """
    workspace = Workspace(folder)
    declared = data == RawData() and workspace.dataset_recipe.is_file()
    settings, recipe, table = (
        _read_declared(workspace) if declared else _read(folder, *data_settings(folder, data))
    )
    notes = [*_pooled_notes(recipe), *_copies_notes(settings, recipe, table)]
    names = head_names(table.labels)
    labels = {label: _count(table, label, name) for label, name in names.items()}
    sets, quick = _named_sets(label_sets(recipe, table)), quick_head()
    contents: dict[Path, Mapping[str, Any]] = {} if declared else {workspace.dataset_recipe: settings}
    comments = {} if declared or not notes else {workspace.dataset_recipe: "; ".join(notes)}
    for label, each in labels.items():
        path = workspace.head_recipe(each.head)
        contents[path] = {"label": label, **quick}
        comments[path] = f"{each.positives} positives, {each.negatives} negatives, {each.unknown} unknown"
    for name, one in sets.items():
        heads = [names[label] for label in one.labels]
        contents[workspace.ensemble_recipe(name)] = {"heads": heads, "mode": one.mode}
    write_recipes(contents, comments)
    modes = {name: one.mode for name, one in sets.items()}
    return Made(list(contents), labels, modes, [*table.lines(), *notes])


def _read(
    folder: Path, settings: dict[str, Any], root: Path
) -> tuple[dict[str, Any], DatasetRecipe, LabelTable]:
    """Read the labels; find what the layout of images says, and add it to `settings`.

    That is where the paths of a table start from in an archive, and which folders hold the class folders.
    """
    recipe = check_recipe(settings, DatasetRecipe, "data/dataset.toml")
    files = open_files(recipe, root)
    if recipe.format == "folders" and (pooled := provider_splits(files.class_folders())):
        settings["pooled_folders"] = pooled
        recipe = recipe.model_copy(update={"pooled_folders": tuple(pooled)})
    if isinstance(files, ZipFiles) and recipe.labels:
        images = read_label_table(recipe, root, files).images
        if prefix := prefix_of(files.archive, images):
            settings["prefix"] = prefix
            recipe = recipe.model_copy(update={"prefix": prefix})
            files = open_files(recipe, root)
    refuse_among_classes(folder, recipe, root)
    return settings, recipe, read_label_table(recipe, root, files, look=True)


def _read_declared(workspace: Workspace) -> tuple[dict[str, Any], DatasetRecipe, LabelTable]:
    """Read the labels as the dataset.toml of a workspace says."""
    source = open_source(workspace)
    return {}, source.recipe, source.table


def _pooled_notes(recipe: DatasetRecipe) -> list[str]:
    folders = first_few(list(recipe.pooled_folders), 5)
    return [f"the class folders of {folders} are pooled, to be split again"] if folders else []


def _copies_notes(settings: dict[str, Any], recipe: DatasetRecipe, table: LabelTable) -> list[str]:
    """Say whether images are named as copies of others; group them in new `settings` that group nothing."""
    copies = copies_pattern(table.images, table.values)
    if copies is None:
        return []
    if recipe.group is None and settings:
        settings["group"] = {"pattern": copies.pattern}
        return [f"{copies.evidence}; [group] in data/dataset.toml keeps each on the side of its source"]
    if recipe.group is None:
        return [f"{copies.evidence}; to keep each on the side of its source, {copies.advice()}"]
    sources = groups_by_pattern("", copies.pattern, Texts.of(table.images))
    groups_of = Counter(source for source, _ in set(zip(sources, table.groups, strict=True)))
    parted = sum(count > 1 for count in groups_of.values())
    return [f"{copies.evidence}; [group] parts {parted:,} of them from their copies"] if parted else []


def _count(table: LabelTable, label: str, head: str) -> LabelCounts:
    values = table.column(label)
    counts = [int(np.sum(values == cell)) for cell in (1, 0, UNKNOWN)]
    return LabelCounts(head, *counts)


def _named_sets(sets: Mapping[str, LabelSet]) -> dict[str, LabelSet]:
    return {name: sets[key] for key, name in head_names(list(sets)).items()}


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
    columns = recipe.class_column if len(recipe.class_column) > 1 else (_ALL,)
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


def head_names(labels: Sequence[str]) -> dict[str, str]:
    """Give every label the name of a head: its text as a short slug, numbered where two would collide."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    for label in labels:
        base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:_MAX_NAME] or "head"
        base = f"head-{base}" if is_device(base) else base
        name = base
        while name in taken:
            numbers[base] = numbers.get(base, 1) + 1
            name = f"{base}-{numbers[base]}"
        taken.add(name)
        names[label] = name
    return names


def quick_head() -> dict[str, Any]:
    """Return the settings of a head that needs no network and no hour: a frozen trunk that is at hand."""
    name = next((name for name in _QUICK_TRUNKS if find_package(name) is not None), "tf_efficientnet_lite0")
    return {
        "backbone": {"name": name, "pretrained": True, "freeze": True, "pooling": "mean+max"},
        "input": {"size": _QUICK_TRUNKS[name], "channels": 3},
        "scoring": {"views": "flips"},
    }


def write_recipes(
    contents: Mapping[Path, Mapping[str, Any]], comments: Mapping[Path, str] | None = None
) -> None:
    """Write recipes as TOML, all or none.

    Raises:
        RecipeError: One of the files exists.
        EnvironmentFault: The disk is full or read-only.
    """
    existing = [str(path) for path in contents if path.exists()]
    if existing:
        raise RecipeError(f"{first_few(existing, 3)} exists; remove it or choose another folder")
    folders = {folder for path in contents for folder in path.parents if not folder.exists()}
    try:
        for path in reversed(list(contents)):  # dataset.toml, which makes a folder a workspace, is the last
            comment = f"# {' '.join(comments[path].split())}\n" if comments and path in comments else ""
            write_bytes(path, (comment + tomli_w.dumps(contents[path])).encode())
    except BaseException:
        for path in contents:
            with suppress(OSError):
                path.unlink()
        for folder in sorted(folders, reverse=True):
            with suppress(OSError):
                folder.rmdir()
        raise
