"""What a new dataset.toml says of where labels and images lie, from the paths that a person gives."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ova.data.archive import Archive
from ova.data.class_folders import image_folders
from ova.data.sources import tables_in
from ova.errors import DataError, RecipeError, first_few

INSIDE = "inside:"


def data_settings(folder: Path, labels: Path | None, images: Path | None) -> tuple[dict[str, Any], Path]:
    """Return the content of dataset.toml and the folder that its paths are relative to.

    Args:
        folder: Where the workspace goes.
        labels: The label table; `inside:PATH` for one in the archive. None for class folders.
        images: A folder, or a zip archive.

    Raises:
        RecipeError: Neither is given, or the table is inside of no archive.
        DataError: One of them does not exist, or the archive is refused.
    """
    if labels is None and images is None:
        raise RecipeError(
            "say where the data is: ova init --labels table.csv, or --images FOLDER of class folders"
        )
    inside = None if labels is None else _inside(labels)
    for path in (None if inside else labels, images):
        if path is not None and not path.exists():
            raise DataError(f"{path} does not exist")
    archive = Archive(images) if images is not None and not images.is_dir() else None
    if inside and archive is None:
        raise RecipeError(
            f"{labels} names a table in an archive; name the archive too, with --images photos.zip"
        )
    settings: dict[str, Any] = {}
    root = images if archive is None else archive.path.parent
    if labels is None:
        settings["format"] = "folders"
    else:
        root = root or labels.parent
        settings["labels"] = Path(os.path.relpath(labels, root)).as_posix()
    assert root is not None  # noqa: S101
    settings["root"] = Path(os.path.relpath(root.resolve(), (folder / "data").resolve())).as_posix()
    if archive is not None:
        settings |= _archive_settings(archive, inside, folders=labels is None)
    return settings, root


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


def _archive_settings(archive: Archive, inside: str | None, *, folders: bool) -> dict[str, Any]:
    settings: dict[str, Any] = {"archive": archive.path.name}
    if inside:
        settings["labels"] = _table_inside(archive, inside)
    if folders and (prefix := _class_prefix(archive)):
        settings["prefix"] = prefix
    return settings


def _inside(labels: Path) -> str | None:
    text = labels.as_posix()
    return text.removeprefix(INSIDE) if text.startswith(INSIDE) else None


def _table_inside(archive: Archive, name: str) -> str:
    """Return the full name of a table; the folder that all is in need not be given."""
    found = [entry for entry in archive.files if entry == name or entry.endswith(f"/{name}")]
    if name in found or len(found) == 1:
        return name if name in found else found[0]
    held = first_few(found or tables_in(archive), 3) or "no table"
    raise DataError(
        f"{archive.path} holds {held}, not the one table {name!r}; name it with --labels {INSIDE}PATH"
    )


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
