"""A delimited text file as columns of text, with the line on which each row begins.

Every cell is read as text and stays as it is (`NA`, `00123`, `1e5`).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ova.errors import DataError, first_few
from ova.recipes import nearest

MAX_BYTES = 256 * 1024 * 1024
MAX_ROWS = 5_000_000
MAX_COLUMNS = 4_096
MAX_CELL = 65_536

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}


class Sheet(NamedTuple):
    """Cells by column, and the line of the file on which each row begins."""

    path: Path
    columns: dict[str, tuple[str, ...]]
    lines: list[int]

    def column(self, name: str) -> tuple[str, ...]:
        """Take the cells of one column.

        Raises:
            DataError: There is none of that name.
        """
        if name not in self.columns:
            raise DataError(f"{self.path}: has no column {name!r}{nearest(name, self.columns)}")
        return self.columns[name]

    def rows(self, rows: Iterable[int]) -> str:
        """Say in which lines of the file some rows begin, for an error."""
        return _lines([self.lines[row] for row in rows])


def read_sheet(path: Path, delimiter: str, content: bytes | None = None) -> Sheet:
    """Read a delimited UTF-8 text file with a header.

    Args:
        path: The file.
        delimiter: One character, or "auto" to find it in the first line.
        content: What the file holds, if it does not lie at `path` but in an archive.

    Raises:
        DataError: Missing, not UTF-8, ragged, empty, or above one of the caps.
    """
    text = _decode(path, _read_bytes(path) if content is None else content)
    delimiter = _find_delimiter(path, text) if delimiter == "auto" else delimiter
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    line = 1
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(line)
            if len(rows) > MAX_ROWS + 1:
                raise DataError(f"{path}: has more than {MAX_ROWS:,} rows; split the table")
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: line {line}: {error}; check the quotes and the cell sizes there") from error
    if not rows:
        raise DataError(f"{path}: is empty; it needs a line of column names and a row per image")
    header = _check_header(path, [name.strip() for name in rows[0]], delimiter)
    if len(rows) == 1:
        raise DataError(f"{path}: has column names but no rows; it needs a row per image")
    if ragged := [line for row, line in zip(rows, lines, strict=True) if len(row) != len(header)]:
        raise DataError(
            f"{path}: not the {len(header)} cells of the header {_lines(ragged)} "
            f"(delimiter {_named(delimiter)}); complete these rows or set delimiter"
        )
    columns = dict(zip(header, zip(*rows[1:], strict=True), strict=True))
    for name, cells in columns.items():
        _refuse_long_cells(path, name, cells, lines)
    return Sheet(path, columns, lines[1:])


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: is larger than {MAX_BYTES // 2**20} MiB; split the table")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing; correct labels and root in dataset.toml") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a CSV file") from error


def _decode(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: is UTF-16; save it as UTF-8")
    if (position := content.find(b"\0")) >= 0:
        raise DataError(f"{path}: line {_line_at(content, position)} has a NUL byte; save it as UTF-8 text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"line {_line_at(content, error.start)} has the byte 0x{error.object[error.start]:02x}"
        raise DataError(f"{path}: {where}, which is not UTF-8; save it as UTF-8") from error


def _line_at(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1


def _find_delimiter(path: Path, text: str) -> str:
    first_line = re.match(r"[\r\n]*([^\r\n]*)", text)
    header = first_line[1] if first_line else ""
    try:
        columns = {sign: len(next(csv.reader([header], delimiter=sign), [])) for sign in _DELIMITERS}
    except csv.Error as error:
        raise DataError(f"{path}: line 1: {error}; check its quotes") from error
    most = max(columns.values())
    candidates = [sign for sign, count in columns.items() if count == most]
    if most > 1 and len(candidates) == 1:
        return candidates[0]
    if not header:
        raise DataError(f"{path}: is empty; it needs a line of column names and a row per image")
    tried = ", ".join(_DELIMITERS.values())
    found = "no delimiter" if most < 2 else f"as many {' as '.join(map(_named, candidates))}"
    raise DataError(f"{path}: {found} in line 1, {header[:60]!r} (tried {tried}); set delimiter")


def _check_header(path: Path, header: list[str], delimiter: str) -> list[str]:
    if len(header) < 2:
        raise DataError(f"{path}: one column only with the delimiter {_named(delimiter)}; set delimiter")
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{path}: has {len(header):,} columns, the limit is {MAX_COLUMNS:,}; split the table")
    if nameless := [str(position) for position, name in enumerate(header, start=1) if not name]:
        raise DataError(f"{path}: no name for column {first_few(nameless)} in line 1; name or remove it")
    if twice := [repr(name) for name in dict.fromkeys(header) if header.count(name) > 1]:
        raise DataError(f"{path}: two columns have the name {first_few(twice)}; rename one of them")
    return header


def _refuse_long_cells(path: Path, name: str, cells: Sequence[str], lines: Sequence[int]) -> None:
    if len(name) > MAX_CELL or max(map(len, cells)) > MAX_CELL:
        where = _lines(
            [line for cell, line in zip((name, *cells), lines, strict=True) if len(cell) > MAX_CELL]
        )
        raise DataError(f"{path}: a cell of more than {MAX_CELL:,} characters {where}; shorten it")


def _named(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, repr(delimiter))


def _lines(lines: Sequence[int]) -> str:
    shown = first_few([str(line) for line in lines])
    return f"in line {shown}" if len(lines) == 1 else f"in {len(lines)} lines ({shown})"
