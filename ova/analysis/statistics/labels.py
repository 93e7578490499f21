"""How often labels occur, alone and together.

Shape letters: n rows, k labels, m labels of the co-occurrence table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.table import UNKNOWN, LabelTable

MAX_TOGETHER = 100
"""Labels of the co-occurrence table: the most frequent ones, because it grows with their square."""
_BLOCK = 65_536  # rows at a time, so that memory does not grow with the table; float32 counts them exactly


@dataclass(frozen=True)
class LabelCount:
    """One label over all images."""

    label: str
    positives: int
    negatives: int
    unknown: int

    @property
    def share(self) -> float | None:
        """Positives among the images whose label is known; None where none is."""
        known = self.positives + self.negatives
        return self.positives / known if known else None


@dataclass(frozen=True)
class Combination:
    """Images with exactly these labels positive."""

    labels: tuple[str, ...]
    """Empty where no label is positive."""
    images: int
    incomplete: int
    """Of these images, how many have a label that is unknown, and so may belong to another combination."""


@dataclass(frozen=True, eq=False)
class Together:
    """How often two labels hold of one image.

    Attributes:
        labels: m label names, the most frequent first.
        both: (m, m) images in which both hold; the diagonal counts the label itself.
        known: (m, m) images in which the row's label holds and the column's is known.
    """

    labels: tuple[str, ...]
    both: NDArray[np.int64]
    known: NDArray[np.int64]

    def given_row(self) -> list[list[float | None]]:
        """Return P(column | row): of the images with the row's label, how many have the column's too."""
        pairs = zip(self.both.tolist(), self.known.tolist(), strict=True)
        return [[each / all_ if all_ else None for each, all_ in zip(*row, strict=True)] for row in pairs]


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """Counts of every label, most frequent first, whatever the order of the table's rows and columns."""

    images: int
    labels: tuple[LabelCount, ...]
    combinations: tuple[Combination, ...]
    """The most frequent ones."""
    other_combinations: int
    """How many more there are."""
    other_images: int
    """Images of those."""
    per_image: tuple[int, ...]
    """Images with 0, 1, 2, ... positive labels."""
    together: Together

    @property
    def mean_positives(self) -> float:
        """How many images have a label, on average over the labels."""
        return sum(each.positives for each in self.labels) / len(self.labels)

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            "mean_positives": self.mean_positives,
            "labels": [
                {
                    "label": each.label,
                    "positives": each.positives,
                    "negatives": each.negatives,
                    "unknown": each.unknown,
                    "share": each.share,
                }
                for each in self.labels
            ],
            "combinations": [
                {"labels": list(each.labels), "images": each.images, "incomplete": each.incomplete}
                for each in self.combinations
            ],
            "other_combinations": {"combinations": self.other_combinations, "images": self.other_images},
            "labels_per_image": list(self.per_image),
            "together": {
                "labels": list(self.together.labels),
                "images": self.together.both.tolist(),
                "share_given_row": self.together.given_row(),
            },
        }


def count_labels(table: LabelTable, *, most: int = 20) -> LabelStatistics:
    """Count labels, their combinations and their pairs.

    Args:
        table: n images, k labels.
        most: Combinations to list; the rest is counted together.
    """
    known, positives = np.zeros((2, len(table.labels)), np.int64)
    for block in _blocks(table.values):
        known += (block != UNKNOWN).sum(0)
        positives += (block == 1).sum(0)
    order = sorted(
        range(len(table.labels)), key=lambda column: (-int(positives[column]), table.labels[column])
    )
    counts = tuple(
        LabelCount(
            table.labels[column],
            int(positives[column]),
            int(known[column] - positives[column]),
            int(len(table.images) - known[column]),
        )
        for column in order
    )
    combinations, others, other_images = _combinations(table, order, most)
    return LabelStatistics(
        images=len(table.images),
        labels=counts,
        combinations=tuple(combinations),
        other_combinations=others,
        other_images=other_images,
        per_image=_per_image(table.values),
        together=_together(table, order[:MAX_TOGETHER]),
    )


def _blocks(values: NDArray[np.int8]) -> Iterator[NDArray[np.int8]]:
    for start in range(0, len(values), _BLOCK):
        yield values[start : start + _BLOCK]


def _per_image(values: NDArray[np.int8]) -> tuple[int, ...]:
    total = np.zeros(values.shape[1] + 1, np.int64)
    for block in _blocks(values):
        total += np.bincount((block == 1).sum(1), minlength=len(total))
    return tuple(total[: np.flatnonzero(total).max(initial=0) + 1].tolist())


def _combinations(table: LabelTable, order: list[int], most: int) -> tuple[list[Combination], int, int]:
    """Return the most frequent combinations, and how many others there are with how many images.

    Equals are ordered by content, so that the order of rows and columns is of no consequence.
    """
    codes = _codes(table.values, order)
    incomplete = np.concatenate([(block == UNKNOWN).any(1) for block in _blocks(table.values)])
    _, first, images = np.unique(codes, return_index=True, return_counts=True)
    lacking = np.bincount(codes, weights=incomplete, minlength=len(first))
    shown = np.argsort(-images, kind="stable")[:most]
    found = []
    for code in shown.tolist():
        row = table.values[first[code]]
        labels = tuple(table.labels[column] for column in order if row[column] == 1)
        found.append(Combination(labels, int(images[code]), int(lacking[code])))
    return found, len(images) - len(found), int(images.sum() - images[shown].sum())


def _codes(values: NDArray[np.int8], order: list[int]) -> NDArray[np.intp]:
    """Number the rows from 0 so that two have one number where their positive labels are the same.

    Positives are packed into words of 64 labels, because sorting numbers is far quicker than sorting rows.
    Numbers rise with the words, so they depend on what the rows hold and not on where they stand.
    """
    packed = np.zeros((len(values), 8 * -(-len(order) // 64)), np.uint8)
    for start, block in zip(range(0, len(values), _BLOCK), _blocks(values), strict=True):
        bits = np.packbits(block[:, order] == 1, axis=1)
        packed[start : start + len(block), : bits.shape[1]] = bits
    codes = np.zeros(len(values), np.intp)
    for word in packed.view(">u8").T:
        own = np.unique(word, return_inverse=True)[1]
        codes = np.unique(codes * (own.max(initial=0) + 1) + own, return_inverse=True)[1]
    return codes


def _together(table: LabelTable, columns: list[int]) -> Together:
    both, known = np.zeros((2, len(columns), len(columns)), np.int64)
    for block in _blocks(table.values):
        chosen = block[:, columns]
        positive = (chosen == 1).astype(np.float32)
        both += (positive.T @ positive).astype(np.int64)
        known += (positive.T @ (chosen != UNKNOWN).astype(np.float32)).astype(np.int64)
    return Together(tuple(table.labels[column] for column in columns), both, known)
