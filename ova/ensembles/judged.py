"""A head as its threshold sees it, on calibration rows."""

from __future__ import annotations

from dataclasses import dataclass

from ova.ensembles.common_rows import ScoredHead
from ova.heads.recipe import KEPT_DEFAULT, CalibrationSettings
from ova.heads.scores import Scores
from ova.heads.threshold_choice import choose_threshold


@dataclass(frozen=True, eq=False)
class Judged:
    """Values, what they are compared with, and how that was chosen."""

    name: str
    settings: CalibrationSettings
    scores: Scores
    """Raw logits, or log odds where the head is stacked."""
    threshold: float
    free: bool
    """Whether rows chose the threshold; it was left at the default otherwise."""
    pos_weight: float = 1.0
    """Odds of a positive in the values, over the true odds."""
    proper_loss: bool = True
    """Whether the values come from a loss with its minimum at the true probability."""
    prior: float | None = None
    """Share of positives where the head will work, if that is not the one of its rows."""

    @classmethod
    def of(cls, head: ScoredHead) -> Judged:
        """Take a head that decides alone."""
        calibration = head.calibration
        return cls(
            head.name,
            head.settings,
            head.scores,
            calibration.threshold,
            calibration.method != KEPT_DEFAULT,
            calibration.pos_weight,
            head.proper_loss,
            calibration.prior if calibration.adaptation else None,
        )

    def choose(self, objective: str) -> float:
        """Choose a threshold for another objective, by the method of the head's recipe."""
        return choose_threshold(
            self.scores.logits,
            self.scores.labels,
            pos_weight=self.pos_weight,
            proper_loss=self.proper_loss,
            objective=objective,
            method=self.settings.method,
            prior=self.prior,
        ).threshold
