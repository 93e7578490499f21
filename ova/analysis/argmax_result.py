"""What an argmax ensemble chose on the test rows, against the truth.

Shape letters: n test rows, k labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ova.metrics import Counts, Interval, f1_interval, proportion_interval


@dataclass(frozen=True)
class Choices:
    """What an argmax ensemble chose: `matrix` counts rows, the true class down and the chosen one across.

    Attributes:
        labels: (k + 1,) label texts in the ensemble's order, then "none".
        matrix: (k + 1, k + 1) counts.
        left_out: Rows that are not counted, because a label is unknown or several hold at once.
    """

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    left_out: int

    @classmethod
    def of(cls, labels: Sequence[str], values: ArrayLike, chosen: ArrayLike) -> Choices:
        """Count choices.

        Args:
            labels: (k,) label texts in the ensemble's order.
            values: (n, k) truth, 0 or 1, anything else where it is unknown.
            chosen: (n,) index of the chosen label; k means none.

        Raises:
            ValueError: A choice is not in 0..k.
        """
        table, choices, none = np.asarray(values), np.asarray(chosen), len(labels)
        if not ((choices >= 0) & (choices <= none)).all():
            raise ValueError(f"choices must lie in 0..{none}, got {np.unique(choices)[:10].tolist()}")
        counted = np.isin(table, (0, 1)).all(axis=1) & ((table == 1).sum(axis=1) <= 1)
        truth = np.where((table == 1).any(axis=1), (table == 1).argmax(axis=1), none)
        matrix = np.zeros((none + 1, none + 1), dtype=np.int64)
        np.add.at(matrix, (truth[counted], choices[counted]), 1)
        return cls((*labels, "none"), tuple(map(tuple, matrix.tolist())), int((~counted).sum()))

    @property
    def accuracy(self) -> float | None:
        """Share of the counted rows whose choice is right; None without rows."""
        total = sum(map(sum, self.matrix))
        return sum(row[index] for index, row in enumerate(self.matrix)) / total if total else None

    @property
    def accuracy_interval(self) -> Interval | None:
        """Wilson interval of the accuracy, 95 %."""
        right = sum(row[index] for index, row in enumerate(self.matrix))
        return proportion_interval(right, sum(map(sum, self.matrix)))

    def class_counts(self) -> tuple[Counts, ...]:
        """Counts of every class against all others, none included, in the order of `labels`."""
        table = np.array(self.matrix)
        right, chosen, true = table.diagonal(), table.sum(axis=0), table.sum(axis=1)
        cells = zip(right.tolist(), (chosen - right).tolist(), (true - right).tolist(), strict=True)
        return tuple(Counts(tp, fp, fn, int(table.sum()) - tp - fp - fn) for tp, fp, fn in cells)

    def to_json(self) -> dict[str, Any]:
        """Return labels, matrix, rows left out, and what the choice is worth in every class."""
        matrix = [list(row) for row in self.matrix]
        low, high = self.accuracy_interval or (None, None)
        return {
            "labels": list(self.labels),
            "matrix": matrix,
            "left_out": self.left_out,
            "accuracy_low": low,
            "accuracy_high": high,
            "classes": list(map(_class_json, self.labels, self.class_counts())),
        }


def _class_json(label: str, counts: Counts) -> dict[str, Any]:
    low, high = f1_interval(counts) or (None, None)
    value = {"label": label, "rows": counts.positives}
    value |= {"precision": counts.precision, "recall": counts.recall}
    return value | {"f1": counts.f1, "f1_low": low, "f1_high": high}
