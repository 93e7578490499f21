"""Files in a zip archive, read where they lie: nothing is ever unpacked to disk."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from copy import copy
from io import BufferedReader, RawIOBase
from pathlib import Path
from struct import error as struct_error
from struct import unpack_from
from typing import TYPE_CHECKING
from zipfile import ZIP_DEFLATED, ZipInfo

from ova.data.files.archive_guards import LOCAL_HEADER, DirectoryReader, refusal, sound_entries
from ova.errors import DataError

if TYPE_CHECKING:
    from typing_extensions import Buffer


_LOCAL_SIGNATURE = b"PK\x03\x04"
_RAW_DEFLATE = -15
_PIECE = 1024 * 1024
_DAMAGED = "is damaged in the archive (its size or checksum is wrong); take another copy"
# What zipfile raises for a directory that is not one.
_NO_DIRECTORY = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError, struct_error)


class Archive:
    """A zip whose directory was read and found sound.

    Every file is read through an opening of its own, so that threads and processes share nothing. No
    more of it is unpacked than the directory says that there is.

    Attributes:
        path: The archive.
        files: Entries that are files, by their plain names.
        folders: Names of the entries that stand for folders.
    """

    def __init__(self, path: Path) -> None:
        """Read the directory.

        Raises:
            DataError: The archive is missing, no zip, damaged, above a cap or made to do harm.
        """
        self.path = path
        try:
            _require_file(path)
            with DirectoryReader(path) as file:
                self._identity = _identity(file)
                content = zipfile.ZipFile(file)
                self.files, self.folders = sound_entries(content.filelist, content.start_dir)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        except FileNotFoundError as error:
            raise DataError(f"{path}: is missing; correct archive and root in dataset.toml") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); name a zip archive") from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: a name in it is not the UTF-8 that it claims; make it anew") from error
        except _NO_DIRECTORY as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{path}: is no zip archive, or a cut-off one ({reason}); copy it again"
            ) from error

    def where(self, name: str) -> str:
        """Name a file in a message."""
        return f"{self.path}: {name}"

    def info(self, name: str) -> ZipInfo:
        """Return what the directory says of a file.

        Raises:
            DataError: There is no such file.
        """
        if name not in self.files:
            raise DataError(f"{self.where(name)}: is missing; correct the path, or archive in dataset.toml")
        return self.files[name]

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file.

        Args:
            name: Its plain name.
            limit: The largest size that is read, in bytes.

        Raises:
            DataError: It is missing, too large, damaged, encrypted, or no regular file.
        """
        return b"".join(self._pieces(name, limit))

    def stream(self, name: str, limit: int) -> BufferedReader:
        """Return a file to read in pieces, so that it is never in memory as a whole; see `read`.

        Damage is told by the read that comes upon it, at the latest by the one that finds the end.
        """
        return BufferedReader(_Stream(self._pieces(name, limit)))

    def part(self, names: Iterable[str]) -> Archive:
        """Return the archive with these of its files alone, which is small to send to another process."""
        part = copy(self)
        part.files = {name: self.files[name] for name in names if name in self.files}
        part.folders = []
        return part

    def _pieces(self, name: str, limit: int) -> Generator[bytes]:
        """Unpack a file piece by piece; more than it is said to have is never unpacked."""
        info = self.info(name)
        if reason := refusal(info, limit):
            raise DataError(f"{self.where(name)}: {reason}")
        size = checksum = 0
        try:
            with self.path.open("rb") as file:
                if _identity(file) != self._identity:
                    raise _changed(self.path)
                for piece in _unpack(file, info):
                    size, checksum = size + len(piece), zlib.crc32(piece, checksum)
                    yield piece
        except zlib.error as error:
            raise DataError(f"{self.where(name)}: {_DAMAGED}") from error
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); check {self.path.name}"
            raise DataError(f"{self.where(name)}: {reason}") from error
        if (size, checksum) != (info.file_size, info.CRC):
            raise DataError(f"{self.where(name)}: {_DAMAGED}")


class _Stream(RawIOBase):
    """Pieces as a file."""

    def __init__(self, pieces: Generator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        target = memoryview(buffer)
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(target), len(self._rest))
        target[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

    def close(self) -> None:
        self._pieces.close()
        super().close()


def _unpack(file: BufferedReader, info: ZipInfo) -> Iterator[bytes]:
    """Yield the content of an entry, at most a byte more than is declared; nothing if its header is lost."""
    file.seek(info.header_offset)
    header = file.read(LOCAL_HEADER)
    if len(header) < LOCAL_HEADER or not header.startswith(_LOCAL_SIGNATURE):
        return
    name_size, extra_size = unpack_from("<HH", header, 26)
    file.seek(name_size + extra_size, os.SEEK_CUR)
    unpack = zlib.decompressobj(_RAW_DEFLATE) if info.compress_type == ZIP_DEFLATED else None
    left, room, waiting = info.compress_size, info.file_size + 1, b""
    while room > 0:
        if not waiting:
            waiting = file.read(min(left, _PIECE))
            left -= len(waiting)
        piece = waiting if unpack is None else unpack.decompress(waiting, min(room, _PIECE))
        if not piece and not waiting:
            return
        waiting = b"" if unpack is None else unpack.unconsumed_tail
        room -= len(piece)
        yield piece


def _changed(path: Path) -> DataError:
    return DataError(f"{path}: has changed while it was in use; run again")


def _require_file(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError("is not a regular file; name a zip archive")


def _identity(file: BufferedReader) -> tuple[int, int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
