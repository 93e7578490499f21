"""Where the bytes of images come from, so that nothing else asks whether it is a folder or an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from ova.data.images import read_image
from ova.data.labels import inside_root
from ova.errors import DataError


class ImageStatus(NamedTuple):
    """What tells, without reading it, that an image has changed."""

    bytes: int
    modified_ns: int


class ImageFiles(Protocol):
    """Gives the bytes of images by their id; safe in several threads, and in a process that it is sent to."""

    def where(self, image: str) -> str:
        """Name an image in a message, so that a person finds it."""
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


@dataclass(frozen=True)
class FolderFiles:
    """Images below a folder; their ids are paths relative to it."""

    root: Path

    def where(self, image: str) -> str:
        """Return the path of an image."""
        return str(self.root / image)

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
