"""The value of every threshold, smoothed: over its neighbours, and towards what a model expects.

The empirical value jumps at every positive, and its highest jump is partly luck. Two things steady the curve:

1. the counts at a threshold are the mean of the counts at thresholds around it, normally distributed: what
   they would be if scores were known up to an error of that width;
2. they are mixed with the counts that a model expects, as if it had seen so many positives.

The best threshold of such a curve is one of the tops of the data, never the valley between two
of them, as the mean of several good thresholds can be.

Shape letters: g distinct scores, c candidate thresholds, q normal quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ova.heads.objectives import Maximised
from ova.heads.platt import Platt
from ova.heads.ranking import FloatArray, Ranking

_QUANTILES = ndtri((np.arange(40) + 0.5) / 40)
# Positives between which candidates lie, and candidates from one to the next.
_ANCHORS, _STEPS = 33, 8
# How far candidates go beyond the positives, in units.
_BEYOND = 0.5


@dataclass(frozen=True)
class Spread:
    """How the scores of the positives lie, outliers drawn in."""

    deviation: float
    """Standard deviation, in units of the scores."""
    flatness: float
    """3 less the kurtosis, from 0 to 2: 0 for a normal, 1.2 for a uniform, 2 for two equal points."""

    @classmethod
    def of(cls, ranking: Ranking, drawn: FloatArray) -> Spread:
        """Measure the positives of a ranking.

        Args:
            ranking: The rows.
            drawn: (g,) their scores, outliers drawn in (`ova.heads.outliers.within_reach`).
        """
        held = ranking.under_positives
        scores, share = drawn[held], ranking.positive_rows[held] / ranking.positives
        # Sums and not scalar products, for which BLAS would start threads of threads.
        away = scores - (share * scores).sum()
        deviation = float(np.sqrt((share * away**2).sum()))
        if deviation == 0.0:
            return cls(0.0, 0.0)
        return cls(deviation, float(np.clip(3.0 - (share * (away / deviation) ** 4).sum(), 0.0, 2.0)))


@dataclass(frozen=True)
class SmoothedCurve:
    """What candidate thresholds flag, by the data and by a model.

    Attributes:
        ranking: The rows.
        unit: Scores that are one apart in log odds, or a standard deviation of the positives if that is less.
        candidates: (c,) thresholds from high to low.
        expected: (g,) positives that the model expects at and above each score.
    """

    ranking: Ranking
    unit: float
    candidates: FloatArray
    expected: FloatArray

    @classmethod
    def of(cls, ranking: Ranking, model: Platt, spread: Spread) -> SmoothedCurve:
        """Prepare the curve; the slope of the model is above 0."""
        unit = min(1.0 / model.slope, spread.deviation)
        expected = np.cumsum(ranking.rows * model.probability(ranking.scores))
        return cls(ranking, unit, _candidates(ranking, _BEYOND * unit), expected)

    def best(self, objective: Maximised, width: float, seen: float) -> float:
        """Return the candidate with the highest smoothed value.

        Args:
            objective: What is maximised.
            width: Standard deviation of the neighbours, in units.
            seen: Positives that the model counts as.
        """
        around = self._flagged(self.candidates[:, None] + width * self.unit * _QUANTILES)
        here = self._flagged(self.candidates)
        share = seen / (seen + self.ranking.positives)

        def mixed(own: FloatArray, expected: FloatArray) -> tuple[FloatArray, FloatArray]:
            counts = (1.0 - share) * np.append(0.0, own)[around].mean(axis=1)
            total = (1.0 - share) * own[-1] + share * expected[-1]
            counts = counts + share * np.append(0.0, expected)[here]
            return counts, total - counts

        tp, fn = mixed(self.ranking.tp, self.expected)
        fp, tn = mixed(self.ranking.fp, self.ranking.flagged - self.expected)
        return float(self.candidates[np.argmax(objective(tp, fp, fn, tn))])

    def _flagged(self, thresholds: FloatArray) -> NDArray[np.intp]:
        """How many distinct scores thresholds flag, same shape."""
        return np.searchsorted(-self.ranking.scores, -thresholds, side="right")


def _candidates(ranking: Ranking, beyond: float) -> FloatArray:
    """Thresholds between neighbouring positives, or a sample of them, and a little beyond."""
    anchors = ranking.scores[ranking.under_positives]
    if anchors.size > _ANCHORS:
        anchors = anchors[np.linspace(0, anchors.size - 1, _ANCHORS).round().astype(np.intp)]
    anchors = np.concatenate(([anchors[0] + beyond], anchors, [anchors[-1] - beyond]))
    # Between steps, so that no candidate is a score, which could fall to either side elsewhere.
    steps = (np.arange(_STEPS) + 0.5) / _STEPS
    return (anchors[:-1, None] + np.diff(anchors)[:, None] * steps).ravel()
