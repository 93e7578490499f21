"""Write a workspace: dataset.toml, one head recipe per label, one ensemble, from what the data looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ova.data.copies import copies_pattern
from ova.data.labels import UNKNOWN, LabelTable, is_device
from ova.data.read_labels import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.data.sources import open_files
from ova.data.zip_files import ZipFiles
from ova.ensembles.data_settings import data_settings, prefix_of
from ova.errors import RecipeError, first_few
from ova.heads.recipe import HeadRecipe
from ova.recipes import check_recipe
from ova.storage import write_bytes
from ova.workspace import Workspace

MAX_NAME = 60
DEFAULT_HEAD: dict[str, Any] = {
    "backbone": {"name": "resnet18", "pretrained": True},
    "input": {"size": 224, "channels": 3},
    "training": {"epochs": 30, "batch_size": 32, "learning_rate": 5e-4, "weight_decay": 0.05},
    "augment": {"flips": True},
}


@dataclass(frozen=True)
class Made:
    """A new workspace."""

    files: list[Path]
    counts: Mapping[str, tuple[int, int, int]]
    """Label -> (positives, negatives, unknown)."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Label -> name of its head."""
    notes: Sequence[str] = ()
    """What was found out about the data."""

    def rows(self) -> list[tuple[str, ...]]:
        """Return a table for people, scarcest label first."""
        ordered = sorted(self.counts.items(), key=lambda item: item[1][0])
        header = ("label", "head", "positives", "negatives", "unknown")
        return [header, *((label, self.names[label], *map(str, counts)) for label, counts in ordered)]


def make_workspace(
    folder: Path,
    *,
    labels: Path | None = None,
    images: Path | None = None,
    image_column: str | None = None,
    class_column: str | None = None,
    label_columns: Sequence[str] = (),
) -> Made:
    """Make a workspace around a label table, or around a folder or zip that holds a folder per class.

    Args:
        folder: Where the workspace goes; recipes that are already there are refused, not overwritten.
        labels: The label table, `inside:PATH` if it is in the zip; without it `images` holds class folders.
        images: The folder that the paths in the table are relative to, or a zip; the table's folder if None.
        image_column: Column of the image paths; the first one if not given.
        class_column: Makes the table a long one, with one (image, class) per row.
        label_columns: Columns of a wide table that are labels; all but the path's if empty.

    Raises:
        RecipeError: Neither labels nor images, or the workspace exists.
        DataError: The labels are refused; nothing is written.
    """
    workspace = Workspace(folder)
    settings, root = data_settings(folder, labels, images)
    if image_column is not None:
        settings["image_column"] = image_column
    if class_column is not None:
        settings |= {"format": "long", "class_column": class_column}
    if label_columns:
        settings["label_columns"] = list(label_columns)
    table = _read(settings, root)
    names = head_names(table.labels)
    mode = "argmax" if settings.get("format", "wide") != "wide" and len(table.labels) > 1 else "multilabel"
    notes = _keep_copies_together(settings, table)
    contents = {workspace.dataset_recipe: settings}
    comments = dict.fromkeys([workspace.dataset_recipe][: len(notes)], " ".join(notes))
    for label, name in names.items():
        contents[workspace.head_recipe(name)] = {"label": label, **DEFAULT_HEAD}
        comments[workspace.head_recipe(name)] = "{} positives, {} negatives, {} unknown".format(
            *_counts(table, label)
        )
    contents[workspace.ensemble_recipe("all")] = {"heads": list(names.values()), "mode": mode}
    write_recipes(contents, comments)
    return Made(list(contents), {label: _counts(table, label) for label in table.labels}, names, notes)


def _read(settings: dict[str, Any], root: Path) -> LabelTable:
    """Read the labels; find where the paths of a table start from in an archive, and add it to `settings`."""
    recipe = check_recipe(settings, DatasetRecipe, "data/dataset.toml")
    files = open_files(recipe, root)
    if isinstance(files, ZipFiles) and recipe.labels:
        images = read_label_table(recipe, root, files).images
        if prefix := prefix_of(files.archive, images):
            settings["prefix"] = prefix
            recipe = recipe.model_copy(update={"prefix": prefix})
            files = open_files(recipe, root)
    return read_label_table(recipe, root, files, look=True)


def _keep_copies_together(settings: dict[str, Any], table: LabelTable) -> list[str]:
    """Group images and what is named as a copy of them, in `settings`, and say so."""
    copies = copies_pattern(table.images, table.values)
    if copies is None:
        return []
    settings["group"] = {"pattern": copies.pattern}
    return [f"{copies.evidence}; [group] in data/dataset.toml keeps each on the side of its source"]


def write_recipes(
    contents: Mapping[Path, Mapping[str, Any]], comments: Mapping[Path, str] | None = None
) -> None:
    """Write recipes as TOML, all or none.

    Raises:
        RecipeError: One of the files exists.
    """
    existing = [str(path) for path in contents if path.exists()]
    if existing:
        raise RecipeError(f"{first_few(existing, 3)} exists; remove it or choose another folder")
    for path, content in contents.items():
        comment = f"# {comments[path]}\n" if comments and path in comments else ""
        write_bytes(path, (comment + tomli_w.dumps(content)).encode())


def head_names(labels: Sequence[str]) -> dict[str, str]:
    """Give every label the name of a head: its text as a short slug, numbered where two would collide."""
    names: dict[str, str] = {}
    for label in labels:
        base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:MAX_NAME] or "head"
        base = f"head-{base}" if is_device(base) else base
        name, number = base, 2
        while name in names.values():
            name, number = f"{base}-{number}", number + 1
        names[label] = name
    return names


def head_recipe_of(content: Mapping[str, Any]) -> HeadRecipe:
    """Check the content of a head recipe."""
    return check_recipe(dict(content), HeadRecipe, "head recipe")


def _counts(table: LabelTable, label: str) -> tuple[int, int, int]:
    values = table.column(label)
    return int(np.sum(values == 1)), int(np.sum(values == 0)), int(np.sum(values == UNKNOWN))
