"""What every form of labels is read as, and how it comes to one entry per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.table import LeftOut
from ova.data.problems import Ledger, Problem
from ova.data.tables.label_sheet import LabelSheet
from ova.data.tables.texts import Texts, distinct, repeats
from ova.errors import DataError
from ova.recipes import nearest


@dataclass(frozen=True, eq=False)
class Labelled:
    """m images with their labels.

    Attributes:
        images: m image paths; the same path once per table until tables are pooled.
        labels: k label names.
        values: (m, k), int8: 1, 0 or `UNKNOWN`.
        owners: (rows,) the image of each row of the sheet, -1 for rows that were left out.
        left_out: What was left out on the way.
    """

    images: Sequence[str]
    labels: Sequence[str]
    values: NDArray[np.int8]
    owners: NDArray[np.intp]
    left_out: tuple[LeftOut, ...] = ()


def pool(labelled: Labelled, sheet: LabelSheet, ledger: Ledger) -> Labelled:
    """Keep the first entry of every image.

    Args:
        labelled: Entries; the rows of each are of one table.
        sheet: Where they come from.
        ledger: Told of an image that comes again in its own table, or in another with other labels.

    Returns:
        The images, each once; those that another table repeats with the same labels are reported as left out.
    """
    images = Texts.of(labelled.images)
    first, image_of = distinct(images)
    if len(first) == len(images):
        return labelled
    again = np.setdiff1d(np.arange(len(images)), first, assume_unique=True)
    earlier = first[image_of[again]]
    equal = (labelled.values[again] == labelled.values[earlier]).all(axis=1)
    row_of = first_rows(labelled.owners, len(images))
    starts = np.array(sheet.starts)
    table_of = np.searchsorted(starts, row_of, side="right")
    # Two tables may each repeat an image of a third: what counts is an earlier entry of the same table.
    pairs = image_of[again] * (len(starts) + 1) + table_of[again]
    known = image_of[first] * (len(starts) + 1) + table_of[first]
    same_table = np.isin(pairs, known)
    same_table[repeats(pairs)] = True
    _report_repeats(sheet, row_of[again], row_of[earlier], equal, same_table, ledger)
    shared = int(np.sum(equal & ~same_table))
    left_out = (LeftOut("images of an earlier table, with the same labels", shared, len(images), "entries"),)
    return replace(
        labelled,
        images=images.take(first),
        values=labelled.values[first],
        owners=np.where(labelled.owners >= 0, image_of[labelled.owners], -1),
        left_out=labelled.left_out + (left_out if shared else ()),
    )


def _report_repeats(
    sheet: LabelSheet,
    rows: NDArray[np.intp],
    earlier: NDArray[np.intp],
    equal: NDArray[np.bool_],
    same_table: NDArray[np.bool_],
    ledger: Ledger,
) -> None:
    """Report entries of an image that came before, unless it was another table that agrees on the labels.

    Args:
        sheet: For names and lines.
        rows: (r,) rows of entries whose image came before.
        earlier: (r,) the row where it came first.
        equal: (r,) whether the labels are the same.
        same_table: (r,) whether an earlier entry is of the same table.
        ledger: Told of them.
    """
    wrong = np.flatnonzero(same_table | ~equal)
    if not len(wrong):
        return
    first = int(wrong[0])
    conflicts = int(np.sum(~equal[wrong]))
    one, other = int(earlier[first]), int(rows[first])
    place = f"lines {sheet.lines[one]} and {sheet.lines[other]}"
    if len(sheet.tables) > 1:
        place = f"{sheet.where(one)} and {sheet.where(other)}"
    ledger.add(
        f"an image of an earlier row again {sheet.rows(rows[wrong].tolist())} "
        f"({sheet.images[other]!r} in {place}), "
        f"{conflicts} of them with conflicting labels; keep one row per image",
        (
            Problem(
                sheet.images[rows[at]],
                f"{'the same' if equal[at] else 'conflicting'} labels in {sheet.where(int(earlier[at]))}",
                sheet.where(int(rows[at])),
            )
            for at in wrong.tolist()
        ),
    )


def first_rows(owners: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Return the first row of each of `count` images, given the image of every row (-1: none)."""
    first = np.full(count, -1, np.intp)
    rows = np.flatnonzero(owners >= 0)[::-1]
    first[owners[rows]] = rows
    return first


def refuse_unknown(source: Path | str, dropped: set[str], known: set[str]) -> None:
    """Refuse names of `drop_classes` that are no class, with those that are near.

    Raises:
        DataError: There is such a name.
    """
    for name in sorted(dropped - known):
        raise DataError(f"{source}: drop_classes names {name!r}, which is no class{nearest(name, known)}")
