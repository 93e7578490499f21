"""Calibration: held-out logits and labels -> a threshold, and probabilities that mean something.

The threshold is a logit that float32 holds exactly, and a head says yes where `logit >= threshold`. It is
chosen by `ova.heads.calibration.threshold.choose_threshold`; the probabilities are a line in log odds, or a
curve where `ova.heads.calibration.calibrators.choose_calibrator` finds that the line does not do.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from ova.errors import DataError, first_few
from ova.heads.calibration.calibration import Calibration
from ova.heads.calibration.calibrators.choose_calibrator import choose_curve
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask, choose_threshold
from ova.heads.recipe import KEPT_DEFAULT
from ova.heads.threshold_objectives import FBeta
from ova.metrics import Counts


def calibrate_scores(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    pos_weight: float = 1.0,
    proper_loss: bool = True,
    objective: str = "f1",
    method: str = "auto",
    confidence: float = 0.95,
    prior: float | None = None,
) -> Calibration:
    """Fit threshold and probabilities on rows that the head was not trained on.

    The threshold does not depend on which calibrator the probabilities get: the rule "plugin" and another
    prior use the line in log odds (MAP-Platt), "auto" a regression of its own, the others the rows alone.

    The result does not depend on the order of the rows. With fewer than 5 positives, no negative, or logits
    that are all equal, the default is kept (threshold 0, where the raw sigmoid is 0.5) and `note` says why.

    Args:
        logits: (n,) raw scores, finite in float32.
        labels: (n,) 1, 0, or -1 for unknown; unknown rows are left out.
        pos_weight: Weight of the positives in the training loss, times what a sampler did to their odds.
        proper_loss: False for a focal or asymmetric loss, of which `pos_weight` tells little.
        objective: What the threshold is best at: "f1", "f2", "cost 10:1", "recall >= 0.9",
            "precision >= 0.8", "alarms <= 0.05". A promise that the rows cannot keep gets the nearest that
            they can, and a `note`.
        method: "argmax" (exact sweep), "bagged", "plugin", or "auto" (see
            `ova.heads.calibration.threshold.smoothed`); promises have their own.
        confidence: With which a promise holds.
        prior: Share of positives where the head will work, if it is not that of these rows (which is taken as
            the mean of the fitted probabilities). Probabilities and threshold are made for it, as if every
            positive stood for so many more or fewer; `positives` and `negatives` stay those of the rows.

    Raises:
        DataError: Shapes, a logit or a label is impossible, no row is labelled, or the head ranks backwards.
        RecipeError: An unknown method or objective, a method with a promise, a `pos_weight` that is not
            above 0, a confidence or prior that is not between 0 and 1, or a prior with a budget of alarms.

    Example:
        Scores of 18 rows that a classifier was not trained on; in its training a positive counted twice:

        >>> import ova
        >>> scores = [-3.1, -2.6, -2.2, -1.9, -1.7, -1.4, -1.2, -1.0, -0.7, -0.4, 0.1, 0.6]
        >>> scores += [-0.2, 0.4, 0.9, 1.3, 1.8, 2.4]
        >>> labels = 12 * [0] + 6 * [1]
        >>> calibration = ova.calibrate_scores(scores, labels, pos_weight=2)
        >>> round(calibration.threshold, 2)
        -0.09
        >>> calibration.decide([-2, 0, 2]).tolist()
        [False, True, True]
        >>> calibration.probability([-2, 0, 2]).round(2).tolist()
        [0.04, 0.37, 0.9]

        A promise that so few rows cannot keep says so:

        >>> ova.calibrate_scores(scores, labels, pos_weight=2, objective="recall >= 0.9").note
        'recall >= 0.9 is unreachable at 95%: 6 positives promise at most 0.607, 29 are needed; ...'
    """
    task = ThresholdTask(pos_weight, proper_loss, objective, method, confidence, prior)
    return calibrate_for(logits, labels, task)


def calibrate_for(logits: ArrayLike, labels: ArrayLike, task: ThresholdTask) -> Calibration:
    """Calibrate as `calibrate_scores` does, with its settings as one value.

    Raises:
        DataError: As `calibrate_scores`.
        RecipeError: As `calibrate_scores`.
    """
    chosen = choose_threshold(logits, labels, task)
    curve = None if chosen.method == KEPT_DEFAULT else choose_curve(chosen.rows.ranking)
    counts = chosen.rows.counts(chosen.threshold)
    return Calibration(
        threshold=chosen.threshold,
        slope=chosen.line.slope,
        intercept=chosen.line.intercept,
        curve=curve.at_odds(chosen.odds) if curve is not None else None,
        objective=task.objective,
        method=chosen.method,
        positives=counts.positives,
        negatives=counts.negatives,
        prior=counts.positives / counts.total if chosen.prior is None else chosen.prior,
        pos_weight=float(task.pos_weight),
        f1=_f1(counts, chosen.odds),
        note=chosen.note,
        confidence=float(task.confidence),
        threshold_low=chosen.low,
        threshold_high=chosen.high,
    )


def check_disjoint(calibration_images: Iterable[str], training_images: Iterable[str]) -> None:
    """Refuse to calibrate on images that the head has seen.

    Raises:
        DataError: Says how many images are in both, and names the first few.
    """
    seen = sorted(set(calibration_images) & set(training_images))
    if seen:
        raise DataError(
            f"{len(seen)} calibration images were trained on: {first_few(seen, 5)}; hold them out"
        )


def _f1(counts: Counts, odds: float) -> float | None:
    if odds == 1.0 or counts.f1 is None:
        return counts.f1
    cells = (np.array(float(cell)) for cell in (counts.tp, counts.fp, counts.fn, counts.tn))
    return float(FBeta(odds=odds)(*cells))
