"""A head with its rows, as rules of an ensemble want it: `ova.ensembles.rule.rows.ScoredHead`."""

from __future__ import annotations

from dataclasses import dataclass

from ova.heads.calibration.calibration import Calibration
from ova.heads.recipe import CalibrationSettings
from ova.heads.scores import Scores


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of a head that nobody trained."""

    name: str
    calibration: Calibration
    settings: CalibrationSettings
    scores: Scores
    proper_loss: bool = True
