"""Scores of images that nobody has labelled, as `ova predict --csv` writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.errors import ArtefactError, DataError, first_few
from ova.spreadsheets import neutralise
from ova.storage import read_csv

_ALONE = "logit"


def read_unlabeled(
    path: Path, labels: Mapping[str, str], *, all_of_them: bool
) -> dict[str, NDArray[np.float64]]:
    """Read the logits of heads from a table.

    A head's column is "LABEL logit" (of its label or its name); with one head, "logit" does too. Rows whose
    cell is empty (images that could not be read) are left out. Other columns, labels among them, are not
    looked at.

    Args:
        path: CSV with a header.
        labels: Head name -> its label.
        all_of_them: Refuse if one of the heads has no column, not only if none has.

    Returns:
        Head name -> logits (n,), float32 values as float64, n >= 1.

    Raises:
        DataError: The table cannot be read, a column is missing, or a cell is not a finite number.
    """
    try:
        rows = read_csv(path)
    except ArtefactError as error:
        raise DataError(f"no scores to read: {error}") from error
    if not rows:
        raise DataError(f"{path} has no rows; write it with: ova predict MODEL IMAGES --csv")
    columns = {name: _column(name, label, rows[0], len(labels) == 1) for name, label in labels.items()}
    missing = [name for name, column in columns.items() if column is None]
    if missing and (all_of_them or len(missing) == len(columns)):
        wanted = first_few([repr(f"{labels[name]} logit") for name in missing], 3)
        raise DataError(f"{path} lacks the column {wanted}; write it with: ova predict MODEL IMAGES --csv")
    return {name: _logits(path, rows, column) for name, column in columns.items() if column is not None}


def _column(name: str, label: str, row: Mapping[str, str], alone: bool) -> str | None:
    wanted = [neutralise(f"{label} logit"), f"{label} logit", f"{name} logit", *([_ALONE] if alone else [])]
    return next((column for column in wanted if column in row), None)


def _logits(path: Path, rows: list[dict[str, str]], column: str) -> NDArray[np.float64]:
    values = []
    for number, row in enumerate(rows, start=2):
        cell = row[column].strip()
        if not cell:
            continue
        try:
            value = float(np.float32(cell))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(f"{path}, row {number}: {column} is {cell!r}, not a finite number")
        values.append(value)
    if not values:
        raise DataError(f"{path}: no row has a {column}")
    return np.array(values, np.float64)
