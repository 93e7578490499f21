"""Columns of a table under construction: many different texts, or few texts that come again and again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.tables.texts import Texts, TextsBuilder
from ova.errors import DataError


class Columns(NamedTuple):
    """Which columns of a table are read, and how; the others are passed over."""

    image: str
    """The image path of every row, made plain by `safe_relative`."""
    group: str | None
    """The group of every row, text by text."""
    coded: tuple[str, ...]
    """Labels or classes: few texts that come again and again."""


class Coded(NamedTuple):
    """A column of few different texts.

    Attributes:
        words: The different texts, as they stand in the table.
        codes: (n,) unsigned integers: for each row the position of its text in `words`.
    """

    words: tuple[str, ...]
    codes: NDArray[np.unsignedinteger[Any]]


class TextColumn:
    """Collects a column as packed text; `clean` may change a text, or refuse it with a DataError."""

    def __init__(self, clean: Callable[[str], str] | None = None) -> None:
        self._clean, self._builder, self._rows = clean, TextsBuilder(), 0
        self.refused: dict[int, str] = {}
        """Row -> why its text was refused; the text itself is kept as it stands."""

    def extend(self, cells: Sequence[str]) -> None:
        """Append the cells of some rows."""
        self._builder.extend([self._cleaned(row, cell) for row, cell in enumerate(cells, self._rows)])
        self._rows += len(cells)

    def done(self) -> Texts:
        """Return the column."""
        return self._builder.done()

    def _cleaned(self, row: int, cell: str) -> str:
        if self._clean is None:
            return cell
        try:
            return self._clean(cell)
        except DataError as error:
            self.refused[row] = str(error)
            return cell


class CodedColumn:
    """Collects a column as numbers of its different texts, in as few bytes as they need."""

    def __init__(self) -> None:
        self._words = _Numbered()
        self._codes: list[NDArray[np.unsignedinteger[Any]]] = []

    def extend(self, cells: Sequence[str]) -> None:
        """Append the cells of some rows."""
        codes = np.fromiter(map(self._words.__getitem__, cells), np.uint32, len(cells))
        self._codes.append(codes.astype(np.min_scalar_type(len(self._words) - 1)))

    def done(self) -> Coded:
        """Return the column."""
        codes = np.concatenate(self._codes) if self._codes else np.zeros(0, np.uint8)
        self._codes = []
        return Coded(tuple(self._words), codes)


class _Numbered(dict[str, int]):
    """Numbers keys as they come."""

    def __missing__(self, key: str) -> int:
        self[key] = number = len(self)
        return number
