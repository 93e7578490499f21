"""Write a workspace: dataset.toml, one head recipe per label, one ensemble, from what the data looks like."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from ova.data.labels import UNKNOWN, LabelTable
from ova.data.read_labels import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError, RecipeError, first_few
from ova.heads.recipe import HeadRecipe
from ova.recipes import check_recipe
from ova.storage import write_bytes
from ova.workspace import Workspace

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
    """Make a workspace around a label table, or around a folder that holds a folder per class.

    Args:
        folder: Where the workspace goes; recipes that are already there are refused, not overwritten.
        labels: The label table; without it `images` holds class folders.
        images: What the paths in the table are relative to; the table's folder if not given.
        image_column: Column of the image paths; the first one if not given.
        class_column: Makes the table a long one, with one (image, class) per row.
        label_columns: Columns of a wide table that are labels; all but the path's if empty.

    Raises:
        RecipeError: Neither labels nor images, or the workspace exists.
        DataError: The labels are refused; nothing is written.
    """
    workspace = Workspace(folder)
    settings, root = _dataset_settings(folder, labels, images)
    if image_column is not None:
        settings["image_column"] = image_column
    if class_column is not None:
        settings |= {"format": "long", "class_column": class_column}
    if label_columns:
        settings["label_columns"] = list(label_columns)
    table = read_label_table(check_recipe(settings, DatasetRecipe, "data/dataset.toml"), root)
    _refuse_missing(table, root)
    names = head_names(table.labels)
    mode = "argmax" if settings.get("format", "wide") != "wide" and len(table.labels) > 1 else "multilabel"
    contents = {workspace.dataset_recipe: settings}
    comments = {}
    for label, name in names.items():
        contents[workspace.head_recipe(name)] = {"label": label, **DEFAULT_HEAD}
        comments[workspace.head_recipe(name)] = "{} positives, {} negatives, {} unknown".format(
            *_counts(table, label)
        )
    contents[workspace.ensemble_recipe("all")] = {"heads": list(names.values()), "mode": mode}
    write_recipes(contents, comments)
    return Made(list(contents), {label: _counts(table, label) for label in table.labels}, names)


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
    """Give every label the name of a head: its text as a slug, numbered where two would collide."""
    names: dict[str, str] = {}
    for label in labels:
        base = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "head"
        name, number = base, 2
        while name in names.values():
            name, number = f"{base}-{number}", number + 1
        names[label] = name
    return names


def head_recipe_of(content: Mapping[str, Any]) -> HeadRecipe:
    """Check the content of a head recipe."""
    return check_recipe(dict(content), HeadRecipe, "head recipe")


def _dataset_settings(folder: Path, labels: Path | None, images: Path | None) -> tuple[dict[str, Any], Path]:
    """Return the content of dataset.toml and the folder that its paths are relative to."""
    if labels is None and images is None:
        raise RecipeError(
            "say where the data is: ova init --labels table.csv, or --images FOLDER of class folders"
        )
    for path in (labels, images):
        if path is not None and not path.exists():
            raise DataError(f"{path} does not exist")
    settings: dict[str, Any] = {}
    if labels is None:
        assert images is not None  # noqa: S101
        root = images
        settings["format"] = "folders"
    else:
        root = images or labels.parent
        settings["labels"] = Path(os.path.relpath(labels, root)).as_posix()
    settings["root"] = Path(os.path.relpath(root.resolve(), (folder / "data").resolve())).as_posix()
    return settings, root


def _refuse_missing(table: LabelTable, root: Path) -> None:
    missing = [image for image in table.images if not (root / image).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(table.images)} images are not below {root}: {first_few(missing, 3)}; "
            "name the folder that the paths start from with --images, or correct the table"
        )


def _counts(table: LabelTable, label: str) -> tuple[int, int, int]:
    values = table.column(label)
    return int(np.sum(values == 1)), int(np.sum(values == 0)), int(np.sum(values == UNKNOWN))
