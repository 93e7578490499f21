"""Which images belong together, by a column of the table or by a pattern in their paths."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ova.data.problems import Ledger, Problem
from ova.data.tables.label_sheet import LabelSheet
from ova.data.tables.texts import Texts
from ova.errors import DataError, first_few


def groups_by_pattern(source: str, pattern: str, images: Texts) -> Texts:
    """Take the group of every image from its path: the groups of the pattern in a row, or the whole match.

    Raises:
        DataError: The pattern finds nothing in some images.
    """
    expression = re.compile(pattern)
    missing: list[str] = []

    def found() -> Iterator[str]:
        for image in images:
            group = group_of(expression, image)
            if not group:
                missing.append(image)
            yield group

    groups = Texts.of(found())
    if missing:
        what = f"group.pattern finds nothing in {len(missing):,} images: {first_few(missing)}"
        raise DataError(f"{source}: {what}; widen the pattern")
    return groups


def group_of(expression: re.Pattern[str], image: str) -> str:
    """Return the group of one image, "" where the pattern finds none."""
    match = expression.search(image)
    if match is None:
        return ""
    return "".join(part or "" for part in match.groups()) if expression.groups else match[0]


def groups_by_column(
    sheet: LabelSheet, cells: Texts, owners: NDArray[np.intp], first: NDArray[np.intp], ledger: Ledger
) -> Texts:
    """Take the group of every image from the cells of its rows.

    Args:
        sheet: The rows.
        cells: (rows,) the cells of the group column.
        owners: (rows,) the image of each row, -1 for rows that were left out.
        first: (n,) the first row of each image.
        ledger: Told of rows without a group, and of rows that give an image a second group.
    """
    blank = [row for row, cell in enumerate(cells) if not cell.strip() and owners[row] >= 0]
    column = f"column {sheet.columns.group!r}"
    if blank:
        what = f"{column} is blank"
        ledger.add(f"{what} {sheet.rows(blank)}; name every group", _problems(sheet, blank, what))
    parted = [
        row
        for row in np.setdiff1d(np.flatnonzero(owners >= 0), first, assume_unique=True).tolist()
        if cells[row] != cells[first[owners[row]]]
    ]
    if parted:
        ledger.add(
            f"an image in a second group {sheet.rows(parted)}; keep one group per image",
            _problems(sheet, parted, f"{column} gives the image a second group"),
        )
    return cells if len(first) == len(sheet) else cells.take(first)


def _problems(sheet: LabelSheet, rows: Sequence[int], what: str) -> Iterator[Problem]:
    return (Problem(sheet.images[row], what, sheet.where(row)) for row in rows)
