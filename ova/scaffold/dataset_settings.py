"""What a new dataset.toml says, from what a person says of labels and images."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ova.data.files.archive import Archive
from ova.data.files.find import tables_in
from ova.data.files.listing import class_root, folders_on_disk, image_folders
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError, RecipeError, first_few

INSIDE = "inside:"


@dataclass(frozen=True)
class RawData:
    """Labels and images as they come, and what cannot be seen from them."""

    labels: Sequence[Path] = ()
    """Label tables, `inside:PATH` if in the zip; without one, `images` holds class folders."""
    images: Path | None = None
    """The folder that the paths in the tables are relative to, or a zip; that of the first table if None."""
    delimiter: str | None = None
    """Character between cells; found by itself if None."""
    image_column: str | None = None
    """Column of the image paths; the first one if None."""
    class_columns: Sequence[str] = ()
    """Makes the tables long ones, with one (image, class) per row; several are several sets of labels."""
    label_columns: Sequence[str] = ()
    """Columns of a wide table that are labels; all but the path's if empty."""
    label_names: Sequence[str] = ()
    """Files of names for codes, each `FILE` or, for one of the class columns, `COLUMN=FILE`."""
    drop_classes: Sequence[str] = ()
    """Labels to leave out."""
    group_column: str | None = None
    """Column of what belongs together."""
    group_pattern: str | None = None
    """Regular expression that finds in an image path what belongs together."""


def data_settings(folder: Path, data: RawData) -> tuple[dict[str, Any], Path]:
    """Return the content of dataset.toml and the folder that its paths are relative to.

    Args:
        folder: Where the workspace goes.
        data: Labels and images.

    Raises:
        RecipeError: Neither labels nor images, or a table inside of no archive.
        DataError: One of them does not exist, or the archive is refused.
    """
    if not data.labels and data.images is None:
        raise RecipeError(
            "say where the data is: ova init --labels table.csv, or --images FOLDER of class folders"
        )
    if data.images is not None and not data.images.exists():
        raise DataError(f"{data.images} does not exist")
    archive = Archive(data.images) if data.images is not None and not data.images.is_dir() else None
    root = _root(data, archive)
    settings: dict[str, Any] = {"root": _relative(root.resolve(), (folder / "data").resolve())}
    if archive is not None:
        settings["archive"] = archive.path.name
    if data.labels:
        settings["labels"] = _one_or_list([_table(path, root, archive) for path in data.labels])
    if archive is not None and not data.labels and (prefix := _class_prefix(archive)):
        settings["prefix"] = prefix
    if data.class_columns or not data.labels:
        settings["format"] = "long" if data.class_columns else "folders"
    return settings | _column_settings(data, root, archive), root


def refuse_among_classes(folder: Path, recipe: DatasetRecipe, root: Path) -> None:
    """Refuse a workspace that would lie among class folders: its own folders would be classes, too.

    Raises:
        RecipeError: It would.
    """
    if recipe.format != "folders" or recipe.archive is not None:
        return
    for place in recipe.pooled_folders or (".",):
        if folder.resolve().is_relative_to((root / place).resolve()):
            raise RecipeError(
                f"the workspace {folder} would lie among the class folders of {root / place}, and become a"
                f" class; give it a folder of its own: ova init my-workspace --images {root}"
            )


def prefix_of(archive: Archive, images: Sequence[str]) -> str:
    """Find the folder of an archive that the image paths of a table start from.

    Raises:
        DataError: Two folders hold as many of these images.
    """
    ending = f"/{images[0]}"
    folders = ["", *sorted(name.removesuffix(ending) for name in archive.files if name.endswith(ending))]
    held = {
        folder: sum(posixpath.join(folder, image) in archive.files for image in images) for folder in folders
    }
    most = max(held.values())
    best = [folder for folder in folders if held[folder] == most]
    if most and len(best) > 1:
        raise DataError(
            f"{archive.path}: the images of the table lie below each of {first_few(best, 3)}; "
            "give their whole paths in the table"
        )
    return best[0]


def _root(data: RawData, archive: Archive | None) -> Path:
    """Return the folder that paths are relative to: that of the archive, the images or the first table."""
    if archive is not None:
        return archive.path.parent
    if data.labels:
        return data.images or data.labels[0].parent
    assert data.images is not None  # noqa: S101
    root = class_root(data.images)
    if not data.class_columns and not folders_on_disk(root):
        advice = f"if a table says what is in the images: ova init --images {root} --labels TABLE"
        raise DataError(f"{root} has no class folders; {advice}")
    return root


def _column_settings(data: RawData, root: Path, archive: Archive | None) -> dict[str, Any]:
    """Return what is said about columns and classes; what is not said is left out."""
    settings = {
        "delimiter": data.delimiter,
        "image_column": data.image_column,
        "class_column": _one_or_list(data.class_columns),
        "label_columns": list(data.label_columns),
        "label_names": _label_names(data, root, archive),
        "drop_classes": list(data.drop_classes),
        "group": {
            name: value
            for name, value in (("column", data.group_column), ("pattern", data.group_pattern))
            if value is not None
        },
    }
    return {name: value for name, value in settings.items() if value not in (None, [], {})}


def _label_names(data: RawData, root: Path, archive: Archive | None) -> str | dict[str, str]:
    named: dict[str, str] = {}
    for text in data.label_names:
        column, sign, file = text.partition("=")
        column, file = (column, file) if sign and column in data.class_columns else ("", text)
        if column in named:
            raise RecipeError(
                f"--label-names {text}: names are given twice; give COLUMN=FILE for each column"
            )
        named[column] = _table(Path(file), root, archive)
    return named[""] if named.keys() == {""} else named


def _table(path: Path, root: Path, archive: Archive | None) -> str:
    """Return the path of a table, relative to root or inside of the archive."""
    text = path.as_posix()
    if not text.startswith(INSIDE) and path.exists():
        return _relative(path, root)
    if archive is None and text.startswith(INSIDE):
        raise RecipeError(
            f"{text} names a table in an archive; name the archive too, with --images photos.zip"
        )
    if archive is None:
        raise DataError(f"{path} does not exist")
    name = text.removeprefix(INSIDE)
    found = [entry for entry in archive.files if entry == name or entry.endswith(f"/{name}")]
    if name in found or len(found) == 1:
        return name if name in found else found[0]
    held = first_few(found or tables_in(archive), 3) or "no table"
    gone = "" if text.startswith(INSIDE) else f"{path} does not exist, and "
    raise DataError(
        f"{gone}{archive.path} holds {held}, not the one table {name!r}; name it with {INSIDE}PATH"
    )


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path, start)).as_posix()


def _one_or_list(texts: Sequence[str]) -> str | list[str]:
    return texts[0] if len(texts) == 1 else list(texts)


def _class_prefix(archive: Archive) -> str:
    """Return the folder that holds the class folders: the innermost that all images lie below.

    Raises:
        DataError: All images lie in one folder, and there is a table that says more of them.
    """
    folders = image_folders(archive)
    if len(folders) > 1:
        return posixpath.commonpath(folders)
    if tables := tables_in(archive):
        raise DataError(
            f"{archive.path} has no class folders; to use its table: ova init --labels {INSIDE}{tables[0]}"
        )
    return posixpath.dirname(next(iter(folders), ""))
