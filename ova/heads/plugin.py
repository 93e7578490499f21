"""The plug-in rule: the threshold that would be best if the calibrated probabilities were true."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ova.heads.objectives import Cost, FBeta, Maximised
from ova.heads.platt import Platt
from ova.heads.ranking import FloatArray


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
    return float(np.float32(plugin_at(ranked, np.ones(ranked.size), platt, objective)))


def plugin_at(scores: FloatArray, rows: FloatArray, platt: Platt, objective: Maximised) -> float:
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
