"""The images below the folders of a tree, on disk or in an archive.

Hidden files and folders, whose names begin with a dot, are left out; so is `__MACOSX` of an archive.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

from ova.data.files.archive import Archive
from ova.data.files.read import IMAGE_SUFFIXES
from ova.errors import DataError


def folders_on_disk(root: Path) -> Mapping[str, Iterable[str]]:
    """Return the images below every folder in `root`, listed when they are asked for.

    Raises:
        DataError: The root cannot be listed.
    """
    try:
        found = [entry.name for entry in root.iterdir() if entry.is_dir() and not _is_hidden(entry.name)]
    except OSError as error:
        raise unlisted(error) from error
    return {name: images_on_disk(root, name) for name in found}


def images_on_disk(root: Path, below: str = "") -> Iterable[str]:
    """Return the images in a folder and deeper, relative to `root`; links to folders are not followed.

    Args:
        root: What their names are relative to.
        below: A folder in it; the root itself when left out.

    Raises:
        OSError: A folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root / below, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        prefix = Path(folder).relative_to(root).as_posix()
        start = "" if prefix == "." else f"{prefix}/"
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield start + name


def class_root(root: Path) -> Path:
    """Return the folder that holds the class folders: deeper than `root` where that has one folder only.

    Raises:
        DataError: A folder cannot be listed.
    """
    try:
        while (inner := _only_folder(root)) is not None and any(map(_is_folder, inner.iterdir())):
            if _holds_images(inner):
                break
            root = inner
    except OSError as error:
        raise unlisted(error) from error
    return root


def _only_folder(folder: Path) -> Path | None:
    """Return the one folder in a folder that holds no images; links do not count."""
    found = [path for path in folder.iterdir() if _is_folder(path)]
    return found[0] if len(found) == 1 and not found[0].is_symlink() and not _holds_images(folder) else None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not _is_hidden(path.name)


def _holds_images(folder: Path) -> bool:
    return any(
        path.name.lower().endswith(IMAGE_SUFFIXES) and not _is_hidden(path.name) for path in folder.iterdir()
    )


def unlisted(error: OSError) -> DataError:
    """Say that a folder cannot be listed."""
    return DataError(f"{error.filename}: cannot be listed ({error.strerror}); correct root")


def folders_in_archive(archive: Archive, prefix: str) -> Mapping[str, Iterable[str]]:
    """Return the images below every folder that lies in the folder `prefix` of an archive ("": at its top).

    Raises:
        DataError: There is one folder only and it holds folders: no class, but what was put into the archive.
    """
    start = f"{prefix}/" if prefix else ""
    found: dict[str, list[str]] = {}
    for name in archive.folders:
        if name.startswith(start) and not _is_hidden(name):
            found.setdefault(name.removeprefix(start).split("/")[0], [])
    direct = False
    for name in images_in(archive):
        folder, _, rest = name.removeprefix(start).partition("/")
        if name.startswith(start) and rest:
            found.setdefault(folder, []).append(name.removeprefix(start))
            direct = direct or "/" not in rest
    if len(found) == 1 and not direct and (below := start + next(iter(found))) in top_folders(archive):
        raise DataError(
            f"{archive.path}: all images lie below {below}, which would be the only class; "
            f'set prefix = "{below}" in dataset.toml'
        )
    return found


def top_folders(archive: Archive) -> list[str]:
    """Return the folders below which all images of an archive lie, from the outermost to the innermost."""
    folders = image_folders(archive)
    common = posixpath.commonpath(folders) if folders else ""
    parts = common.split("/") if common else []
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def image_folders(archive: Archive) -> set[str]:
    """Return the folders that images of an archive lie in."""
    return {posixpath.dirname(name) for name in images_in(archive)}


def images_in(archive: Archive) -> Iterable[str]:
    """Return the names of the images in an archive, without hidden ones."""
    return (name for name in archive.files if name.lower().endswith(IMAGE_SUFFIXES) and not _is_hidden(name))


def _is_hidden(path: str) -> bool:
    return path.startswith((".", "__MACOSX/")) or "/." in path
