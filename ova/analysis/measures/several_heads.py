"""Figures of several heads together: macro and micro F1, labels that come together, and slices.

Answers are those of the exported ensemble.

For macro and micro F1 a bootstrap of images (whole clusters of them) gives the vectors of counts (TP, FP, FN
of every head), and from them how the errors of heads go together. By itself it has zero width where no head
errs, so its spread only corrects intervals that have not:

    macro   the variance method of MOVER (Zou and Donner 2008): with F_i in [l_i, u_i] and correlations r_ij,
            low = mean F - sqrt(sum_ij r_ij (F_i - l_i) (F_j - l_j)) / k, and the same with u for high
    micro   Wilson on the pooled Jaccard index, its rows divided by the design effect: the bootstrap's
            variance of the index over the binomial one, at least 1

Shape letters: n images that any head was tested on, k heads, c clusters of images, p distinct patterns of
counts, d bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ova.analysis.head_result import HeadEvidence
from ova.analysis.measures.f1 import measured_f1
from ova.analysis.measures.values import Across, CoOccurrence, MeasuredValue, Slice
from ova.arrays import FloatArray
from ova.data.labels.table import UNKNOWN
from ova.metrics import Counts, Interval, f1_interval, proportion_interval, wilson_interval

MOST_OTHERS = 10
_AnswerTable = NDArray[np.int8]
_DRAWS = 1_000
_SEED = 20_261_121


def measure_across(heads: Sequence[HeadEvidence], belonging: Mapping[str, str] | None = None) -> Across:
    """Measure heads together on their test rows, matched by image.

    Args:
        heads: At least one.
        belonging: Image -> cluster; images of one cluster are drawn together.
    """
    images = sorted({image for head in heads for image in head.images})
    row_of = {image: row for row, image in enumerate(images)}
    truth = np.full((len(images), len(heads)), UNKNOWN, np.int8)
    answers = truth.copy()
    for column, head in enumerate(heads):
        rows = [row_of[image] for image in head.images]
        known = head.exported >= 0
        truth[rows, column] = np.where(known, head.labels, UNKNOWN)
        answers[rows, column] = head.exported
    groups = [(belonging or {}).get(image, image) for image in images]
    macro, micro = averaged_f1(truth, answers, groups)
    names = tuple(head.name for head in heads)
    return Across(macro, micro, _co_occurrence(names, truth, answers), _slices(names, truth, answers))


def _co_occurrence(names: tuple[str, ...], truth: _AnswerTable, answers: _AnswerTable) -> CoOccurrence:
    known, have, say = ((table).astype(np.int64) for table in (truth != UNKNOWN, truth == 1, answers == 1))
    known, have, say = (tuple(map(tuple, (table.T @ table).tolist())) for table in (known, have, say))
    return CoOccurrence(names, known, have, say)


def _slices(names: tuple[str, ...], truth: _AnswerTable, answers: _AnswerTable) -> tuple[Slice, ...]:
    """Judge every head with and without each other label, at most the ten that it meets most often."""
    slices = []
    for column, name in enumerate(names):
        together = ((truth == 1) & (truth[:, [column]] == 1)).sum(axis=0)
        others = [other for other in range(len(names)) if other != column]
        others = sorted(others, key=lambda other: (-together[other], names[other]))[:MOST_OTHERS]
        for other in sorted(others):
            for present in (True, False):
                rows = (truth[:, column] != UNKNOWN) & (truth[:, other] == int(present))
                counts = Counts.of(truth[rows, column], answers[rows, column])
                slices.append(_slice(name, names[other], present, counts))
    return tuple(slices)


def _slice(name: str, other: str, present: bool, counts: Counts) -> Slice:
    interval = proportion_interval(counts.tp, counts.positives)
    reason = None if interval else "no positive"
    recall = MeasuredValue(counts.recall, *(interval or (None, None)), reason=reason)
    return Slice(name, other, present, counts.positives, counts.negatives, measured_f1(counts), recall)


def averaged_f1(
    truth: NDArray[np.int8], answers: NDArray[np.int8], groups: Sequence[str]
) -> tuple[MeasuredValue, MeasuredValue]:
    """Return macro and micro F1.

    Args:
        truth: (n, k) labels, 1, 0, or -1 where a head was not tested.
        answers: (n, k) decisions, 1 or 0, where it was.
        groups: (n,) images of one group are drawn together.

    Returns:
        (macro, micro); heads without positives are left out of the macro F1, and their alarms count in the
        micro F1.
    """
    yes, no, flagged = truth == 1, truth == 0, answers == 1
    parts = np.stack([yes & flagged, no & flagged, yes & ~flagged], axis=1)  # (n, 3, k)
    if not yes.any():
        missing = MeasuredValue(None, reason="no head has a positive")
        return missing, missing
    drawn = _draw(parts, groups)
    total = parts.sum(axis=0)
    return _macro(total, drawn), _micro(total, drawn)


def _draw(parts: NDArray[np.bool_], groups: Sequence[str]) -> FloatArray:
    """Counts of bootstrap samples (d, 3, k); clusters with the same counts are one cell of a multinomial."""
    _, cluster = np.unique(np.array(groups, np.str_), return_inverse=True)
    sums = np.zeros((int(cluster.max()) + 1, parts.shape[1] * parts.shape[2]), np.int64)
    np.add.at(sums, cluster, parts.reshape(len(parts), -1).astype(np.int64))
    patterns, times = np.unique(sums, axis=0, return_counts=True)
    weights = np.random.default_rng(_SEED).multinomial(len(sums), times / len(sums), _DRAWS)
    return (weights @ patterns).reshape(_DRAWS, *parts.shape[1:]).astype(np.float64)


def _macro(total: NDArray[np.int64], drawn: FloatArray) -> MeasuredValue:
    tested = [column for column in range(total.shape[1]) if total[0, column] + total[2, column]]
    counts = [Counts(tp=int(tp), fp=int(fp), fn=int(fn)) for tp, fp, fn in total[:, tested].T]
    values = np.array([each.f1 for each in counts], np.float64)
    bounds = np.array([f1_interval(each) for each in counts], np.float64)
    together = _correlations(drawn[:, :, tested])
    low, high = (float(np.sqrt(max(gap @ together @ gap, 0.0))) for gap in np.abs(bounds.T - values))
    mean, heads = float(values.mean()), len(tested)
    return MeasuredValue(mean, max(mean - low / heads, 0.0), min(mean + high / heads, 1.0))


def _correlations(drawn: FloatArray) -> FloatArray:
    """Correlations (k, k) of F1 over the draws; 0 where a head never varies."""
    tp, fp, fn = drawn[:, 0], drawn[:, 1], drawn[:, 2]
    values = 2.0 * tp / np.maximum(2.0 * tp + fp + fn, 1.0)
    values -= values.mean(axis=0)
    spread = np.sqrt((values**2).mean(axis=0))
    products = values.T @ values / len(values)
    scale = np.outer(spread, spread)
    found = np.divide(products, scale, out=np.zeros_like(products), where=scale > 0.0)
    np.fill_diagonal(found, 1.0)
    return found


def _micro(total: NDArray[np.int64], drawn: FloatArray) -> MeasuredValue:
    tp, fp, fn = total.sum(axis=1).tolist()
    rows = tp + fp + fn
    jaccard = tp / rows
    pooled = drawn.sum(axis=2)
    indices = pooled[:, 0] / np.maximum(pooled.sum(axis=1), 1.0)
    binomial = jaccard * (1.0 - jaccard) / rows
    effect = max(float(indices.var()) / binomial, 1.0) if binomial else 1.0
    low, high = wilson_interval(jaccard, rows / effect)
    interval = Interval(2 * low / (1 + low), 2 * high / (1 + high))
    return MeasuredValue(2 * tp / (2 * tp + fp + fn), *interval)
