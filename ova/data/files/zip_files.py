"""Images in a zip archive, read in place."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any

from ova.data.files.archive import Archive
from ova.data.files.image_files import ImageStatus
from ova.data.files.listing import folders_in_archive, images_in, top_folders
from ova.data.files.read import MAX_IMAGE_BYTES
from ova.errors import DataError


class ZipFiles:
    """Images in a zip archive, read in place; their ids are paths in it, relative to `prefix`.

    The archive is opened when it is first needed, and again in a process that this is sent to.
    """

    def __init__(self, path: Path, prefix: str = "") -> None:
        self.path = path
        self.prefix = prefix.strip("/")
        self._opening = Lock()
        self._archive: Archive | None = None

    def __reduce__(self) -> tuple[type[ZipFiles], tuple[Any, ...]]:
        return ZipFiles, (self.path, self.prefix)

    def part(self, images: Sequence[str]) -> ZipPart:
        """Return the files of these images alone; see `ImageFiles`."""
        missing = {image: self._advice(image) for image in images if not self.holds(image)}
        return ZipPart(self.path, self.prefix, self.archive.part(map(self._name, images)), missing)

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
        return self.archive.read(self._name(image), MAX_IMAGE_BYTES)

    def names(self, folder: str) -> Sequence[str]:
        """Return the ids of the images directly in a folder ("": the top); hidden ones are passed over."""
        return self._by_folder.get(folder, ())

    def class_folders(self) -> Mapping[str, Iterable[str]]:
        """Return the images below every top folder; see `ImageFiles`."""
        return folders_in_archive(self.archive, self.prefix)

    def images(self) -> Iterable[str]:
        """Return all images below the prefix; see `ImageFiles`."""
        return chain.from_iterable(self._by_folder.values())

    def _name(self, image: str) -> str:
        return f"{self.prefix}/{image}" if self.prefix else image

    def _refuse_missing(self, image: str) -> None:
        if not self.holds(image):
            raise DataError(f"{self.where(image)}: is missing; {self._advice(image)} in dataset.toml")

    def _advice(self, image: str) -> str:
        found = [folder for folder in self._top_folders if f"{folder}/{image}" in self.archive.files]
        return f'set prefix = "{found[0]}"' if found else "correct the path, archive or prefix"

    @cached_property
    def _top_folders(self) -> list[str]:
        return top_folders(self.archive)

    @cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        start = f"{self.prefix}/" if self.prefix else ""
        found: dict[str, list[str]] = {}
        for name in images_in(self.archive):
            if name.startswith(start):
                image = name.removeprefix(start)
                found.setdefault(posixpath.dirname(image), []).append(image)
        return found


class ZipPart(ZipFiles):
    """Some images of an archive, which are sent with what its directory says of them."""

    def __init__(self, path: Path, prefix: str, archive: Archive, advice: Mapping[str, str]) -> None:
        super().__init__(path, prefix)
        self._archive = archive
        self._missing = advice

    def __reduce__(self) -> tuple[type[ZipPart], tuple[Any, ...]]:
        return ZipPart, (self.path, self.prefix, self.archive, self._missing)

    def _advice(self, image: str) -> str:
        return self._missing[image]
