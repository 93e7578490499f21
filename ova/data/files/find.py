"""Find the images of a dataset and its label tables: a folder, or an archive with the tables inside."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ova.data.files.archive import Archive
from ova.data.files.image_files import FolderFiles, ImageFiles
from ova.data.files.zip_files import ZipFiles
from ova.data.recipe import DatasetRecipe
from ova.data.tables.reader import MAX_TABLE_BYTES, TableFile
from ova.errors import DataError, first_few

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


def open_files(recipe: DatasetRecipe, root: Path) -> ImageFiles:
    """Return where the images of a dataset lie.

    Args:
        recipe: What `dataset.toml` says.
        root: The folder of labels and images on this machine.

    Raises:
        DataError: They lie in an archive that is missing or refused.
    """
    if recipe.archive is None:
        return FolderFiles(root)
    files = ZipFiles(root / recipe.archive, recipe.prefix)
    _ = files.archive  # a refused archive is told once, not for every image in it
    return files


def find_table(files: ImageFiles, root: Path, labels: str) -> TableFile:
    """Find a label table below the root, or in the archive of the images.

    Args:
        files: Where the images lie.
        root: The folder of labels and images on this machine.
        labels: The table, relative to root or to the top of the archive.

    Raises:
        DataError: It is neither below root nor in the archive.
    """
    path, name = root / labels, PurePosixPath(labels).as_posix()
    if not isinstance(files, ZipFiles) or path.is_file():
        return TableFile.at(path)
    archive = files.archive
    if name not in archive.files:
        raise DataError(
            f"{path}: is missing, and {archive.path} does not hold {name!r} either, only "
            f"{first_few(tables_in(archive), 3) or 'no table'}; correct labels in dataset.toml"
        )
    return TableFile(archive.where(name), lambda: archive.stream(name, MAX_TABLE_BYTES))


def tables_in(archive: Archive) -> list[str]:
    """Return the names of the files in an archive that look like label tables."""
    return sorted(name for name in archive.files if name.lower().endswith(TABLE_SUFFIXES))
