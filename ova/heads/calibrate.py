"""Calibration: held-out logits and labels -> a threshold, and probabilities that mean something.

The threshold is a logit that float32 holds exactly, and a head says yes where `logit >= threshold`. The
default rule, "auto", is that of `ova.heads.steady`; objectives that are promises are kept by
`ova.heads.certified`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.errors import DataError, RecipeError, first_few
from ova.heads.calibration import METHODS, Calibration
from ova.heads.certified import Certified, certify
from ova.heads.firth import fit_firth
from ova.heads.objectives import Budget, Floor, Objective, parse_objective
from ova.heads.outliers import within_reach
from ova.heads.platt import Platt, fit_platt
from ova.heads.plugin import plugin
from ova.heads.ranking import Ranking
from ova.heads.recipe import KEPT_DEFAULT
from ova.heads.steady import steady
from ova.heads.thresholds import bagged, sweep
from ova.metrics import Counts

FEWEST_POSITIVES = 5
_UNKNOWN = -1
_CONFLICT = 4.6


def calibrate_scores(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    pos_weight: float = 1.0,
    proper_loss: bool = True,
    objective: str = "f1",
    method: str = "auto",
    confidence: float = 0.95,
) -> Calibration:
    """Fit threshold and probabilities on rows that the head was not trained on.

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
        method: "argmax" (exact sweep), "bagged", "plugin", or "auto" (see `ova.heads.steady`); promises have
            their own.
        confidence: With which a promise holds.

    Raises:
        DataError: Shapes, a logit or a label is impossible, no row is labelled, or the head ranks backwards.
        RecipeError: An unknown method or objective, a method with a promise, a `pos_weight` that is not
            above 0, or a confidence that is not between 0 and 1.
    """
    aim = _check_arguments(pos_weight, objective, method, confidence)
    scores, truth = _labelled_rows(logits, labels)
    note = _why_default(scores, truth)
    chosen = _Chosen(0.0)
    if note is None:
        platt = _fit_probabilities(scores, truth, math.log(pos_weight), proper_loss)
        chosen = _choose(scores, truth, platt, aim, method, confidence)
        note = chosen.note
    else:
        platt, method = Platt(1.0, -math.log(pos_weight)), KEPT_DEFAULT
    threshold = chosen.threshold
    counts = Counts.of(truth, scores >= threshold)
    return Calibration(
        threshold=threshold,
        slope=platt.slope,
        intercept=platt.intercept,
        objective=objective,
        method=method,
        positives=counts.positives,
        negatives=counts.negatives,
        prior=counts.positives / counts.total,
        pos_weight=float(pos_weight),
        f1=counts.f1,
        note=note,
        confidence=float(confidence),
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


@dataclass(frozen=True)
class _Chosen:
    threshold: float
    low: float | None = None
    high: float | None = None
    note: str | None = None


def _choose(
    scores: NDArray[np.float32],
    truth: NDArray[np.int8],
    platt: Platt,
    aim: Objective,
    method: str,
    confidence: float,
) -> _Chosen:
    ranking = Ranking.of(scores, truth)
    if isinstance(aim, Floor | Budget):
        certified: Certified = certify(ranking, aim, confidence)
        return _Chosen(certified.threshold, note=certified.note)
    if method == "argmax":
        return _Chosen(sweep(scores, truth, objective=aim).threshold)
    if method == "bagged":
        return _Chosen(bagged(scores, truth, objective=aim))
    if method == "plugin":
        return _Chosen(plugin(scores, platt, objective=aim))
    found = steady(ranking, aim)
    return _Chosen(found.threshold, found.low, found.high)


def _fit_probabilities(
    scores: NDArray[np.float32], truth: NDArray[np.int8], shift: float, proper: bool
) -> Platt:
    """Fit MAP-Platt; where the labels contradict its priors, Firth's regression, which has none.

    Logits of a scale that no network has (probabilities, say) lie many deviations from the priors. A gain of
    `_CONFLICT` nats by two parameters is a likelihood-ratio test at about 1 %.

    Raises:
        DataError: The head ranks backwards.
    """
    single, positives = np.ones(scores.size), truth.astype(np.float64)
    drawn = within_reach(scores.astype(np.float64), single, positives)
    platt = fit_platt(drawn, truth, shift=shift, proper=proper)
    free = fit_firth(drawn, single, positives)
    if free is not None and _log_loss(platt, drawn, truth) - _log_loss(free, drawn, truth) > _CONFLICT:
        return free
    return platt


def _log_loss(platt: Platt, scores: NDArray[np.float64], truth: NDArray[np.int8]) -> float:
    """Return the summed cross-entropy in nats."""
    z = platt.slope * scores + platt.intercept
    return float(np.sum(np.logaddexp(0.0, z) - truth * z))


def _check_arguments(pos_weight: float, objective: str, method: str, confidence: float) -> Objective:
    aim = parse_objective(objective)
    if method not in METHODS:
        raise RecipeError(f"unknown calibration method {method!r}; choose from {', '.join(METHODS)}")
    if isinstance(aim, Floor | Budget) and method != "auto":
        raise RecipeError(f"method {method!r} does not go with the objective {objective!r}; leave method out")
    if not (math.isfinite(pos_weight) and pos_weight > 0):
        raise RecipeError(f"pos_weight must be above 0, got {pos_weight}")
    if not 0.0 < confidence < 1.0:
        raise RecipeError(f"confidence lies between 0 and 1, got {confidence}")
    return aim


def _labelled_rows(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
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
    wrong = np.flatnonzero(~np.isin(truth, (0, 1, _UNKNOWN)))
    if wrong.size:
        raise DataError(
            f"labels must be 1, 0 or {_UNKNOWN} for unknown, not {truth[wrong[0]]} (row {wrong[0]})"
        )
    known = truth != _UNKNOWN
    if not known.any():
        raise DataError("no row has a label; calibrate on labelled rows")
    return scores[known], truth[known].astype(np.int8)


def _why_default(scores: NDArray[np.float32], truth: NDArray[np.int8]) -> str | None:
    positives = int(truth.sum())
    if positives < FEWEST_POSITIVES:
        return f"threshold left at probability 0.5: {positives} positives, at least {FEWEST_POSITIVES} needed"
    if positives == truth.size:
        return "threshold left at probability 0.5: no negatives"
    if scores.min() == scores.max():
        return "threshold left at probability 0.5: all logits are equal"
    return None
