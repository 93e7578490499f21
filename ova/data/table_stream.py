"""The bytes of a table as lines of text, checked block by block: size, NUL bytes, UTF-8, endless lines."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ova.errors import DataError

# Ten million rows of 50 to 200 characters are 0.5 to 2 GiB. Texts are kept once, as they are in the file.
MAX_BYTES = 4 * 1024**3
MAX_LINE_BYTES = 64 * 1024**2
_BLOCK = 1024**2


class TableFile(NamedTuple):
    """A table that can be opened, whether it is a file or lies in an archive."""

    name: str
    """What messages call it."""
    open: Callable[[], BinaryIO]

    @classmethod
    def at(cls, path: Path) -> TableFile:
        """Name a file of the file system."""
        return cls(str(path), lambda: path.open("rb"))


@contextmanager
def open_text(table: TableFile) -> Iterator[io.TextIOWrapper]:
    """Open a table as text, whose lines end as they do in the file; a byte order mark is left out.

    Raises:
        DataError: It is missing or cannot be read; on reading, that it is no UTF-8 text or too large.
    """
    try:
        with (
            table.open() as stream,
            io.BufferedReader(_CheckedBytes(table.name, stream), _BLOCK) as checked,
            io.TextIOWrapper(checked, encoding="utf-8-sig", newline="") as text,
        ):
            yield text
    except FileNotFoundError as error:
        raise DataError(f"{table.name}: is missing; correct labels and root in dataset.toml") from error
    except OSError as error:
        raise DataError(
            f"{table.name}: cannot be read ({error.strerror or error}); name a CSV file"
        ) from error


class _CheckedBytes(io.RawIOBase):
    """Passes bytes on and refuses those that are no text, with their line."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self._name, self._stream = name, stream
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._total = self._feeds = self._returns = self._unbroken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._stream.read(min(len(buffer), _BLOCK))
        self._check(block)
        buffer[: len(block)] = block
        return len(block)

    def _check(self, block: bytes) -> None:
        if self._total == 0 and block.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{self._name}: is UTF-16; save it as UTF-8")
        self._total += len(block)
        if self._total > MAX_BYTES:
            raise DataError(f"{self._name}: is larger than {MAX_BYTES // 2**20:,} MiB; split the table")
        if (position := block.find(b"\0")) >= 0:
            line = self._line_at(block, position)
            raise DataError(f"{self._name}: line {line} has a NUL byte; save it as UTF-8 text")
        try:
            self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            where = f"line {self._line_at(error.object, error.start)}"
            byte = f"the byte 0x{error.object[error.start]:02x}"
            raise DataError(
                f"{self._name}: {where} has {byte}, which is not UTF-8; save it as UTF-8"
            ) from error
        self._count_lines(block)

    def _count_lines(self, block: bytes) -> None:
        self._feeds += block.count(b"\n")
        self._returns += block.count(b"\r")
        last = max(block.rfind(b"\n"), block.rfind(b"\r"))
        self._unbroken = self._unbroken + len(block) if last < 0 else len(block) - last - 1
        if self._unbroken > MAX_LINE_BYTES:
            line, limit = self._line_at(b"", 0), MAX_LINE_BYTES // 2**20
            raise DataError(f"{self._name}: line {line} is longer than {limit} MiB; it is no label table")

    def _line_at(self, block: bytes, position: int) -> int:
        """Count lines as they end: with a line feed, or where there is none with a carriage return."""
        feeds = self._feeds + block.count(b"\n", 0, position)
        return (feeds or self._returns + block.count(b"\r", 0, position)) + 1
