"""The list of images to leave out, `data/exclude.csv`: written by `ova data clean`, and for a person to edit.

    image,reason,measure
    images/cell0007.png,blurred,3.1
    images/cell0012.png,wrong camera,

A person may add lines with reasons of their own, in any spreadsheet (comma, semicolon or tab), and more
columns; a line that is deleted brings its image back. The command only ever appends.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.table import LabelTable
from ova.data.paths import safe_relative
from ova.data.tables.texts import Texts
from ova.errors import DataError
from ova.storage import write_bytes

EXCLUSION_COLUMNS = ("image", "reason", "measure")
EXCLUDED = "listed in data/exclude.csv"
MAX_LIST_BYTES = 256 * 2**20
_DELIMITERS = (",", ";", "\t")


class Exclusion(NamedTuple):
    """One line of the list."""

    image: str
    reason: str
    measure: str = ""


def read_exclusions(path: Path) -> dict[str, Exclusion]:
    """Read the list, by image; there is none to read where the file is missing.

    Raises:
        DataError: It cannot be read, with the line where that is so.
    """
    try:
        text = _read_text(path)
    except FileNotFoundError:
        return {}
    delimiter, header = _find_header(path, text)
    found: dict[str, Exclusion] = {}
    for line, cells in _rows(path, text, delimiter)[1:]:
        if len(cells) > len(header):
            raise _damaged(
                path, line, f"has {len(cells)} cells, the first line {len(header)}; put its text in quotes"
            )
        row = dict.fromkeys(EXCLUSION_COLUMNS, "") | dict(zip(header, cells, strict=False))
        try:
            image = safe_relative(row["image"])
        except DataError as error:
            raise _damaged(path, line, str(error)) from error
        found.setdefault(image, Exclusion(image, row["reason"].strip(), row["measure"].strip()))
    return found


def add_exclusions(path: Path, added: Sequence[Exclusion]) -> None:
    """Append lines; what is there stays as it is, byte for byte, with its delimiter and its columns.

    Raises:
        DataError: The list cannot be read.
        EnvironmentFault: It cannot be written.
    """
    read_exclusions(path)  # never add to a list that is damaged
    content, delimiter, header = b"", ",", list(EXCLUSION_COLUMNS)
    if path.exists():
        content = path.read_bytes()
        delimiter, header = _find_header(path, _read_text(path))
    if not content:
        content = _render([EXCLUSION_COLUMNS], delimiter)
    if not content.endswith((b"\n", b"\r")):
        content += b"\n"
    rows = ([line._asdict().get(name, "") for name in header] for line in added)
    write_bytes(path, content + _render(rows, delimiter))


def excluded_rows(images: Sequence[str], exclusions: Mapping[str, Exclusion]) -> NDArray[np.intp]:
    """Return the rows of images that are in the list, ascending."""
    if not exclusions:
        return np.zeros(0, np.intp)
    return np.array([row for row, image in enumerate(images) if image in exclusions], np.intp)


def note_exclusions(
    table: LabelTable, rows: NDArray[np.intp], exclusions: Mapping[str, Exclusion]
) -> LabelTable:
    """Note in a whole table what its list of exclusions takes, and the names in it that the table lacks."""
    if not exclusions:
        return table
    found = set(Texts.of(table.images).take(rows))
    positives = tuple(int(count) for count in (table.values[rows] == 1).sum(axis=0))
    strangers = tuple(image for image in exclusions if image not in found)
    return replace(table, excluded_positives=positives, strangers=strangers)


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise DataError(f"{path}: is larger than {MAX_LIST_BYTES // 2**20} MiB; it is no list of images")
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); correct or remove it") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _damaged(path, line, "is not UTF-8; save the list as UTF-8") from error


def _find_header(path: Path, text: str) -> tuple[str, list[str]]:
    """Find delimiter and column names in the first line; an empty list has `EXCLUSION_COLUMNS`."""
    if not text.strip():
        return ",", list(EXCLUSION_COLUMNS)
    for delimiter in _DELIMITERS:
        line, cells = _rows(path, text, delimiter, limit=1)[0]
        names = [cell.strip().lower() for cell in cells]
        if {"image", "reason"} <= set(names):
            if len(set(names)) < len(names):
                raise _damaged(path, line, "names a column twice; rename or remove one")
            return delimiter, names
    raise _damaged(path, 1, f"must name the columns image and reason, as in: {','.join(EXCLUSION_COLUMNS)}")


def _rows(path: Path, text: str, delimiter: str, limit: int | None = None) -> list[tuple[int, list[str]]]:
    """Read rows that are not blank, with the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((line, cells))
            line = reader.line_num + 1
            if len(rows) == limit:
                break
    except csv.Error as error:
        raise _damaged(path, line, f"{error}; check the quotes there") from error
    return rows


def _render(rows: Iterable[Sequence[object]], delimiter: str) -> bytes:
    rendered = []
    for row in rows:
        line = io.StringIO()  # ended by both signs, so that either is quoted within a cell
        csv.writer(line, delimiter=delimiter, lineterminator="\r\n").writerow(row)
        rendered.append(line.getvalue().removesuffix("\r\n").encode() + b"\n")
    return b"".join(rendered)


def _damaged(path: Path, line: int, problem: str) -> DataError:
    return DataError(f"{path}: line {line}: {problem}")
