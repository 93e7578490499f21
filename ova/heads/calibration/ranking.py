"""Scores and labels as a ranking, checked: what every possible threshold would flag.

A ranking is one of distinct scores, because rows with equal scores cannot be told apart by any threshold.

Shape letters: n rows, g distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.arrays import FloatArray
from ova.data.labels.table import UNKNOWN
from ova.errors import DataError
from ova.metrics import Counts

FEWEST_POSITIVES = 5


@dataclass(frozen=True)
class Ranking:
    """Distinct scores from high to low (g,), and what a cut under each of them flags."""

    scores: FloatArray
    tp: FloatArray
    fp: FloatArray

    @classmethod
    def of(cls, logits: ArrayLike, labels: ArrayLike, deployed: type[np.floating] = np.float32) -> Ranking:
        """Rank rows by their scores as the deployed dtype holds them.

        Args:
            logits: (n,) scores, finite in the deployed dtype.
            labels: (n,) 0 or 1, with at least one 1.
            deployed: The dtype in which the decision will be taken.

        Raises:
            ValueError: There is no positive, shapes differ, or a logit is not finite.
        """
        scores, truth = _checked(logits, labels, deployed)
        order = np.argsort(scores)[::-1]
        ranked = scores[order].astype(np.float64)
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
        tp = np.cumsum(truth[order], dtype=np.float64)[ends]
        return cls(ranked[ends], tp, ends + 1.0 - tp)

    @classmethod
    def of_unlabeled(cls, logits: ArrayLike) -> Ranking:
        """Rank rows (n,) whose labels are unknown, n >= 1: only what they flag has a meaning."""
        return cls.of(logits, np.ones(np.asarray(logits).shape, np.int8))

    @property
    def positives(self) -> float:
        """Positive rows."""
        return float(self.tp[-1])

    @property
    def negatives(self) -> float:
        """Negative rows."""
        return float(self.fp[-1])

    @property
    def flagged(self) -> FloatArray:
        """Rows at or above each score, (g,)."""
        return self.tp + self.fp

    @property
    def rows(self) -> FloatArray:
        """Rows at each score, (g,)."""
        return np.diff(self.flagged, prepend=0.0)

    @property
    def positive_rows(self) -> FloatArray:
        """Positive rows at each score, (g,)."""
        return np.diff(self.tp, prepend=0.0)

    @property
    def under_positives(self) -> NDArray[np.intp]:
        """Positions of the scores that a positive has: where a cut can be best."""
        return np.flatnonzero(self.positive_rows)

    def counts_at(self, threshold: float) -> tuple[float, float]:
        """True and false positives of `score >= threshold`."""
        position = int(np.searchsorted(-self.scores, -threshold, side="right"))
        return (float(self.tp[position - 1]), float(self.fp[position - 1])) if position else (0.0, 0.0)

    def thresholds(self, deployed: type[np.floating] = np.float32) -> FloatArray:
        """One threshold per cut, (g + 1,): above all scores, between neighbours, below all scores.

        The middle of two neighbours in the deployed dtype can round to the lower one, which would flag it;
        the upper score is then the threshold. So it is beyond scores so large that adding 1 changes nothing.
        """
        scores = self.scores
        upper, lower = scores[:-1], scores[1:]
        middle = (lower + (upper - lower) / 2.0).astype(deployed).astype(np.float64)
        inner = np.where((lower < middle) & (middle <= upper), middle, upper)
        with np.errstate(over="ignore"):
            above = np.maximum(deployed(scores[0] + 1.0), np.nextafter(deployed(scores[0]), deployed(np.inf)))
            below = deployed(scores[-1] - 1.0)
        return np.concatenate(([float(above)], inner, [float(below)]))


def _checked(
    logits: ArrayLike, labels: ArrayLike, deployed: type[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    with np.errstate(over="ignore"):
        scores = np.asarray(logits).astype(deployed)
    truth = np.asarray(labels)
    if scores.ndim != 1 or truth.shape != scores.shape:
        raise ValueError(f"logits have shape {scores.shape}, labels {truth.shape}; both must be (n,)")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} logits are not finite in {scores.dtype}")
    if not ((truth == 0) | (truth == 1)).all():
        raise ValueError(f"labels must be 0 or 1, got {np.unique(truth)[:10].tolist()}")
    if not truth.any():
        raise ValueError("there is no positive, so no threshold is better than another")
    return scores, truth.astype(np.bool_)


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
