"""A table with a row per image and class, in one set of classes or several (coarse and fine)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.labelled import Labelled, first_rows, refuse_unknown
from ova.data.labels.table import UNKNOWN, LeftOut
from ova.data.problems import Ledger, Problem
from ova.data.recipe import DatasetRecipe
from ova.data.tables.columns import Coded
from ova.data.tables.label_sheet import LabelSheet
from ova.data.tables.texts import distinct, in_order_met, repeats
from ova.errors import DataError, first_few

MAX_CLASSES = 4_096
_BLANK, _DROPPED, _REFUSED = -1, -2, -3


class _ClassSet(NamedTuple):
    """The labels of one class column, and for each row the position of its class, or why it has none."""

    labels: list[str]
    classes: NDArray[np.int16]


def from_long(
    sheet: LabelSheet, recipe: DatasetRecipe, names: Mapping[str, Mapping[str, str]], ledger: Ledger
) -> Labelled:
    """Take a row per image and class; an image has 0 in every class of a set that no row gives it.

    An image whose class is blank in all of its rows is unknown in every class of that set, and of no other.

    Args:
        sheet: The rows; the class columns are its coded ones.
        recipe: Which classes to drop.
        names: Class column -> code -> name, for the columns that hold codes; "" stands for any column.
        ledger: Told of unknown codes, rows that repeat an earlier one, and blank classes beside a class.

    Raises:
        DataError: drop_classes names no class, or a column has too many to be one of classes.
    """
    dropped = set(recipe.drop_classes)
    prefixes = {column: f"{column}/" if len(sheet.coded) > 1 else "" for column in sheet.coded}
    known = {column: _class_names(sheet, column, names.get(column, names.get(""))) for column in sheet.coded}
    refuse_unknown(
        sheet.name, dropped, {prefixes[column] + name for column in known for name in known[column] if name}
    )
    sets = [
        _class_set(coded, known[column], prefixes[column], dropped) for column, coded in sheet.coded.items()
    ]
    for column, one in zip(sheet.coded, sets, strict=True):
        _report_codes(sheet, column, one.classes, ledger)
    owners, count, left_out = _owners(sheet, sets, dropped)
    _report_repeats(sheet, owners, sets, ledger)
    labels = [label for one in sets for label in one.labels]
    values = np.zeros((count, len(labels)), np.int8)
    start = 0
    for one in sets:
        _fill(sheet, values[:, start : start + len(one.labels)], owners, one.classes, ledger)
        start += len(one.labels)
    if count == len(sheet):
        return Labelled(sheet.images, labels, values, owners, left_out)
    first = first_rows(owners, count)
    return Labelled(sheet.images.take(first), labels, values, owners, left_out)


def _class_names(sheet: LabelSheet, column: str, names: Mapping[str, str] | None) -> list[str | None]:
    """Return what every text of a column means: a class, "" for blank, None for a code without a name."""
    words = [word.strip() for word in sheet.coded[column].words]
    if len(set(words)) > MAX_CLASSES:
        what = (
            f"{sheet.name}: column {column!r} has {len(set(words)):,} classes, the limit is {MAX_CLASSES:,}"
        )
        raise DataError(f"{what}; name the column of the classes in class_column")
    if names is None:
        return list(words)
    return [names.get(word) if word else "" for word in words]


def _owners(
    sheet: LabelSheet, sets: list[_ClassSet], dropped: set[str]
) -> tuple[NDArray[np.intp], int, tuple[LeftOut, ...]]:
    """Number the images of every table, passing over rows whose classes are all dropped.

    Returns:
        (rows,) the image of each row, or -1; the number of images; what was left out.
    """
    owners = _images_by_table(sheet)
    gone = np.all([one.classes == _DROPPED for one in sets], axis=0)
    if not gone.any():
        return owners, int(owners.max(initial=-1)) + 1, ()
    used = np.zeros(int(owners.max()) + 1, bool)
    used[owners[~gone]] = True
    owners = np.where(gone, -1, (np.cumsum(used) - 1)[owners])
    what = f"of dropped classes ({first_few(sorted(dropped), 3)})"
    left_out = [LeftOut(what, int(gone.sum()), len(sheet), "rows")]
    if not used.all():
        left_out.append(LeftOut("of dropped classes only", int(np.sum(~used)), len(used)))
    return owners, int(used.sum()), tuple(left_out)


def _images_by_table(sheet: LabelSheet) -> NDArray[np.intp]:
    """Number the images in the order of their first rows; the same image of two tables has two numbers."""
    owners = distinct(sheet.images).owners
    if len(sheet.tables) == 1:
        return owners
    tables = np.searchsorted(sheet.starts, np.arange(len(sheet)), side="right")
    keys = owners * (len(sheet.tables) + 1) + tables
    return in_order_met(keys)


def _class_set(coded: Coded, names: list[str | None], prefix: str, dropped: set[str]) -> _ClassSet:
    labels = sorted({prefix + name for name in names if name} - dropped)
    number = {label: position for position, label in enumerate(labels)}

    def class_of(name: str | None) -> int:
        if name is None:
            return _REFUSED
        return number.get(prefix + name, _DROPPED) if name else _BLANK

    return _ClassSet(labels, np.array([class_of(name) for name in names], np.int16)[coded.codes])


def _report_codes(sheet: LabelSheet, column: str, classes: NDArray[np.int16], ledger: Ledger) -> None:
    rows = np.flatnonzero(classes == _REFUSED).tolist()
    if rows:
        words, codes = sheet.coded[column]
        shown = first_few([repr(word[:40]) for word in dict.fromkeys(words[codes[row]] for row in rows)], 3)
        ledger.add(
            f"column {column!r} {sheet.rows(rows)} has codes that label_names does not name: {shown}",
            (
                Problem(
                    sheet.images[row], f"no name for the code {words[codes[row]][:40]!r}", sheet.where(row)
                )
                for row in rows
            ),
        )


def _report_repeats(
    sheet: LabelSheet, owners: NDArray[np.intp], sets: list[_ClassSet], ledger: Ledger
) -> None:
    """Report rows that give an image of the same table the same class in every set once more."""
    keys = owners
    for position, one in enumerate(sets):
        if position:
            keys = np.unique(keys, return_inverse=True)[1]
        keys = keys * (len(one.labels) + 3) + (one.classes + 3)
    rows = repeats(keys)
    rows = rows[np.any([one.classes[rows] >= _BLANK for one in sets], axis=0)].tolist()
    if rows:
        ledger.add(
            f"image and class as before {sheet.rows(rows)}; keep one of each",
            (
                Problem(sheet.images[row], "image and class of an earlier row", sheet.where(row))
                for row in rows
            ),
        )


def _fill(
    sheet: LabelSheet,
    block: NDArray[np.int8],
    owners: NDArray[np.intp],
    classes: NDArray[np.int16],
    ledger: Ledger,
) -> None:
    """Write the values of one set, and report blank classes of images that have a class.

    Args:
        sheet: The rows.
        block: (m, classes of the set) zeros, filled in place.
        owners: (rows,) image of each row.
        classes: (rows,) class of each row, or a negative number.
        ledger: Told of contradictions.
    """
    given = classes >= 0
    block[owners[given], classes[given]] = 1
    classified = np.zeros(len(block), bool)
    classified[owners[given]] = True
    rows = np.flatnonzero((classes == _BLANK) & classified[owners]).tolist()
    if rows:
        what = "no class, but another row gives the image one"
        ledger.add(
            f"{what}, {sheet.rows(rows)}; keep one of them",
            (Problem(sheet.images[row], what, sheet.where(row)) for row in rows),
        )
    block[~classified] = UNKNOWN
