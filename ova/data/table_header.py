"""The first line of a table: which character parts its cells, and the names of its columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from ova.errors import DataError, first_few

MAX_COLUMNS = 4_096
MAX_CELL = 65_536
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}


def find_delimiter(name: str, line: str, least: int = 2) -> str:
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


def check_header(name: str, cells: Sequence[str], delimiter: str, least: int = 2) -> tuple[str, ...]:
    """Return the column names, white space around them dropped.

    Raises:
        DataError: Fewer columns than `least` (one or two), too many, one without a name, or two of one name.
    """
    header = tuple(cell.strip() for cell in cells)
    if len(header) < least:
        raise DataError(f"{name}: one column only with the delimiter {named(delimiter)}; set delimiter")
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{name}: has {len(header):,} columns, the limit is {MAX_COLUMNS:,}; split the table")
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
