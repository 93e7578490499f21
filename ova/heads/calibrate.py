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
from ova.heads.curve_choice import choose_curve
from ova.heads.objectives import Budget, FBeta, Floor, Objective, at_odds, parse_objective
from ova.heads.platt import Platt
from ova.heads.plugin import plugin
from ova.heads.probabilities import fit_probabilities
from ova.heads.ranking import Ranking
from ova.heads.recipe import KEPT_DEFAULT
from ova.heads.steady import steady
from ova.heads.thresholds import bagged, sweep
from ova.metrics import Counts

FEWEST_POSITIVES = 5
_UNKNOWN = -1


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

    The threshold is chosen with the line in log odds (MAP-Platt) whatever `ova.heads.curve_choice` says about
    the probabilities.

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
        prior: Share of positives where the head will work, if it is not that of these rows (which is taken as
            the mean of the fitted probabilities). Probabilities and threshold are made for it, as if every
            positive stood for so many more or fewer; `positives` and `negatives` stay those of the rows.

    Raises:
        DataError: Shapes, a logit or a label is impossible, no row is labelled, or the head ranks backwards.
        RecipeError: An unknown method or objective, a method with a promise, a `pos_weight` that is not
            above 0, a confidence or prior that is not between 0 and 1, or a prior with a budget of alarms.
    """
    aim = _check_arguments(pos_weight, objective, method, confidence, prior)
    scores, truth = _labelled_rows(logits, labels)
    note = _why_default(scores, truth)
    chosen, curve, odds = _Chosen(0.0), None, 1.0
    if note is None:
        platt = fit_probabilities(scores, truth, math.log(pos_weight), proper_loss)
        if prior is not None:
            odds = _odds(prior) / _odds(float(platt.probability(scores).mean()))
            aim = at_odds(aim, odds)
        ranking = Ranking.of(scores, truth)
        chosen, curve = _choose(ranking, scores, truth, platt, aim, method, confidence), choose_curve(ranking)
        platt, note = platt.at_odds(odds), chosen.note
    else:
        platt, method, prior = Platt(1.0, -math.log(pos_weight)), KEPT_DEFAULT, None
    threshold = chosen.threshold
    counts = Counts.of(truth, scores >= threshold)
    return Calibration(
        threshold=threshold,
        slope=platt.slope,
        intercept=platt.intercept,
        curve=curve.at_odds(odds) if curve is not None else None,
        objective=objective,
        method=method,
        positives=counts.positives,
        negatives=counts.negatives,
        prior=counts.positives / counts.total if prior is None else float(prior),
        pos_weight=float(pos_weight),
        f1=_f1(counts, odds),
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
    ranking: Ranking,
    scores: NDArray[np.float32],
    truth: NDArray[np.int8],
    platt: Platt,
    aim: Objective,
    method: str,
    confidence: float,
) -> _Chosen:
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


def _odds(probability: float) -> float:
    return probability / (1.0 - probability)


def _f1(counts: Counts, odds: float) -> float | None:
    if odds == 1.0 or counts.f1 is None:
        return counts.f1
    cells = (np.array(float(cell)) for cell in (counts.tp, counts.fp, counts.fn, counts.tn))
    return float(FBeta(odds=odds)(*cells))


def _check_arguments(
    pos_weight: float, objective: str, method: str, confidence: float, prior: float | None
) -> Objective:
    aim = parse_objective(objective)
    if method not in METHODS:
        raise RecipeError(f"unknown calibration method {method!r}; choose from {', '.join(METHODS)}")
    if isinstance(aim, Floor | Budget) and method != "auto":
        raise RecipeError(f"method {method!r} does not go with the objective {objective!r}; leave method out")
    if not (math.isfinite(pos_weight) and pos_weight > 0):
        raise RecipeError(f"pos_weight must be above 0, got {pos_weight}")
    if not 0.0 < confidence < 1.0:
        raise RecipeError(f"confidence lies between 0 and 1, got {confidence}")
    if prior is not None and not 0.0 < prior < 1.0:
        raise RecipeError(f"prior lies between 0 and 1, got {prior}")
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
