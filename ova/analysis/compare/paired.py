"""Two sets of answers to the same rows: how far apart their F1 is, and whether that may be chance.

Rows are paired, so what both find hard cancels out: intervals are much narrower than those of two F1 values
side by side. Groups of alike rows are taken for independent ones.

Shape letter: n rows whose truth is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.metrics import Counts, Interval

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Paired:
    """The answers of A and B to the same rows."""

    rows: int
    positives: int
    f1_a: float | None
    f1_b: float | None
    difference: float | None
    """F1 of B less that of A; None without positives."""
    interval: Interval | None
    """Of the difference, by paired bootstrap over rows."""
    only_a_right: int
    only_b_right: int
    p_value: float
    """Of as uneven a share of these two, if A and B were equally often right (two-sided, exact)."""


def compare_decisions(
    labels: ArrayLike, first: ArrayLike, second: ArrayLike, *, seed: int = 0, confidence: float = 0.95
) -> Paired:
    """Compare the decisions of two heads on the same rows.

    The interval is the percentile bootstrap (Efron 1979): rows are drawn with replacement, each with its
    truth and both answers. A row is one of eight kinds, so drawing rows is drawing counts of kinds from a
    multinomial, which gives the same distribution at once. Draws without a positive have no F1 and are left
    out. The p value is McNemar's exact test: disagreements as tosses of a fair coin (McNemar 1947).

    Args:
        labels: (n,) truth, 0 or 1.
        first: (n,) decisions of A.
        second: (n,) decisions of B.
        seed: Of the draws; the same seed and rows, in any order, give the same interval.
        confidence: Of the interval.

    Raises:
        ValueError: Shapes differ, or a value is neither 0 nor 1.
    """
    a, b = Counts.of(labels, first), Counts.of(labels, second)
    truth, one, other = (np.asarray(values).astype(np.int64) for values in (labels, first, second))
    kinds = np.bincount(4 * truth + 2 * one + other, minlength=8)
    only_a_right = int(kinds[0b001] + kinds[0b110])
    only_b_right = int(kinds[0b010] + kinds[0b101])
    return Paired(
        rows=a.total,
        positives=a.positives,
        f1_a=a.f1,
        f1_b=b.f1,
        difference=None if a.f1 is None or b.f1 is None else b.f1 - a.f1,
        interval=_interval(kinds, seed, confidence) if a.positives else None,
        only_a_right=only_a_right,
        only_b_right=only_b_right,
        p_value=_fair_coin(only_a_right, only_b_right),
    )


def _interval(kinds: NDArray[np.int64], seed: int, confidence: float) -> Interval:
    total = int(kinds.sum())
    drawn = np.random.default_rng(seed).multinomial(total, kinds / total, size=_RESAMPLES)
    drawn = drawn[drawn[:, 4:].any(axis=1)]
    differences = _f1(drawn, 0b001) - _f1(drawn, 0b010)
    tail = (1 - confidence) / 2
    low, high = np.quantile(differences, (tail, 1 - tail))
    return Interval(float(low), float(high))


def _f1(drawn: NDArray[np.int64], bit: int) -> NDArray[np.float64]:
    """F1 of every draw (draws, 8), of the answers in one bit of the kind; every draw has a positive."""
    kinds = np.arange(8)
    positive, yes = kinds >= 4, (kinds & bit) > 0
    found = drawn[:, positive & yes].sum(axis=1)
    return 2 * found / (drawn[:, positive].sum(axis=1) + drawn[:, yes].sum(axis=1))


def _fair_coin(one: int, other: int) -> float:
    from scipy.stats import binomtest

    return float(binomtest(one, one + other).pvalue) if one + other else 1.0
