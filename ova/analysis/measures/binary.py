"""The ten binary measures, the average precision and the area under the ROC curve, each with its interval.

Every interval stays honest where few rows are wrong or none: it never has zero width at 0 or 1. On the eight
score families of benchmarks/families.py at 24 positives of 400, 400 samples each, intervals of 95 % cover

    average precision: Wilson on positives 0.94 to 0.99; percentiles of a stratified bootstrap 0.80 to 0.93
    area under ROC: Hanley and McNeil, score form 0.92 to 1.00; DeLong 0.54 to 0.88, of log odds 0.63 to 0.93

which is why the first of each is used here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.analysis.measures.f1 import measured_f1
from ova.analysis.measures.values import MeasuredValue
from ova.metrics import MEASURES, Counts, average_precision, wilson_interval

_DRAWS = 20_000
_SEED = 20_261_121
_Z = 1.959963984540054
# Measure -> (the successes, the failures) of the proportion that it is.
_PROPORTIONS = {
    "precision": ("tp", "fp"),
    "recall": ("tp", "fn"),
    "specificity": ("tn", "fp"),
    "negative_predictive_value": ("tn", "fn"),
    "false_positive_rate": ("fp", "tn"),
    "false_discovery_rate": ("fp", "tp"),
    "false_negative_rate": ("fn", "tp"),
}
_UNDEFINED = {
    "precision": "nothing is flagged",
    "recall": "no positive",
    "specificity": "no negative",
    "negative_predictive_value": "everything is flagged",
    "false_positive_rate": "no negative",
    "false_discovery_rate": "nothing is flagged",
    "false_negative_rate": "no positive",
}


def binary_measures(labels: ArrayLike, scores: ArrayLike, decisions: ArrayLike) -> dict[str, MeasuredValue]:
    """Measure the decisions and the ranking of a head.

    Args:
        labels: (n,) truth, 0 or 1.
        scores: (n,) logits; equal ones cannot be told apart.
        decisions: (n,) answers, 0/1 or bool.

    Returns:
        The ten of `ova.metrics.MEASURES` in their order, then "average_precision" and "roc_auc".
    """
    counts = Counts.of(labels, decisions)
    measures = {name: _measure(name, counts) for name in MEASURES}
    return measures | {
        "average_precision": measured_average_precision(labels, scores),
        "roc_auc": roc_auc(labels, scores),
    }


def measured_average_precision(labels: ArrayLike, scores: ArrayLike) -> MeasuredValue:
    """Average precision; its interval is Wilson's with the positives as the rows.

    Boyd, Eng and Page (2013) take the binomial variance AP (1 - AP) / positives; this is its score form.
    """
    value, positives = average_precision(labels, scores), int(np.sum(np.asarray(labels) == 1))
    if value is None:
        return MeasuredValue(None, reason="no positive")
    return MeasuredValue(value, *wilson_interval(value, positives))


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> MeasuredValue:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    The interval holds every area A from which the value is at most 1.96 deviations away, with the deviation
    that Hanley and McNeil (1982) give for A.
    """
    from scipy.stats import rankdata

    truth = np.asarray(labels) == 1
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if not positives or not negatives:
        return MeasuredValue(None, reason="no positive" if not positives else "no negative")
    ranks = rankdata(np.asarray(scores))
    value = (float(ranks[truth].sum()) - positives * (positives + 1) / 2) / (positives * negatives)
    return MeasuredValue(value, *_area_interval(value, positives, negatives))


def _measure(name: str, counts: Counts) -> MeasuredValue:
    if name == "f1":
        return measured_f1(counts)
    if name == "mcc":
        return _measured_mcc(counts)
    if name == "accuracy":
        right, all_rows, missing = counts.tp + counts.tn, counts.total, "no labelled rows"
    else:
        part, rest = (getattr(counts, each) for each in _PROPORTIONS[name])
        right, all_rows, missing = part, part + rest, _UNDEFINED[name]
    if not all_rows:
        return MeasuredValue(None, reason=missing if counts.total else "no labelled rows")
    return MeasuredValue(right / all_rows, *wilson_interval(right / all_rows, all_rows))


def _measured_mcc(counts: Counts) -> MeasuredValue:
    """Matthews correlation; its interval is of 20,000 draws of the four shares after Jeffreys' prior."""
    value = counts.mcc
    if value is None:
        return MeasuredValue(None, reason=_why_no_mcc(counts))
    cells = np.array([counts.tp, counts.fp, counts.fn, counts.tn], np.float64)
    draws = np.random.default_rng(_SEED).dirichlet(cells + 0.5, _DRAWS)
    low, high = np.percentile(_mcc(draws), [2.5, 97.5]).tolist()
    return MeasuredValue(value, min(low, value), max(high, value))


def _mcc(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    tp, fp, fn, tn = shares.T
    return (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))


def _why_no_mcc(counts: Counts) -> str:
    if not counts.total:
        return "no labelled rows"
    if not counts.positives or not counts.negatives:
        return "no positive" if not counts.positives else "no negative"
    return "nothing is flagged" if counts.tp + counts.fp == 0 else "everything is flagged"


def _area_interval(value: float, positives: int, negatives: int) -> tuple[float, float]:
    from scipy.optimize import root_scalar

    def beyond(area: float) -> float:
        return abs(value - area) - _Z * _area_deviation(area, positives, negatives)

    # The deviation is 0 at either end, which is no crossing.
    below, above = (0.0, min(value, 1.0 - 1e-9)), (max(value, 1e-9), 1.0)
    low = 0.0 if value == 0.0 else float(root_scalar(beyond, bracket=below).root)
    high = 1.0 if value == 1.0 else float(root_scalar(beyond, bracket=above).root)
    return low, high


def _area_deviation(area: float, positives: int, negatives: int) -> float:
    both_positives = area / (2.0 - area)  # two positives above one negative
    both_negatives = 2.0 * area**2 / (1.0 + area)  # one positive above two negatives
    variance = area * (1.0 - area)
    variance += (positives - 1) * (both_positives - area**2) + (negatives - 1) * (both_negatives - area**2)
    return float(np.sqrt(max(variance, 0.0) / (positives * negatives)))
