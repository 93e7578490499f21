"""The label table: which image has which labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ova.data.tables.texts import Texts
from ova.digests import digest_arrays, digest_json
from ova.errors import DataError, first_few
from ova.recipes import nearest

UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class LabelTable:
    """What is known about n images and k labels.

    Attributes:
        images: n unique image ids: POSIX paths relative to the image root.
        labels: k label names, in the order of the table (sorted for long tables and class folders).
        values: (n, k), int8: 1, 0 or `UNKNOWN`.
        groups: n group names; the image id itself when no grouping was declared.
        rows: Rows of the tables that were read; for class folders, images.
        left_out: What was left out of `images` and `labels`, and why.
        missing: Images of the tables that are not there, where the recipe allows some.
        unnamed: Images beside those of the tables that no row names.
        excluded_positives: k counts of images with label 1 that `data/exclude.csv` leaves out; or nothing.
        strangers: Names in `data/exclude.csv` that are in no row.
    """

    images: Texts | tuple[str, ...]
    labels: tuple[str, ...]
    values: NDArray[np.int8]
    groups: Texts | tuple[str, ...]
    rows: int = 0
    left_out: tuple[LeftOut, ...] = ()
    missing: tuple[str, ...] = ()
    unnamed: int = 0
    excluded_positives: tuple[int, ...] = ()
    strangers: tuple[str, ...] = ()

    def column(self, label: str) -> NDArray[np.int8]:
        """Take the values of one label, (n,).

        Raises:
            DataError: The table has no such label.
        """
        if label not in self.labels:
            raise DataError(f"the labels have no {label!r}{nearest(label, self.labels)}")
        return self.values[:, self.labels.index(label)]

    def subset(self, rows: NDArray[np.intp]) -> LabelTable:
        """Take some rows, in the order given."""
        images = Texts.of(self.images).take(rows)
        groups = images if self.groups is self.images else Texts.of(self.groups).take(rows)
        return replace(self, images=images, values=self.values[rows], groups=groups)

    def digest(self) -> str:
        """Digest images, groups and labels by name: the order of rows counts, that of columns does not."""
        columns = digest_arrays({label: self.column(label) for label in self.labels})
        return digest_json([Texts.of(self.images).digest(), Texts.of(self.groups).digest(), columns])

    def lines(self) -> list[str]:
        """Say how many images and rows there are, and what is not in the table, a line each."""
        lines = [f"images: {len(self.images):,}, rows: {self.rows:,}"]
        lines += [f"left out {left.line()}" for left in self.left_out]
        if any(self.excluded_positives):
            taken = zip(self.labels, self.excluded_positives, strict=True)
            named = ", ".join(f"{label} {count:,}" for label, count in taken if count)
            lines.append(f"positives on images that data/exclude.csv takes: {named}")
        lines += self.stranger_lines()
        if self.unnamed:
            lines.append(f"{self.unnamed:,} images in the same folders are in no row")
        return lines

    def stranger_lines(self) -> list[str]:
        """Say which names of `data/exclude.csv` are in no row, in a line or none."""
        if not self.strangers:
            return []
        named = first_few(list(self.strangers), 3)
        return [f"data/exclude.csv names {len(self.strangers):,} images that are in no row: {named}"]


@dataclass(frozen=True)
class LeftOut:
    """What was left out of a label table, and how much of the whole that is."""

    reason: str
    """What it is: "without any label"."""
    count: int
    of: int
    unit: str = "images"
    """What is counted: images, rows, or entries, which are an image or a cell of a table."""

    def line(self) -> str:
        """Say it in one line: `12 of 2,000 images (0.6 %): without any label`."""
        return f"{self.count:,} of {self.of:,} {self.unit} ({self.count / self.of:.1%}): {self.reason}"
