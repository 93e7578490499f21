"""The two forms of a label table: a column per label (wide), or a row per image and class (long)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.images import IMAGE_SUFFIXES
from ova.data.labels import UNKNOWN, safe_relative
from ova.data.recipe import DatasetRecipe
from ova.data.sheet import Sheet
from ova.errors import DataError, first_few
from ova.recipes import nearest

_CELLS = {"1": 1, "0": 0, "": UNKNOWN}
_REFUSED = -2


class Labelled(NamedTuple):
    """Images with their labels, and the image of each row of the sheet (-1: dropped)."""

    images: Sequence[str]
    labels: Sequence[str]
    values: NDArray[np.int8]
    owners: NDArray[np.intp]


def from_wide(sheet: Sheet, recipe: DatasetRecipe) -> Labelled:
    """Take a row per image, whose cells in a label column are 1, 0 or blank (unknown).

    Raises:
        DataError: A column is missing, a cell is anything else, or an image comes twice.
    """
    names = list(sheet.columns)
    image_column = recipe.image_column or names[0]
    images = _image_paths(sheet, image_column)
    others = {image_column, recipe.group.column if recipe.group else None}
    for name in recipe.drop_classes:
        sheet.column(name)
    chosen = recipe.label_columns or [name for name in names if name not in others]
    labels = [name for name in chosen if name not in recipe.drop_classes]
    values = np.empty((len(images), len(labels)), np.int8)
    for position, label in enumerate(labels):
        cells = sheet.column(label)
        meaning = {cell: _CELLS.get(cell.strip(), _REFUSED) for cell in set(cells)}
        values[:, position] = np.fromiter(map(meaning.__getitem__, cells), np.int8, len(cells))
    _refuse_cells(sheet, labels, values)
    _refuse_repeats(sheet, images, values)
    return Labelled(images, labels, values, np.arange(len(images)))


def from_long(sheet: Sheet, recipe: DatasetRecipe) -> Labelled:
    """Take a row per image and class; an image has 0 in every class that no row gives it.

    Raises:
        DataError: A column is missing, or rows repeat or contradict each other.
    """
    image_column = recipe.image_column or next(iter(sheet.columns))
    classes = [cell.strip() for cell in sheet.column(_class_column(sheet, image_column, recipe))]
    dropped = set(recipe.drop_classes)
    refuse_unknown(sheet.path, dropped, set(classes))
    paths = _image_paths(sheet, image_column)
    kept = np.array([name not in dropped for name in classes], bool)
    images = list(dict.fromkeys(path for path, keep in zip(paths, kept, strict=True) if keep))
    labels = sorted(set(classes) - dropped - {""})
    image_index = {image: position for position, image in enumerate(images)}
    class_index = {name: position for position, name in enumerate(["", *labels], start=-1)}
    owners = np.fromiter(
        (image_index[path] if keep else -1 for path, keep in zip(paths, kept, strict=True)), np.intp
    )
    rows = np.flatnonzero(kept)
    row_images, row_classes = owners[rows], np.array([class_index[classes[row]] for row in rows], np.intp)
    blank = row_classes < 0
    values = np.zeros((len(images), len(labels)), np.int8)
    values[row_images[~blank], row_classes[~blank]] = 1
    _refuse_contradictions(sheet, rows, row_images, row_classes, values)
    values[row_images[blank]] = UNKNOWN
    return Labelled(images, labels, values, owners)


def _refuse_contradictions(
    sheet: Sheet,
    rows: NDArray[np.intp],
    row_images: NDArray[np.intp],
    row_classes: NDArray[np.intp],
    values: NDArray[np.int8],
) -> None:
    """Refuse a pair of image and class that comes twice, and a blank class beside a class.

    Args:
        sheet: The table, for its line numbers.
        rows: (m,) rows of the sheet that are kept.
        row_images: (m,) image of each.
        row_classes: (m,) class of each, -1 where it is blank.
        values: (n, k) 1 where some row gives the image the class.
    """
    pairs = row_images * (values.shape[1] + 1) + row_classes
    repeats = np.setdiff1d(np.arange(len(rows)), np.unique(pairs, return_index=True)[1])
    if len(repeats):
        raise DataError(
            f"{sheet.path}: image and class as before {sheet.rows(rows[repeats].tolist())}; keep one of each"
        )
    classified = np.flatnonzero(values.any(axis=1))
    contradictory = rows[(row_classes < 0) & np.isin(row_images, classified)].tolist()
    if contradictory:
        where = sheet.rows(contradictory)
        raise DataError(
            f"{sheet.path}: no class, but another row gives the image one, {where}; keep one of them"
        )


def _class_column(sheet: Sheet, image_column: str, recipe: DatasetRecipe) -> str:
    if recipe.class_column is not None:
        return recipe.class_column
    group_column = recipe.group.column if recipe.group else None
    others = [name for name in sheet.columns if name not in (image_column, group_column)]
    if len(others) != 1:
        raise DataError(f"{sheet.path}: the class may be any of {first_few(others)}; set class_column")
    return others[0]


def _image_paths(sheet: Sheet, column: str) -> list[str]:
    if column.lower().endswith(IMAGE_SUFFIXES):
        raise DataError(f"{sheet.path}: line 1 begins with the image {column!r}; add a line of column names")
    images = list(sheet.column(column))
    refused: dict[int, str] = {}
    for row, text in enumerate(images):
        try:
            images[row] = safe_relative(text)
        except DataError as error:
            refused[row] = str(error)
    if refused:
        first = next(iter(refused.values()))
        raise DataError(f"{sheet.path}: column {column!r} {sheet.rows(refused)}: {first}")
    return images


def refuse_unknown(source: Path, dropped: set[str], known: set[str]) -> None:
    """Refuse names of `drop_classes` that are no class, with those that are near.

    Raises:
        DataError: There is such a name.
    """
    for name in sorted(dropped - known):
        raise DataError(f"{source}: drop_classes names {name!r}, which is no class{nearest(name, known)}")


def _refuse_cells(sheet: Sheet, labels: Sequence[str], values: NDArray[np.int8]) -> None:
    problems: list[str] = []
    for position in np.flatnonzero((values == _REFUSED).any(axis=0)).tolist():
        rows = np.flatnonzero(values[:, position] == _REFUSED).tolist()
        examples = dict.fromkeys(sheet.columns[labels[position]][row][:40] for row in rows[:10])
        shown = first_few([repr(text) for text in examples], 3)
        problems.append(f"column {labels[position]!r} {sheet.rows(rows)} has {shown}")
    if problems:
        raise DataError(f"{sheet.path}: {first_few(problems)}; a label is 0, 1 or blank (unknown)")


def _refuse_repeats(sheet: Sheet, images: Sequence[str], values: NDArray[np.int8]) -> None:
    first: dict[str, int] = {}
    repeats = [
        (row, known) for row, image in enumerate(images) if (known := first.setdefault(image, row)) != row
    ]
    if not repeats:
        return
    conflicts = sum(not np.array_equal(values[row], values[known]) for row, known in repeats)
    row, known = repeats[0]
    raise DataError(
        f"{sheet.path}: an image of an earlier row again {sheet.rows(row for row, _ in repeats)} "
        f"({images[row]!r} in lines {sheet.lines[known]} and {sheet.lines[row]}), "
        f"{conflicts} of them with conflicting labels; keep one row per image"
    )
