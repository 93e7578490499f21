"""Figures of several heads together: macro and micro F1, labels that come together, and slices.

Answers are those of the exported ensemble.

Shape letters: n images that any head was tested on, k heads, c clusters of images, d bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ova.analysis.head_result import HeadEvidence
from ova.analysis.measures.averages import averaged_f1
from ova.analysis.measures.honest import measured_f1
from ova.analysis.measures.values import Across, CoOccurrence, Measured, Slice
from ova.data.labels import UNKNOWN
from ova.metrics import Counts, proportion_interval

MOST_OTHERS = 10

Table = NDArray[np.int8]


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


def _co_occurrence(names: tuple[str, ...], truth: Table, answers: Table) -> CoOccurrence:
    known, have, say = ((table).astype(np.int64) for table in (truth != UNKNOWN, truth == 1, answers == 1))
    known, have, say = (tuple(map(tuple, (table.T @ table).tolist())) for table in (known, have, say))
    return CoOccurrence(names, known, have, say)


def _slices(names: tuple[str, ...], truth: Table, answers: Table) -> tuple[Slice, ...]:
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
    recall = Measured(counts.recall, *(interval or (None, None)), reason=reason)
    return Slice(name, other, present, counts.positives, counts.negatives, measured_f1(counts), recall)
