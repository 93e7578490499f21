"""Where the bytes of images come from, so that nothing else asks whether it is a folder or an archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import NamedTuple, Protocol

from ova.data.archive import Archive
from ova.data.class_folders import folders_in_archive, folders_on_disk, top_folders
from ova.data.images import MAX_BYTES, read_image
from ova.data.labels import inside_root
from ova.data.recipe import DatasetRecipe
from ova.data.sheet import MAX_BYTES as MAX_TABLE_BYTES
from ova.errors import DataError, first_few

TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


class ImageStatus(NamedTuple):
    """What tells, without reading it, that an image has changed."""

    bytes: int
    modified_ns: int
    """When a file was last written; of an image in an archive its checksum, which copying does not change."""


class ImageFiles(Protocol):
    """Gives the bytes of images by their id; safe in several threads, and in a process that it is sent to."""

    @property
    def source(self) -> Path:
        """The folder or the archive."""
        ...

    def where(self, image: str) -> str:
        """Name an image in a message, so that a person finds it."""
        ...

    def holds(self, image: str) -> bool:
        """Tell whether there is such an image, without reading it."""
        ...

    def status(self, image: str) -> ImageStatus:
        """Return size and time of an image.

        Raises:
            DataError: It is missing.
        """
        ...

    def read(self, image: str) -> bytes:
        """Return the whole file.

        Raises:
            DataError: It is missing, too large, out of bounds, or cannot be read.
        """
        ...

    def class_folders(self) -> Mapping[str, Iterable[str]]:
        """Return the images below every top folder, by the folder's name.

        Raises:
            DataError: An archive is refused.
            OSError: A folder cannot be listed.
        """
        ...


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


def find_table(files: ImageFiles, root: Path, labels: str) -> tuple[Path, bytes | None]:
    """Return where the label table lies, and its content if that is in the archive of the images.

    Args:
        files: Where the images lie.
        root: The folder of labels and images on this machine.
        labels: The table, relative to root or to the top of the archive.

    Raises:
        DataError: It is neither below root nor in the archive, or cannot be read there.
    """
    path, name = root / labels, PurePosixPath(labels).as_posix()
    if not isinstance(files, ZipFiles) or path.is_file():
        return path, None
    archive = files.archive
    if name not in archive.files:
        raise DataError(
            f"{path}: is missing, and {archive.path} does not hold {name!r} either, only "
            f"{first_few(tables_in(archive), 3) or 'no table'}; correct labels in dataset.toml"
        )
    return Path(archive.where(name)), archive.read(name, MAX_TABLE_BYTES)


def tables_in(archive: Archive) -> list[str]:
    """Return the names of the files in an archive that look like label tables."""
    return sorted(name for name in archive.files if name.lower().endswith(TABLE_SUFFIXES))


@dataclass(frozen=True)
class FolderFiles:
    """Images below a folder; their ids are paths relative to it."""

    root: Path

    @property
    def source(self) -> Path:
        """The folder."""
        return self.root

    def where(self, image: str) -> str:
        """Return the path of an image."""
        return str(self.root / image)

    def holds(self, image: str) -> bool:
        """Tell whether there is such a file."""
        return (self.root / image).is_file()

    def status(self, image: str) -> ImageStatus:
        """Return size and time of an image file; see `ImageFiles`."""
        path = self.root / image
        try:
            status = path.stat()
        except OSError as error:
            raise DataError(
                f"{path}: {error.strerror or error}; remove its row or restore the file"
            ) from error
        return ImageStatus(status.st_size, status.st_mtime_ns)

    def read(self, image: str) -> bytes:
        """Return the bytes of an image file, which lies below the root; see `ImageFiles`."""
        return read_image(inside_root(self.root, image))

    def class_folders(self) -> Mapping[str, Iterable[str]]:
        """Return the images below every top folder; see `ImageFiles`."""
        return folders_on_disk(self.root)


class ZipFiles:
    """Images in a zip archive, read in place; their ids are paths in it, relative to `prefix`.

    The archive is opened when it is first needed, and again in a process that this is sent to.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self.prefix = prefix.strip("/")
        self._opening = Lock()
        self._archive: Archive | None = None

    def __reduce__(self) -> tuple[type[ZipFiles], tuple[Path, str]]:
        return ZipFiles, (self.path, self.prefix)

    @property
    def archive(self) -> Archive:
        """The opened archive.

        Raises:
            DataError: It is missing or refused.
        """
        with self._opening:
            if self._archive is None:
                self._archive = Archive(self.path)
            return self._archive

    @property
    def source(self) -> Path:
        """The archive."""
        return self.path

    def where(self, image: str) -> str:
        """Return archive and path of an image, as in `photos.zip: images/a.png`."""
        return f"{self.path}: {self._name(image)}"

    def holds(self, image: str) -> bool:
        """Tell whether the archive has such a file."""
        return self._name(image) in self.archive.files

    def status(self, image: str) -> ImageStatus:
        """Return unpacked size and checksum of an image; see `ImageFiles`."""
        self._refuse_missing(image)
        info = self.archive.files[self._name(image)]
        return ImageStatus(info.file_size, info.CRC)

    def read(self, image: str) -> bytes:
        """Return the bytes of an image; see `ImageFiles`."""
        self._refuse_missing(image)
        return self.archive.read(self._name(image), MAX_BYTES)

    def class_folders(self) -> Mapping[str, Iterable[str]]:
        """Return the images below every top folder; see `ImageFiles`."""
        return folders_in_archive(self.archive, self.prefix)

    def _name(self, image: str) -> str:
        return f"{self.prefix}/{image}" if self.prefix else image

    def _refuse_missing(self, image: str) -> None:
        if self.holds(image):
            return
        found = [folder for folder in self._top_folders if f"{folder}/{image}" in self.archive.files]
        advice = f'set prefix = "{found[0]}"' if found else "correct the path, archive or prefix"
        raise DataError(f"{self.where(image)}: is missing; {advice} in dataset.toml")

    @cached_property
    def _top_folders(self) -> list[str]:
        return top_folders(self.archive)
