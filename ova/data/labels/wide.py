"""A table with a row per image and a column per label, and what its cells mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ova.data.labels.labelled import Labelled, refuse_unknown
from ova.data.labels.table import UNKNOWN, LeftOut
from ova.data.problems import Ledger, Problem
from ova.data.recipe import DatasetRecipe, SoftRule
from ova.data.tables.label_sheet import LabelSheet
from ova.errors import DataError, first_few

_REFUSED = -2  # in place of a label, for a cell that is none
_HARD_LABELS = {"1": 1, "0": 0, "": UNKNOWN}
_UNSIGNED = re.compile(r"(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
_NO_LABEL_ADVICE = (
    '; if it names a class: format = "long" (ova init --class-column); if it is no label, name the columns'
    " that are: label_columns (ova init --label)"
)


def from_wide(
    sheet: LabelSheet, recipe: DatasetRecipe, names: Mapping[str, str] | None, ledger: Ledger
) -> Labelled:
    """Take a row per image, whose cells in a label column are 1, 0 or blank (unknown).

    Args:
        sheet: The rows.
        recipe: Which columns to drop, and how to read numbers between 0 and 1.
        names: Column -> name of its label; columns are named by themselves without it.
        ledger: Told of cells that are anything else.

    Raises:
        DataError: A column has no name, or drop_classes names no label.
    """
    label_of = _label_names(sheet, names)
    dropped = set(recipe.drop_classes)
    refuse_unknown(sheet.name, dropped, set(label_of.values()))
    kept = [column for column, label in label_of.items() if label not in dropped]
    values = np.empty((len(sheet), len(kept)), np.int8)
    refused: dict[str, list[int]] = {}
    for position, column in enumerate(kept):
        words, codes = sheet.coded[column]
        meaning = np.array([cell_value(word, recipe.soft) for word in words], np.int8)
        if (meaning == _REFUSED).any():
            refused[column] = np.flatnonzero(meaning[codes] == _REFUSED).tolist()
            meaning[meaning == _REFUSED] = UNKNOWN
        values[:, position] = meaning[codes]
    if refused:
        _report_refused(sheet, refused, recipe, ledger)
    gone = [column for column, label in label_of.items() if label in dropped]
    labels = [label_of[column] for column in kept]
    return Labelled(
        sheet.images, labels, values, np.arange(len(sheet)), tuple(_dropped(sheet, gone, label_of, recipe))
    )


def _label_names(sheet: LabelSheet, names: Mapping[str, str] | None) -> dict[str, str]:
    columns = sheet.columns.coded
    if names is None:
        return dict(zip(columns, columns, strict=True))
    if missing := [repr(column) for column in columns if column not in names]:
        raise DataError(f"{sheet.name}: label_names has no name for the columns {first_few(missing)}")
    return {column: names[column] for column in columns}


def _report_refused(
    sheet: LabelSheet, refused: Mapping[str, list[int]], recipe: DatasetRecipe, ledger: Ledger
) -> None:
    summaries: list[str] = []
    examples: list[str] = []
    for column, rows in refused.items():
        found = list(dict.fromkeys(_cell(sheet, column, row) for row in rows[:10]))
        shown = first_few([repr(cell[:40]) for cell in found], 3)
        summaries.append(f"column {column!r} {sheet.rows(rows)} has {shown}")
        examples += found
    no_label = "" if all(len(rows) < len(sheet) for rows in refused.values()) else _NO_LABEL_ADVICE
    ledger.add(
        f"{first_few(summaries)}; {_allowed(examples, recipe.soft)}{no_label}",
        (
            Problem(
                sheet.images[row],
                f"column {column!r} has {_cell(sheet, column, row)[:40]!r}",
                sheet.where(row),
            )
            for column, rows in refused.items()
            for row in rows
        ),
    )


def _allowed(cells: list[str], soft: SoftRule | None) -> str:
    """Say what cells may hold, given some that were refused."""
    if soft is not None:
        return "a label is a number from 0 to 1, or blank (unknown)"
    hint = "; numbers between 0 and 1 need [soft] in dataset.toml"
    between = any(_soft_number(cell.strip()) is not None for cell in cells)
    return f"a label is 0, 1 or blank (unknown){hint if between else ''}"


def _cell(sheet: LabelSheet, column: str, row: int) -> str:
    words, codes = sheet.coded[column]
    return words[codes[row]]


def _dropped(
    sheet: LabelSheet, columns: Sequence[str], label_of: Mapping[str, str], recipe: DatasetRecipe
) -> Iterator[LeftOut]:
    for column in columns:
        words, codes = sheet.coded[column]
        positive = np.array([cell_value(word, recipe.soft) == 1 for word in words], bool)
        if count := int(positive[codes].sum()):
            yield LeftOut(
                f"positives of the dropped class {label_of[column]!r}", count, len(sheet), "entries"
            )


def cell_value(cell: str, soft: SoftRule | None) -> int:
    """Return 1, 0 or `UNKNOWN`; `_REFUSED` for anything else.

    Args:
        cell: The text as it stands; white space around it does not count.
        soft: The rule for numbers from 0 to 1, with a decimal point or comma; only 1 and 0 without it.
    """
    text = cell.strip()
    if text in _HARD_LABELS:
        return _HARD_LABELS[text]
    number = _soft_number(text)
    if soft is None or number is None:
        return _REFUSED
    return 1 if number >= soft.positive_from else 0 if number <= soft.negative_to else UNKNOWN


def _soft_number(text: str) -> float | None:
    """Read a number from 0 to 1, with a decimal point or comma; None for anything else."""
    number = float(text.replace(",", ".")) if _UNSIGNED.fullmatch(text) else 2.0
    return number if number <= 1 else None
