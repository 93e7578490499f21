"""A small delimited text file as columns of text, with the line on which each row begins.

Every cell is read as text and stays as it is (`NA`, `00123`, `1e5`). Label tables, which may have millions of
rows, are packed instead: `read_label_sheet`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ova.data.tables.label_sheet import in_lines
from ova.data.tables.reader import TableFile, named, open_rows
from ova.errors import DataError
from ova.recipes import nearest

MAX_SHEET_ROWS = 5_000_000


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
        lines = [self.lines[row] for row in rows]
        return in_lines(lines, len(lines))


def read_sheet(path: Path, delimiter: str, least_columns: int = 2) -> Sheet:
    """Read a delimited UTF-8 text file with a header.

    Args:
        path: The file.
        delimiter: One character, or "auto" to find it in the first line.
        least_columns: One or two: how many columns it must have.

    Raises:
        DataError: Missing, not UTF-8, ragged, empty, or above one of the caps.
    """
    with open_rows(TableFile.at(path), delimiter, least_columns) as table:
        rows = list(islice(table.rows, MAX_SHEET_ROWS + 1))
    if len(rows) > MAX_SHEET_ROWS:
        raise DataError(f"{path}: has more than {MAX_SHEET_ROWS:,} rows; split the table")
    if not rows:
        raise DataError(f"{path}: has column names but no rows; it needs a row per image")
    if ragged := [line for line, row in rows if len(row) != len(table.header)]:
        raise DataError(
            f"{path}: not the {len(table.header)} cells of the header {in_lines(ragged, len(ragged))} "
            f"(delimiter {named(table.delimiter)}); complete these rows or set delimiter"
        )
    cells = zip(*(row for _, row in rows), strict=True)
    return Sheet(path, dict(zip(table.header, cells, strict=True)), [line for line, _ in rows])
