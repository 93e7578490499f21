"""A delimited text file, row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

from ova.data.table_header import check_header, find_delimiter
from ova.data.table_stream import TableFile, open_text
from ova.errors import DataError


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
        sign = find_delimiter(table.name, first, least_columns) if delimiter == "auto" else delimiter
        rows = _numbered(table.name, chain(head, text), sign)
        _, cells = next(rows, (1, []))
        if not cells:
            raise DataError(f"{table.name}: is empty; it needs a line of column names and a row per image")
        yield TableRows(table.name, sign, check_header(table.name, cells, sign, least_columns), rows)


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
