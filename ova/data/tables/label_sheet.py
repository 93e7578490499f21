"""The rows of one or several label tables, as columns of text, with the line on which each row begins.

Every cell is read as text and stays as it is (`NA`, `00123`, `1e5`). Rows stream through in blocks, and
columns are packed as they come: ten million rows take a few tens of bytes each beyond their text.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ova.data.paths import safe_relative
from ova.data.problems import Ledger, Problem
from ova.data.tables.columns import Coded, CodedColumn, Columns, TextColumn
from ova.data.tables.reader import MAX_CELL, TableFile, TableRows, named, open_rows
from ova.data.tables.texts import Texts
from ova.errors import DataError, first_few

# 64 bytes per row beyond the text are 1.6 GB for a table of this size.
MAX_LABEL_ROWS = 25_000_000
_BLOCK_ROWS = 8_192
_BLOCK_CHARACTERS = 8 * 1024**2

Choose = Callable[[str, Sequence[str], Columns | None], Columns]
"""(name, header, columns of the first table) of a table -> the columns to read."""


@dataclass(frozen=True, eq=False)
class LabelSheet:
    """n rows, those of several tables one after the other.

    Attributes:
        tables: Names of the tables.
        starts: The row with which each table begins.
        lines: n numbers: the line of its file on which each row begins.
        columns: Which columns were read.
        images: n plain image paths.
        refused: Rows whose image path is refused; it stays as it stands in the table.
        groups: n groups, if there is a column of them.
        coded: The other columns.
    """

    tables: tuple[str, ...]
    starts: tuple[int, ...]
    lines: Sequence[int]
    columns: Columns
    images: Texts
    refused: frozenset[int]
    groups: Texts | None
    coded: Mapping[str, Coded]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def name(self) -> str:
        """Name the tables in a message."""
        first, more = self.tables[0], len(self.tables) - 1
        return f"{first} and {more} more {'table' if more == 1 else 'tables'}" if more else first

    def table_of(self, row: int) -> int:
        """Return the position of a row's table."""
        return bisect_right(self.starts, row) - 1

    def where(self, row: int) -> str:
        """Name table and line of a row: `labels.csv:7`."""
        return f"{self.tables[self.table_of(row)]}:{self.lines[row]}"

    def rows(self, rows: Iterable[int]) -> str:
        """Say in which lines some rows begin, for an error."""
        chosen = list(rows)
        if len(self.tables) > 1:
            return in_lines([self.where(row) for row in chosen[:10]], len(chosen))
        return in_lines([self.lines[row] for row in chosen[:10]], len(chosen))


def in_lines(first: Sequence[object], count: int) -> str:
    """Say in which lines something is.

    Args:
        first: The first ten of them, or all.
        count: How many there are.
    """
    shown = ", ".join(map(str, first[:10])) + (f" and {count - 10:,} more" if count > 10 else "")
    return f"in line {shown}" if count == 1 else f"in {count:,} lines ({shown})"


def read_label_sheet(
    tables: Sequence[TableFile], delimiter: str, choose: Choose, ledger: Ledger
) -> LabelSheet:
    """Read delimited UTF-8 text files with a header each, one after the other, as one sheet.

    Args:
        tables: The files; they have the same columns, in any order.
        delimiter: One character, or "auto" to find it in the first line of each.
        choose: Names the columns to read.
        ledger: Told of rows with too few or too many cells, which are left out, and of refused image paths.

    Raises:
        DataError: Missing, not UTF-8, empty, above one of the caps, or with other columns than the first.
    """
    collector = _Collector(choose, ledger)
    for table in tables:
        with open_rows(table, delimiter) as opened:
            collector.read(opened)
    return collector.done()


class _Ragged(NamedTuple):
    line: int
    cells: int
    first_cell: str


class _Collector:
    """Collects the rows of table after table in the same columns."""

    def __init__(self, choose: Choose, ledger: Ledger) -> None:
        self._choose, self._ledger = choose, ledger
        self._tables: list[str] = []
        self._starts: list[int] = []
        self._lines = array("I")
        self._columns: Columns | None = None
        self._images, self._groups = TextColumn(safe_relative), TextColumn()
        self._coded: dict[str, CodedColumn] = {}

    def read(self, table: TableRows) -> None:
        name, header = table.name, table.header
        self._begin(name, header)
        ragged = self._take(table)
        if ragged:
            where = in_lines([line for line, _, _ in ragged], len(ragged))
            what = f"not the {len(header)} cells of the header {where} (delimiter {named(table.delimiter)})"
            self._ledger.add(
                f"{what}; complete these rows or set delimiter",
                (
                    Problem(first, f"{found} cells, the header has {len(header)}", f"{name}:{line}")
                    for line, found, first in ragged
                ),
            )
        elif len(self._lines) == self._starts[-1]:
            raise DataError(f"{name}: has column names but no rows; it needs a row per image")

    def done(self) -> LabelSheet:
        assert self._columns is not None  # noqa: S101
        refused = self._images.refused
        sheet = LabelSheet(
            tuple(self._tables),
            tuple(self._starts),
            self._lines,
            self._columns,
            self._images.done(),
            frozenset(refused),
            self._groups.done() if self._columns.group is not None else None,
            {name: column.done() for name, column in self._coded.items()},
        )
        if refused:
            reason = next(iter(refused.values()))
            self._ledger.add(
                f"column {self._columns.image!r} {sheet.rows(refused)}: {reason}",
                (Problem(sheet.images[row], reason, sheet.where(row)) for row, reason in refused.items()),
            )
        return sheet

    def _begin(self, name: str, header: tuple[str, ...]) -> None:
        columns = self._choose(name, header, self._columns)
        if self._columns is None:
            self._columns = columns
            self._coded = {column: CodedColumn() for column in columns.coded}
        elif difference := _difference(self._columns, columns, self._tables[0]):
            raise DataError(f"{name}: {difference}")
        self._tables.append(name)
        self._starts.append(len(self._lines))

    def _take(self, table: TableRows) -> list[_Ragged]:
        name, header = table.name, table.header
        ragged: list[_Ragged] = []
        block: list[list[str]] = []
        characters = 0
        for line, row in table.rows:
            if len(row) != len(header):
                ragged.append(_Ragged(line, len(row), row[0]))
                continue
            block.append(row)
            self._lines.append(line)
            characters += sum(map(len, row))
            if len(block) == _BLOCK_ROWS or characters > _BLOCK_CHARACTERS:
                self._add(name, header, block)
                block, characters = [], 0
            if len(self._lines) > MAX_LABEL_ROWS:
                raise DataError(f"{name}: has more than {MAX_LABEL_ROWS:,} rows; split the table")
        self._add(name, header, block)
        return ragged

    def _add(self, name: str, header: Sequence[str], block: list[list[str]]) -> None:
        if not block:
            return
        assert self._columns is not None  # noqa: S101
        columns = dict(zip(header, zip(*block, strict=True), strict=True))
        for cells in columns.values():
            if max(map(len, cells)) > MAX_CELL:
                lines = zip(cells, self._lines[-len(cells) :], strict=True)
                long = [line for cell, line in lines if len(cell) > MAX_CELL]
                where = in_lines(long, len(long))
                raise DataError(f"{name}: a cell of more than {MAX_CELL:,} characters {where}; shorten it")
        self._images.extend(columns[self._columns.image])
        if self._columns.group is not None:
            self._groups.extend(columns[self._columns.group])
        for column, collected in self._coded.items():
            collected.extend(columns[column])


def _difference(first: Columns, columns: Columns, first_name: str) -> str:
    gone, new = set(first.coded) - set(columns.coded), set(columns.coded) - set(first.coded)
    found = [f"lacks {first_few(sorted(map(repr, gone)))}"] if gone else []
    found += [f"adds {first_few(sorted(map(repr, new)))}"] if new else []
    if not found:
        return ""
    return (
        f"{' and '.join(found)} against {first_name}; give all tables the same columns, or set label_columns"
    )
