"""What a head would answer at every threshold that makes a difference.

Shape letters: n test rows, k thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ova.analysis.tables import HeadEvidence

COLUMNS = ("threshold", "tp", "fp", "fn", "tn", "precision", "recall", "f1")


@dataclass(frozen=True, eq=False)
class Steps:
    """Counts at thresholds, the lowest first: a head says yes at and above one.

    Attributes:
        thresholds: (k,) logits, float32 values: the distinct scores, the chosen threshold, and one above all.
        tp: (k,) positives at or above each.
        fp: (k,) negatives at or above each.
        positives: All of them.
        negatives: All of them.
        chosen: Index of the head's own threshold.
    """

    thresholds: NDArray[np.float32]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    positives: int
    negatives: int
    chosen: int

    @classmethod
    def of(cls, evidence: HeadEvidence) -> Steps:
        """Count a head's test rows, of which there may be none."""
        chosen = np.float32(evidence.threshold)
        scores = evidence.scores
        known = np.append(scores, chosen)
        with np.errstate(over="ignore"):
            above = np.nextafter(known.max(), np.float32(np.inf))
        thresholds = np.unique(np.append(known, above if np.isfinite(above) else chosen))
        positive = np.sort(scores[evidence.labels == 1])
        negative = np.sort(scores[evidence.labels == 0])
        return cls(
            thresholds,
            positive.size - np.searchsorted(positive, thresholds),
            negative.size - np.searchsorted(negative, thresholds),
            positive.size,
            negative.size,
            int(np.searchsorted(thresholds, chosen)),
        )

    @property
    def precision(self) -> NDArray[np.float64]:
        """(k,) share of the yes answers that are right; NaN where there is none."""
        return _quotient(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> NDArray[np.float64]:
        """(k,) share of the positives that are found; NaN without positives."""
        return _quotient(self.tp, self.positives)

    @property
    def false_positive_rate(self) -> NDArray[np.float64]:
        """(k,) share of the negatives that are flagged; NaN without negatives."""
        return _quotient(self.fp, self.negatives)

    @property
    def f1(self) -> NDArray[np.float64]:
        """(k,) 2 TP / (2 TP + FP + FN); NaN without positives."""
        return _quotient(2 * self.tp, (self.tp + self.fp + self.positives) * bool(self.positives))

    def thinned(self, most: int) -> Steps:
        """Keep at most about `most` steps: the ends, the chosen one, and others evenly by rank.

        Half of them are where a positive is won or lost, so that a scarce label keeps its steps.
        """
        size = self.thresholds.size
        if size <= most:
            return self
        changes = np.flatnonzero(np.diff(self.tp)) + 1
        kept = np.unique(
            np.concatenate(
                [
                    [0, self.chosen, size - 1],
                    np.linspace(0, size - 1, most // 2).round(),
                    changes[
                        np.linspace(0, changes.size - 1, min(changes.size, most // 2)).round().astype(int)
                    ],
                ]
            ).astype(int)
        )
        return Steps(
            self.thresholds[kept],
            self.tp[kept],
            self.fp[kept],
            self.positives,
            self.negatives,
            int(np.searchsorted(kept, self.chosen)),
        )

    def rows(self) -> list[list[float | int | None]]:
        """Return a row of `COLUMNS` per threshold; None is undefined."""
        counts = (self.tp, self.fp, self.positives - self.tp, self.negatives - self.fp)
        columns = [self.thresholds.astype(np.float64), *counts, self.precision, self.recall, self.f1]
        return [
            [None if cell != cell else cell for cell in row]  # noqa: PLR0124 (NaN is not itself)
            for row in zip(*(column.tolist() for column in columns), strict=True)
        ]


def _quotient(part: NDArray[np.int64], whole: NDArray[np.int64] | int) -> NDArray[np.float64]:
    wholes = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    return np.divide(part, wholes, out=np.full(part.shape, np.nan), where=wholes > 0)
