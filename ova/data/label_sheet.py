"""The rows of one or several tables, as columns of text, with the line on which each row begins."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ova.data.columns import Coded, Columns
from ova.data.texts import Texts


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
