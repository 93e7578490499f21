"""F1 that can be believed: the apparent one beside the nested one and that of the test rows.

A threshold that was chosen on some rows looks better on them than it is. The nested estimate takes each
fifth of the calibration rows away, lets the same rule choose a threshold on the others, decides the fifth by
it, and pools the counts (never the F1 values of folds: Forman and Scholz 2010).

Shape letter: n calibration rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.analysis.measures.values import HonestF1, MeasuredValue
from ova.errors import DataError
from ova.heads.calibration.calibration import Calibration
from ova.heads.calibration.ranking import FEWEST_POSITIVES
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask, choose_threshold
from ova.heads.recipe import KEPT_DEFAULT
from ova.metrics import Counts, f1_interval

NESTED_FOLDS = 5
_SEED = 20_261_121
Logits = NDArray[np.float64]
LabelArray = NDArray[np.int8]


class Decides(Protocol):
    """A threshold, such as that of a calibration."""

    def decide(self, logits: ArrayLike) -> NDArray[np.bool_]:
        """Say yes or no to raw logits."""
        ...


def honest_f1(
    logits: Logits,
    labels: LabelArray,
    groups: Sequence[str],
    calibration: Calibration,
    test: Counts,
    *,
    proper_loss: bool = True,
) -> HonestF1:
    """Put the apparent, the nested and the test F1 of a head side by side.

    Args:
        logits: (n,) scores of the calibration rows.
        labels: (n,) 0 or 1.
        groups: (n,) name of what each row belongs to; rows of one group are never parted.
        calibration: What was fitted on these rows.
        test: Counts of the test rows.
        proper_loss: As `calibrate_scores`.
    """
    apparent = measured_f1(Counts.of(labels, calibration.decide(logits)))

    def rule(scores: Logits, truth: LabelArray) -> Decides:
        return _again(scores, truth, calibration, proper_loss)

    if calibration.adaptation is not None:
        nested = MeasuredValue(None, reason="the threshold was adapted to images without labels")
    elif calibration.method == KEPT_DEFAULT:  # nothing was chosen on these rows: nothing is too good
        nested = apparent
    else:
        nested = nested_f1(logits, labels, groups, rule)
    return HonestF1(apparent, nested, measured_f1(test), NESTED_FOLDS)


def nested_f1(
    logits: Logits, labels: LabelArray, groups: Sequence[str], rule: Callable[[Logits, LabelArray], Decides]
) -> MeasuredValue:
    """Decide every fold by a threshold that was chosen on the other folds, and pool the counts.

    Args:
        logits: (n,) scores.
        labels: (n,) 0 or 1.
        groups: (n,) groups, which no fold parts.
        rule: Chooses a threshold from scores and labels.
    """
    pooled = Counts()
    folds = _folds(labels, groups)
    if not folds:
        return MeasuredValue(None, reason=f"there are too few groups for {NESTED_FOLDS} folds")
    for others, fold in folds:
        positives = int(labels[others].sum())
        if positives < FEWEST_POSITIVES:
            reason = f"{positives} positives are left to choose a threshold by, {FEWEST_POSITIVES} are needed"
            return MeasuredValue(None, reason=reason)
        try:
            chosen = rule(logits[others], labels[others])
        except DataError as error:
            return MeasuredValue(None, reason=f"without a fold, no threshold can be chosen: {error}")
        pooled += Counts.of(labels[fold], chosen.decide(logits[fold]))
    return measured_f1(pooled)


def measured_f1(counts: Counts) -> MeasuredValue:
    """F1 with its Wilson interval on the Jaccard index."""
    interval = f1_interval(counts)
    if interval is None:
        return MeasuredValue(None, reason=counts.why_undefined_f1())
    return MeasuredValue(counts.f1, *interval)


def _again(scores: Logits, truth: LabelArray, before: Calibration, proper_loss: bool) -> Decides:
    """Choose a threshold on other rows as it was done before."""
    task = ThresholdTask(
        pos_weight=before.pos_weight,
        proper_loss=proper_loss,
        objective=before.objective,
        method=before.method,
        confidence=before.confidence,
    )
    return choose_threshold(scores, truth, task)


def _folds(labels: LabelArray, groups: Sequence[str]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Part rows into (others, fold) by whole groups, stratified; nothing if there are too few groups."""
    from sklearn.model_selection import StratifiedKFold

    names, of_row = np.unique(np.array(groups, np.str_), return_inverse=True)
    positive = np.bincount(of_row, labels, len(names)) > 0
    if max(positive.sum(), (~positive).sum()) < NESTED_FOLDS:
        return []
    with warnings.catch_warnings():  # fewer positives than folds are told in words
        warnings.simplefilter("ignore", UserWarning)
        parts = list(StratifiedKFold(NESTED_FOLDS, shuffle=True, random_state=_SEED).split(names, positive))
    fold_of_group = np.empty(len(names), np.intp)
    for number, (_, members) in enumerate(parts):
        fold_of_group[members] = number
    fold_of = fold_of_group[of_row]
    return [
        (np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)) for fold in range(NESTED_FOLDS)
    ]
