"""Names for the codes of a label table: `crack` for `1`."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from ova.data.tables.reader import TableFile, open_rows, open_text
from ova.errors import DataError, first_few

MAX_NAMES = 65_536
_ONE_PER_LINE = (".txt", ".names")


def read_label_names(table: TableFile) -> dict[str, str]:
    """Read code -> name from a file.

    A file whose name ends with `.txt` or `.names` has a name per line, for the codes 0, 1, 2 and so on. Any
    other is a delimited table of two columns, code and name, with a line of column names. White space around
    codes and names is dropped.

    Raises:
        DataError: It cannot be read, has other columns, or a code or a name is blank or comes twice.
    """
    pairs = _lines(table) if table.name.lower().endswith(_ONE_PER_LINE) else _rows(table)
    if len(pairs) > MAX_NAMES:
        raise DataError(f"{table.name}: has more than {MAX_NAMES:,} names; it is no file of label names")
    if not pairs:
        raise DataError(f"{table.name}: has no names; give every code its name")
    for what, column in (("code", [code for code, _ in pairs]), ("name", [name for _, name in pairs])):
        if "" in column:
            raise DataError(f"{table.name}: {what} {column.index('') + 1} is blank; give every code its name")
        if twice := [repr(text) for text, count in Counter(column).items() if count > 1]:
            raise DataError(f"{table.name}: a {what} twice: {first_few(twice)}; keep one of each")
    return dict(pairs)


def _lines(table: TableFile) -> list[tuple[str, str]]:
    with open_text(table) as text:
        names = [line.strip() for line in islice(text, MAX_NAMES + 1)]
    while names and not names[-1]:
        names.pop()
    return [(str(code), name) for code, name in enumerate(names)]


def _rows(table: TableFile) -> list[tuple[str, str]]:
    with open_rows(table, "auto") as opened:
        if len(opened.header) != 2:
            what = f"has {len(opened.header)} columns; a table of label names has two, code and name"
            raise DataError(f"{table.name}: {what}")
        rows = list(islice(opened.rows, MAX_NAMES + 1))
    if ragged := [str(line) for line, cells in rows if len(cells) != 2]:
        raise DataError(
            f"{table.name}: not two cells in line {first_few(ragged)}; quote names with a delimiter"
        )
    return [(code.strip(), name.strip()) for _, (code, name) in rows]
