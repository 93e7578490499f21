"""What a threshold is best at: the objectives that a recipe may name, as text.

f1, f2, f0.5          F-beta: recall counts beta times as much as precision
cost 10:1             a missed positive costs 10, a false alarm 1
recall >= 0.9         find at least this share of the positives, with as few alarms as possible
precision >= 0.8      at least this share of the alarms is right, with as many positives as possible
alarms <= 0.05        flag at most this share of all images, with as many positives as possible
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

from ova.arrays import FloatArray
from ova.errors import RecipeError

_FORMS = "f1, f2, f0.5, cost 10:1, recall >= 0.9, precision >= 0.8, alarms <= 0.05"
_NUMBER = r"(\d+(?:\.\d+)?)"


@dataclass(frozen=True)
class FBeta:
    """(1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP), van Rijsbergen 1979."""

    beta: float = 1.0
    odds: float = 1.0
    """Odds of a positive where the threshold will work, over those in the rows that are counted."""

    def __call__(self, tp: FloatArray, fp: FloatArray, fn: FloatArray, tn: FloatArray) -> FloatArray:
        """Return the value of each cut; needs a positive."""
        del tn
        square = self.beta**2
        return (1.0 + square) * tp / ((1.0 + square) * tp + square * fn + fp / self.odds)


@dataclass(frozen=True)
class Cost:
    """Minus the cost per row, where a missed positive and a false alarm have a price."""

    miss: float
    alarm: float

    def __call__(self, tp: FloatArray, fp: FloatArray, fn: FloatArray, tn: FloatArray) -> FloatArray:
        """Return the value of each cut."""
        return -(self.miss * fn + self.alarm * fp) / (tp + fp + fn + tn)


@dataclass(frozen=True)
class Floor:
    """A share that must be reached: of the positives (recall) or of the alarms (precision)."""

    of: Literal["recall", "precision"]
    least: float
    odds: float = 1.0
    """Odds of a positive where the promise must hold, over those in the rows that are counted."""


@dataclass(frozen=True)
class Budget:
    """The largest share of all images that may be flagged."""

    most: float


Maximised = FBeta | Cost
Objective = FBeta | Cost | Floor | Budget


def parse_objective(text: str) -> Objective:
    """Read the text of an objective.

    Raises:
        RecipeError: It is none of the forms, or a number is out of range.
    """
    if match := re.fullmatch(rf"f{_NUMBER}", text.strip()):
        beta = float(match[1])
        return _within(text, FBeta(beta), 0.0 < beta <= 100.0, "beta goes from above 0 to 100")
    if match := re.fullmatch(rf"cost\s+{_NUMBER}\s*:\s*{_NUMBER}", text.strip()):
        miss, alarm = float(match[1]), float(match[2])
        sound = 0.0 < miss < math.inf and 0.0 < alarm < math.inf
        return _within(text, Cost(miss, alarm), sound, "both prices must be above 0")
    if match := re.fullmatch(rf"(recall|precision)\s*>=\s*{_NUMBER}", text.strip()):
        share = float(match[2])
        floor = Floor("recall" if match[1] == "recall" else "precision", share)
        return _within(text, floor, 0.0 < share < 1.0, "the share lies between 0 and 1")
    if match := re.fullmatch(rf"alarms\s*<=\s*{_NUMBER}", text.strip()):
        share = float(match[1])
        return _within(text, Budget(share), 0.0 < share < 1.0, "the share lies between 0 and 1")
    raise RecipeError(f"unknown objective {text!r}; write it like one of: {_FORMS}")


def at_odds(objective: Objective, odds: float) -> Objective:
    """Return what to aim at on rows in which positives are rarer or more common than where it counts.

    If only the prior differs (the scores of positives and of negatives stay as they are), every positive row
    stands for `odds` positives per negative. Recall does not depend on the prior.

    Args:
        objective: What is wanted there.
        odds: Odds of a positive there, over those in the rows.

    Raises:
        RecipeError: It is a budget of alarms, which rows of another prior cannot keep.
    """
    if isinstance(objective, Budget):
        raise RecipeError(
            "alarms <= x cannot be kept at another prior than that of the rows; give the new scores: "
            "ova calibrate --unlabeled SCORES.csv"
        )
    if isinstance(objective, Cost):
        return Cost(objective.miss * odds, objective.alarm)
    return replace(objective, odds=objective.odds * odds)


def _within(text: str, objective: Objective, sound: bool, rule: str) -> Objective:
    if not sound:
        raise RecipeError(f"objective {text!r}: {rule}")
    return objective
