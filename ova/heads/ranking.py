"""Scores and labels as a ranking: what every possible threshold would flag.

Everything is computed on distinct scores, because rows with equal scores cannot be told apart by any
threshold.

Shape letters: n rows, g distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


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
