"""Files in a zip archive, read where they lie: nothing is ever unpacked to disk."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from io import BufferedReader
from pathlib import Path
from struct import error as struct_error
from struct import unpack_from
from zipfile import ZIP_DEFLATED, ZipInfo

from ova.data.archive_guards import LOCAL_HEADER, DirectoryReader, is_folder, named_entries, refusal
from ova.errors import DataError

_LOCAL_SIGNATURE = b"PK\x03\x04"
_RAW_DEFLATE = -15
_DAMAGED = "is damaged in the archive (its size or checksum is wrong); take another copy"
# What zipfile raises for a directory that is not one.
_NO_DIRECTORY = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError, struct_error)


class Archive:
    """A zip whose directory was read and found sound.

    Every file is read through an opening of its own, so that threads and processes share nothing. It takes no
    more memory than the directory says that the file has.

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
                named = list(named_entries(content.filelist, content.start_dir))
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
        self.files = {name: info for name, info in named if not is_folder(info)}
        self.folders = [name for name, info in named if is_folder(info)]

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
        info = self.info(name)
        reason = refusal(info, limit)
        try:
            content = None if reason else self._read(info)
        except OSError as error:
            reason = f"cannot be read ({error.strerror}); check {self.path.name}"
            content = None
        if content is None:
            raise DataError(f"{self.where(name)}: {reason or _DAMAGED}")
        return content

    def _read(self, info: ZipInfo) -> bytes | None:
        """Return the content of an entry; None where it is not what the directory says."""
        with self.path.open("rb") as file:
            if _identity(file) != self._identity:
                raise DataError(f"{self.path}: has changed while it was in use; run again")
            file.seek(info.header_offset)
            header = file.read(LOCAL_HEADER)
            if len(header) < LOCAL_HEADER or not header.startswith(_LOCAL_SIGNATURE):
                return None
            name_size, extra_size = unpack_from("<HH", header, 26)
            file.seek(name_size + extra_size, os.SEEK_CUR)
            packed = file.read(info.compress_size)
        content = _unpack(packed, info.file_size) if info.compress_type == ZIP_DEFLATED else packed
        sound = content is not None and len(content) == info.file_size and zlib.crc32(content) == info.CRC
        return content if sound else None


def _require_file(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise DataError("is not a regular file; name a zip archive")


def _unpack(packed: bytes, size: int) -> bytes | None:
    """Unpack at most one byte more than the size that was declared."""
    try:
        return zlib.decompressobj(_RAW_DEFLATE).decompress(packed, size + 1)
    except zlib.error:
        return None


def _identity(file: BufferedReader) -> tuple[int, int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
