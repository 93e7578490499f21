"""Where the bytes of images come from, so that nothing else asks whether it is a folder or an archive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from ova.data.files.listing import folders_on_disk, images_on_disk
from ova.data.files.read import IMAGE_SUFFIXES, read_image
from ova.data.paths import inside_root, safe_relative
from ova.errors import DataError


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

    def names(self, folder: str) -> Iterable[str]:
        """List the ids of images directly in a folder ("": the top); nothing if there is no such folder.

        Hidden files and files that are no PNG or JPEG by their names are passed over.
        """
        ...

    def read(self, image: str) -> bytes:
        """Return the whole file.

        Raises:
            DataError: It is missing, too large, out of bounds, or cannot be read.
        """
        ...

    def part(self, images: Sequence[str]) -> ImageFiles:
        """Return the same for these images alone: less to send to another process, and to open there."""
        ...

    def class_folders(self) -> Mapping[str, Iterable[str]]:
        """Return the images below every top folder, by the folder's name.

        Raises:
            DataError: An archive is refused.
            OSError: A folder cannot be listed.
        """
        ...

    def images(self) -> Iterable[str]:
        """Return the ids of all images that are there, in any order, with a row of the labels or without.

        Raises:
            DataError: An archive is refused.
            OSError: A folder cannot be listed.
        """
        ...


@dataclass(frozen=True)
class FolderFiles:
    """Images below a folder; their ids are paths relative to it."""

    root: Path
    _folders: dict[str, str | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Folders whose links were followed, and their paths; None where each image is to be looked at."""

    @property
    def source(self) -> Path:
        """The folder."""
        return self.root

    def where(self, image: str) -> str:
        """Return the path of an image."""
        return str(self.root / image)

    def holds(self, image: str) -> bool:
        """Tell whether there is such a file."""
        try:
            return (self.root / image).is_file()
        except OSError:  # a name that is too long for any file
            return False

    def status(self, image: str) -> ImageStatus:
        """Return size and time of an image file; see `ImageFiles`."""
        path = f"{self.root}/{image}"
        try:
            status = os.stat(path)  # noqa: PTH116 (a `Path` takes longer than the question)
        except OSError as error:
            raise DataError(
                f"{path}: {error.strerror or error}; remove its row or restore the file"
            ) from error
        return ImageStatus(status.st_size, status.st_mtime_ns)

    def names(self, folder: str) -> Iterator[str]:
        """List the images directly in a folder below the root; see `ImageFiles`."""
        prefix = f"{folder}/" if folder else ""
        # What cannot be listed is looked for image by image.
        with suppress(OSError, DataError):
            place = inside_root(self.root, folder) if folder else self.root
            with os.scandir(place) as entries:
                yield from (prefix + entry.name for entry in entries if _is_image_name(entry.name))

    def read(self, image: str) -> bytes:
        """Return the bytes of an image file, which lies below the root; see `ImageFiles`."""
        folder, _, name = safe_relative(image).rpartition("/")
        if folder not in self._folders:
            self._folders[folder] = self._inside(folder)
        path = f"{self._folders[folder]}/{name}"
        if self._folders[folder] is None or os.path.islink(path):  # noqa: PTH114
            return read_image(inside_root(self.root, image))
        return read_image(path)

    def _inside(self, folder: str) -> str | None:
        """Return the path of a folder below the root; None where it is not there or leads elsewhere."""
        try:
            return str(inside_root(self.root, folder)) if folder else str(self.root)
        except DataError:
            return None

    def part(self, images: Sequence[str]) -> FolderFiles:
        """Return itself, which has no list of images."""
        return self

    def class_folders(self) -> Mapping[str, Iterable[str]]:
        """Return the images below every top folder; see `ImageFiles`."""
        return folders_on_disk(self.root)

    def images(self) -> Iterable[str]:
        """Return all images below the root; see `ImageFiles`."""
        return images_on_disk(self.root)


def _is_image_name(name: str) -> bool:
    text = name.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in name)
    return text and not name.startswith(".") and name.lower().endswith(IMAGE_SUFFIXES)
