"""The rows that a calibration is fitted on, checked, as the deployed head compares their scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.data.labels import UNKNOWN
from ova.errors import DataError
from ova.heads.ranking import Ranking
from ova.metrics import Counts

FEWEST_POSITIVES = 5


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows whose label is known.

    Attributes:
        scores: (n,) logits in float32, finite.
        truth: (n,) 0 or 1.
    """

    scores: NDArray[np.float32]
    truth: NDArray[np.int8]

    @classmethod
    def of(cls, logits: ArrayLike, labels: ArrayLike) -> LabelledRows:
        """Check rows, and leave out those that have no label.

        Args:
            logits: (n,) raw scores, finite in float32.
            labels: (n,) 1, 0, or -1 for unknown.

        Raises:
            DataError: Shapes, a logit or a label is impossible, or no row is labelled.
        """
        # Scores are taken as the deployed head compares them, so that counts hold after export.
        with np.errstate(over="ignore"):
            scores = np.asarray(logits).astype(np.float32)
        truth = np.asarray(labels)
        if scores.ndim != 1 or truth.shape != scores.shape:
            raise DataError(
                f"logits have shape {scores.shape} but labels {truth.shape}; give one label per logit"
            )
        wrong = np.flatnonzero(~np.isfinite(scores))
        if wrong.size:
            raise DataError(f"{wrong.size} of {scores.size} logits are not finite, first in row {wrong[0]}")
        wrong = np.flatnonzero(~np.isin(truth, (0, 1, UNKNOWN)))
        if wrong.size:
            raise DataError(
                f"labels must be 1, 0 or {UNKNOWN} for unknown, not {truth[wrong[0]]} (row {wrong[0]})"
            )
        known = truth != UNKNOWN
        if not known.any():
            raise DataError("no row has a label; calibrate on labelled rows")
        return cls(scores[known], truth[known].astype(np.int8))

    @cached_property
    def ranking(self) -> Ranking:
        """The rows by their scores; there must be a positive."""
        return Ranking.of(self.scores, self.truth)

    def counts(self, threshold: float) -> Counts:
        """Count what a threshold gets right and wrong."""
        return Counts.of(self.truth, self.scores >= threshold)

    def why_too_poor(self) -> str | None:
        """Say why nothing can be chosen on these rows, or None."""
        positives = int(self.truth.sum())
        if positives < FEWEST_POSITIVES:
            return f"{positives} positives, at least {FEWEST_POSITIVES} needed"
        if positives == self.truth.size:
            return "no negatives"
        if self.scores.min() == self.scores.max():
            return "all logits are equal"
        return None
