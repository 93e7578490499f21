"""The threshold half of calibration: held-out logits and labels -> the logit from which a head says yes.

Each objective and method has its rule: "auto" that of `ova.heads.calibration.threshold.smoothed`, "argmax"
and "bagged" those of `ova.heads.calibration.threshold.sweep`, promises those of
`ova.heads.calibration.threshold.guarantees`. "plugin" is here.

Shape letters: n rows, g distinct scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.arrays import FloatArray
from ova.errors import RecipeError
from ova.heads.calibration.calibrators.choose_calibrator import fit_probabilities
from ova.heads.calibration.calibrators.platt import Platt
from ova.heads.calibration.ranking import LabelledRows
from ova.heads.calibration.threshold.guarantees import guaranteed_threshold
from ova.heads.calibration.threshold.smoothed import smoothed_threshold
from ova.heads.calibration.threshold.sweep import bagged, sweep
from ova.heads.recipe import KEPT_DEFAULT, METHODS
from ova.heads.threshold_objectives import (
    Budget,
    Cost,
    FBeta,
    Floor,
    Maximised,
    Objective,
    at_odds,
    parse_objective,
)


@dataclass(frozen=True)
class ThresholdTask:
    """What a threshold is chosen for, and by which rule; see `calibrate_scores` for each of them."""

    pos_weight: float = 1.0
    proper_loss: bool = True
    objective: str = "f1"
    method: str = "auto"
    confidence: float = 0.95
    prior: float | None = None

    def aim(self) -> Objective:
        """Return what is to be best.

        Raises:
            RecipeError: A value is impossible, or two contradict each other.
        """
        aim = parse_objective(self.objective)
        if self.method not in METHODS:
            raise RecipeError(f"unknown calibration method {self.method!r}; choose from {', '.join(METHODS)}")
        if isinstance(aim, Floor | Budget) and self.method != "auto":
            raise RecipeError(
                f"method {self.method!r} does not go with the objective {self.objective!r}; leave method out"
            )
        if not (math.isfinite(self.pos_weight) and self.pos_weight > 0):
            raise RecipeError(f"pos_weight must be above 0, got {self.pos_weight}")
        if not 0.0 < self.confidence < 1.0:
            raise RecipeError(f"confidence lies between 0 and 1, got {self.confidence}")
        if self.prior is not None and not 0.0 < self.prior < 1.0:
            raise RecipeError(f"prior lies between 0 and 1, got {self.prior}")
        return aim


@dataclass(frozen=True, eq=False)
class ThresholdChoice:
    """A threshold, how it was chosen, and the line in log odds that goes with it."""

    threshold: float
    """A logit, exact in float32; the head says yes at and above it."""
    low: float | None
    """5th percentile of the best thresholds of bootstrap samples; None for other methods than "auto"."""
    high: float | None
    """95th percentile."""
    method: str
    """The rule that chose it, or "default" where the rows did not suffice."""
    note: str | None
    """Why the default was kept, or what the objective asks for in vain, or None."""
    line: Platt
    """Log odds of the probability (MAP-Platt), at the prior that was asked for."""
    prior: float | None
    """Share of positives that it was chosen for; None if that is the one of the rows."""
    odds: float
    """Of a positive at that prior, over those in the rows."""
    rows: LabelledRows
    """What it was chosen on."""

    def decide(self, logits: ArrayLike) -> NDArray[np.bool_]:
        """Decisions on raw logits: any shape, compared in float32 as the exported model does."""
        return np.asarray(np.asarray(logits, np.float32) >= np.float32(self.threshold), np.bool_)


def choose_threshold(
    logits: ArrayLike,
    labels: ArrayLike,
    task: ThresholdTask = ThresholdTask(),
) -> ThresholdChoice:
    """Choose a threshold.

    Args:
        logits: (n,) raw scores, finite in float32.
        labels: (n,) 1, 0, or -1 for unknown.
        task: What it is for.

    Raises:
        DataError: Shapes, a logit or a label is impossible, no row is labelled, or the head ranks backwards.
        RecipeError: A value of the task is impossible, or two contradict each other.
    """
    aim, shift = task.aim(), math.log(task.pos_weight)
    rows = LabelledRows.of(logits, labels)
    if why := rows.why_too_poor():
        note = f"threshold left at probability 0.5: {why}"
        return ThresholdChoice(0.0, None, None, KEPT_DEFAULT, note, Platt(1.0, -shift), None, 1.0, rows)
    line, odds = fit_probabilities(rows.scores, rows.truth, shift, task.proper_loss), 1.0
    if task.prior is not None:
        odds = _odds(task.prior) / _odds(float(line.probability(rows.scores).mean()))
        aim = at_odds(aim, odds)
    found, line = _find(rows, line, aim, task), line.at_odds(odds)
    return ThresholdChoice(
        found.threshold, found.low, found.high, task.method, found.note, line, task.prior, odds, rows
    )


def _odds(probability: float) -> float:
    return probability / (1.0 - probability)


@dataclass(frozen=True)
class _Found:
    threshold: float
    low: float | None = None
    high: float | None = None
    note: str | None = None


def _find(rows: LabelledRows, line: Platt, aim: Objective, task: ThresholdTask) -> _Found:
    if isinstance(aim, Floor | Budget):
        guaranteed = guaranteed_threshold(rows.ranking, aim, task.confidence)
        return _Found(guaranteed.threshold, note=guaranteed.note)
    if task.method == "argmax":
        return _Found(sweep(rows.scores, rows.truth, objective=aim).threshold)
    if task.method == "bagged":
        return _Found(bagged(rows.scores, rows.truth, objective=aim))
    if task.method == "plugin":
        return _Found(plugin(rows.scores, line, objective=aim))
    found = smoothed_threshold(rows.ranking, aim)
    return _Found(found.threshold, found.low, found.high)


def plugin(logits: ArrayLike, platt: Platt, *, objective: Maximised = FBeta()) -> float:  # noqa: B008
    """Threshold that maximises the expected objective if the calibrated probabilities are true.

    Labels are not needed. See `best_probability`.

    Args:
        logits: (n,) finite scores of the rows to be decided on, n >= 1.
        platt: Their calibration.
        objective: What to maximise.

    Returns:
        A logit, rounded to float32: between the least and the greatest score for F-beta, of which the best
        cut always flags something, and at most as far beyond them as they are apart for a cost (1 if they
        are all equal).
    """
    scores = np.asarray(logits, np.float64)
    ranked = np.sort(scores)[::-1]
    return float(np.float32(_plugin_at(ranked, np.ones(ranked.size), platt, objective)))


def _plugin_at(scores: FloatArray, rows: FloatArray, platt: Platt, objective: Maximised) -> float:
    """As `plugin`, for distinct scores from high to low (g,) and the rows at each of them (g,)."""
    best = best_probability(platt.probability(scores), rows, objective)
    margin = (scores[0] - scores[-1] or 1.0) if isinstance(objective, Cost) else 0.0
    return float(np.clip(platt.logit_of(best), scores[-1] - margin, scores[0] + margin))


def best_probability(probabilities: FloatArray, rows: FloatArray, objective: Maximised) -> float:
    """Return the probability from which on flagging is best.

    For a cost it is alarm / (alarm + miss) (Elkan 2001). For F-beta it is F* / (1 + beta^2), F* the best
    expected value (Lipton, Elkan, Narayanaswamy 2014), and the expected value of flagging the k most probable
    rows is (1 + beta^2) sum(p of the flagged) / (k + beta^2 sum(p)). Where the objective is meant for other
    odds of a positive, every row stands for odds * p positives and 1 - p negatives, and the result is turned
    back into a probability at the odds of the rows.

    Args:
        probabilities: (g,) from high to low.
        rows: (g,) rows at each.
        objective: What to maximise.
    """
    if isinstance(objective, Cost):
        return objective.alarm / (objective.alarm + objective.miss)
    square = objective.beta**2
    expected = np.cumsum(rows * probabilities)
    flagged = np.cumsum(rows)
    if objective.odds != 1.0:
        flagged = flagged + (objective.odds - 1.0) * expected
        expected = objective.odds * expected
    values = (1.0 + square) * expected / (flagged + square * expected[-1])
    # The bounds keep the logit finite where every probability has underflowed or is 1.
    best = float(values.max()) / (1.0 + square)
    if objective.odds != 1.0:
        best = best / (best + objective.odds * (1.0 - best))
    return min(max(best, float(np.finfo(np.float64).tiny)), 1.0 - float(np.finfo(np.float64).epsneg))
