"""Counts of right and wrong decisions, the measures that derive from them, and their intervals.

Decisions are counted once, in a fixed 2x2 table (`Counts`), and every measure is a quotient of those four
numbers. A quotient without a denominator is None, never 0 or 1. Imports numpy alone, for the light commands.

Shape letter: n rows of one label.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# The ten binary measures, each a property of `Counts`.
MEASURES = (
    "precision", "recall", "specificity", "negative_predictive_value", "false_positive_rate",
    "false_discovery_rate", "false_negative_rate", "accuracy", "f1", "mcc",
)  # fmt: skip


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class MacroF1(NamedTuple):
    """The mean of the F1 values that are defined, and how many were not."""

    value: float | None
    undefined: int


@dataclass(frozen=True)
class Counts:
    """True and false positives and negatives of one label; `Counts()` is the empty table to add to."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @classmethod
    def of(cls, labels: ArrayLike, decisions: ArrayLike) -> Counts:
        """Count decisions against labels, always into the whole table, whichever classes are present.

        Args:
            labels: (n,) truth, 0/1 or bool.
            decisions: (n,) answers, 0/1 or bool.

        Raises:
            ValueError: A shape is not (n,) for both, or a value is neither 0 nor 1.
        """
        truth, answers = _as_binary(labels, "labels"), _as_binary(decisions, "decisions")
        _same_length(truth, answers, "decisions")
        tn, fp, fn, tp = np.bincount(2 * truth + answers, minlength=4).tolist()
        return cls(tp=tp, fp=fp, fn=fn, tn=tn)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def total(self) -> int:
        """Rows counted."""
        return self.tp + self.fp + self.fn + self.tn

    @property
    def positives(self) -> int:
        """Rows whose label is 1."""
        return self.tp + self.fn

    @property
    def negatives(self) -> int:
        """Rows whose label is 0."""
        return self.tn + self.fp

    @property
    def precision(self) -> float | None:
        """Share of the yes answers that are right."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of the positives that were found (sensitivity)."""
        return _ratio(self.tp, self.positives)

    @property
    def specificity(self) -> float | None:
        """Share of the negatives that were left alone."""
        return _ratio(self.tn, self.negatives)

    @property
    def negative_predictive_value(self) -> float | None:
        """Share of the no answers that are right."""
        return _ratio(self.tn, self.tn + self.fn)

    @property
    def false_positive_rate(self) -> float | None:
        """Share of the negatives that were flagged."""
        return _ratio(self.fp, self.negatives)

    @property
    def false_discovery_rate(self) -> float | None:
        """Share of the yes answers that are wrong."""
        return _ratio(self.fp, self.tp + self.fp)

    @property
    def false_negative_rate(self) -> float | None:
        """Share of the positives that were missed."""
        return _ratio(self.fn, self.positives)

    @property
    def accuracy(self) -> float | None:
        """Share of all answers that are right."""
        return _ratio(self.tp + self.tn, self.total)

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN); None without positives, where it says nothing of the head."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn) if self.positives else None

    @property
    def mcc(self) -> float | None:
        """Matthews correlation; None where all labels or all answers are alike."""
        margins = (self.tp + self.fp) * self.positives * self.negatives * (self.tn + self.fn)
        return (self.tp * self.tn - self.fp * self.fn) / math.sqrt(margins) if margins else None

    def measures(self) -> dict[str, float | None]:
        """All ten measures by name, in the order of `MEASURES`."""
        return {name: getattr(self, name) for name in MEASURES}

    def why_undefined_f1(self) -> str | None:
        """Why `f1` is None, or None where it is defined."""
        if self.positives:
            return None
        return f"no positive among {self.total} labelled rows" if self.total else "no labelled rows"


def f1_interval(counts: Counts, confidence: float = 0.95) -> Interval | None:
    """Interval of F1 at a fixed threshold: Wilson on the Jaccard index, mapped by F1 = 2J / (1 + J).

    Given TP + FP + FN, J = TP / (TP + FP + FN) is a binomial proportion (Lam, Gopal, Qian, arXiv
    2309.14621). It does not cover the choice of the threshold on the same rows.

    Returns:
        The interval, or None where F1 is undefined.
    """
    if counts.f1 is None:
        return None
    jaccard = proportion_interval(counts.tp, counts.tp + counts.fp + counts.fn, confidence)
    return None if jaccard is None else Interval(*(2 * bound / (1 + bound) for bound in jaccard))


def proportion_interval(successes: int, total: int, confidence: float = 0.95) -> Interval | None:
    """Wilson's score interval of a proportion (Wilson 1927), or None where `total` is 0.

    Raises:
        ValueError: Not 0 <= successes <= total, or the confidence is not between 0 and 1.
    """
    if not 0 <= successes <= total:
        raise ValueError(f"{successes} successes of {total} are impossible")
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence must be between 0 and 1, got {confidence}")
    return wilson_interval(successes / total, total, confidence) if total else None


def wilson_interval(share: float, total: float, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a share, in 0..1, of `total` rows, which need not be a whole number."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (share * total + z * z / 2) / (total + z * z)
    half = z / (total + z * z) * math.sqrt(total * share * (1 - share) + z * z / 4)
    # Exact at the ends, where centre and half width differ only by rounding.
    return Interval(0.0 if share == 0 else centre - half, 1.0 if share == 1 else centre + half)


def average_precision(labels: ArrayLike, logits: ArrayLike) -> float | None:
    """Area under the precision-recall steps: the sum of (R_i - R_(i-1)) P_i over distinct scores.

    Args:
        labels: (n,) truth, 0/1 or bool.
        logits: (n,) scores in any unit; equal scores count as one step.

    Returns:
        The exact value, as scikit-learn's `average_precision_score`, or None without positives.

    Raises:
        ValueError: Lengths differ, a label is neither 0 nor 1, or a score is NaN.
    """
    truth, scores = _as_binary(labels, "labels"), np.asarray(logits)
    _same_length(truth, scores, "logits")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {scores.size} logits are NaN")
    if not truth.any():
        return None
    order = np.argsort(scores)[::-1]
    found = np.cumsum(truth[order])
    flagged = np.arange(1, truth.size + 1)
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), truth.size - 1)
    gained = np.diff(found[ends], prepend=0)
    return float(np.sum(gained * (found[ends] / flagged[ends])) / found[-1])


def always_yes_f1(labels: ArrayLike) -> float | None:
    """F1 of a head that says yes to everything: 2 prior / (1 + prior); None without positives."""
    truth = _as_binary(labels, "labels")
    return Counts.of(truth, np.ones_like(truth)).f1


def chance_f1(labels: ArrayLike) -> float | None:
    """F1 of a head that says yes at random, as often as the label is positive: the prior itself.

    With prior p the expected shares are TP = p^2 and FP = FN = p (1 - p), so 2 TP / (2 TP + FP + FN) = p
    (the quotient of expectations; the mean F1 of small samples is a little lower). None without positives.
    """
    truth = _as_binary(labels, "labels")
    return float(truth.mean()) if truth.any() else None


def macro_f1(values: Iterable[float | None]) -> MacroF1:
    """Unweighted mean of the F1 values of several heads; an undefined one is left out and counted."""
    listed = list(values)
    defined = [value for value in listed if value is not None]
    mean = math.fsum(defined) / len(defined) if defined else None
    return MacroF1(mean, len(listed) - len(defined))


def _as_binary(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, got shape {array.shape}")
    if not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{name} must be 0 or 1, got {np.unique(array)[:10].tolist()}")
    return array.astype(np.int64)


def _same_length(truth: NDArray[np.int64], other: NDArray[np.generic], name: str) -> None:
    if other.shape != truth.shape:
        raise ValueError(f"{truth.size} labels but {name} have shape {other.shape}")


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
