"""A delimited text file, row by row: bytes checked block by block, delimiter and header found."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ova.errors import DataError, first_few

# Ten million rows of 50 to 200 characters are 0.5 to 2 GiB. Texts are kept once, as they are in the file.
MAX_TABLE_BYTES = 4 * 1024**3
MAX_LINE_BYTES = 64 * 1024**2
MAX_CELL = 65_536
_MAX_COLUMNS = 4_096
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}
_BLOCK_BYTES = 1024**2


class TableFile(NamedTuple):
    """A table that can be opened, whether it is a file or lies in an archive."""

    name: str
    """What messages call it."""
    open: Callable[[], BinaryIO]

    @classmethod
    def at(cls, path: Path) -> TableFile:
        """Name a file of the file system."""
        return cls(str(path), lambda: path.open("rb"))


class TableRows(NamedTuple):
    """An open table."""

    name: str
    delimiter: str
    header: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]
    """The line on which each row begins, and its cells as they stand, as many as the header's or not."""


@contextmanager
def open_rows(table: TableFile, delimiter: str, least_columns: int = 2) -> Iterator[TableRows]:
    """Open a delimited UTF-8 text file with a header; blank lines are passed over.

    Args:
        table: The file.
        delimiter: One character, or "auto" to find it in the first line.
        least_columns: One or two: how many columns it must have.

    Raises:
        DataError: It cannot be read, is no UTF-8, is empty, or has a header that names no columns.
    """
    with open_text(table) as text:
        head = list(_until_first_line(text))
        first = "".join(head[-1:])
        sign = _find_delimiter(table.name, first, least_columns) if delimiter == "auto" else delimiter
        rows = _numbered(table.name, chain(head, text), sign)
        _, cells = next(rows, (1, []))
        if not cells:
            raise DataError(f"{table.name}: is empty; it needs a line of column names and a row per image")
        yield TableRows(table.name, sign, _check_header(table.name, cells, sign, least_columns), rows)


def _until_first_line(text: Iterable[str]) -> Iterator[str]:
    """Read to the first line that is not blank, and no further."""
    for line in text:
        yield line
        if line.strip("\r\n"):
            return


def _numbered(name: str, text: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Part lines into cells and give the line on which each row begins."""
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    try:
        for row in reader:
            if row:
                yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{name}: line {line}: {error}; check the quotes and the cell sizes there") from error


def _find_delimiter(name: str, line: str, least: int) -> str:
    """Find the delimiter that parts the first line of a table into most cells.

    Args:
        name: The table, for messages.
        line: Its first line.
        least: Columns that it must have. Where one is enough, nothing but a tab parts the cells of a table
            of one column: its cells may be URLs, which hold commas.

    Raises:
        DataError: None does, or two do equally well.
    """
    header = line.strip("\r\n")
    if not header:
        raise DataError(f"{name}: is empty; it needs a line of column names and a row per image")
    try:
        columns = {sign: len(next(csv.reader([header], delimiter=sign), [])) for sign in _DELIMITERS}
    except csv.Error as error:
        raise DataError(f"{name}: line 1: {error}; check its quotes") from error
    most = max(columns.values())
    candidates = [sign for sign, count in columns.items() if count == most]
    if most > 1 and len(candidates) == 1:
        return candidates[0]
    if most == least == 1:
        return "\t"
    tried = ", ".join(_DELIMITERS.values())
    found = "no delimiter" if most < 2 else f"as many {' as '.join(map(named, candidates))}"
    raise DataError(f"{name}: {found} in line 1, {header[:60]!r} (tried {tried}); set delimiter")


def _check_header(name: str, cells: Sequence[str], delimiter: str, least: int) -> tuple[str, ...]:
    """Return the column names, white space around them dropped.

    Raises:
        DataError: Fewer columns than `least` (one or two), too many, one without a name, or two of one name.
    """
    header = tuple(cell.strip() for cell in cells)
    if len(header) < least:
        raise DataError(f"{name}: one column only with the delimiter {named(delimiter)}; set delimiter")
    if len(header) > _MAX_COLUMNS:
        raise DataError(
            f"{name}: has {len(header):,} columns, the limit is {_MAX_COLUMNS:,}; split the table"
        )
    if max(map(len, header)) > MAX_CELL:
        raise DataError(f"{name}: a cell of more than {MAX_CELL:,} characters in line 1; shorten it")
    if nameless := [str(position) for position, cell in enumerate(header, start=1) if not cell]:
        raise DataError(f"{name}: no name for column {first_few(nameless)} in line 1; name or remove it")
    if twice := [repr(cell) for cell in dict.fromkeys(header) if header.count(cell) > 1]:
        raise DataError(f"{name}: two columns have the name {first_few(twice)}; rename one of them")
    return header


def named(delimiter: str) -> str:
    """Call a delimiter by its name."""
    return _DELIMITERS.get(delimiter, repr(delimiter))


@contextmanager
def open_text(table: TableFile) -> Iterator[io.TextIOWrapper]:
    """Open a table as text, whose lines end as they do in the file; a byte order mark is left out.

    Raises:
        DataError: It is missing or cannot be read; on reading, that it is no UTF-8 text or too large.
    """
    try:
        with (
            table.open() as stream,
            io.BufferedReader(_CheckedBytes(table.name, stream), _BLOCK_BYTES) as checked,
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
        block = self._stream.read(min(len(buffer), _BLOCK_BYTES))
        self._check(block)
        buffer[: len(block)] = block
        return len(block)

    def _check(self, block: bytes) -> None:
        if self._total == 0 and block.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{self._name}: is UTF-16; save it as UTF-8")
        self._total += len(block)
        if self._total > MAX_TABLE_BYTES:
            raise DataError(f"{self._name}: is larger than {MAX_TABLE_BYTES // 2**20:,} MiB; split the table")
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
