"""What every form of labels is read as: images, the values of their labels, the rows they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.labels import LeftOut
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
