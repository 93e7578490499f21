"""The default rule: the best of a smoothed curve, and a vote where the model is in doubt.

With few positives the empirical optimum is noisy: the value jumps at every positive, and its highest jump is
partly luck. Two things steady the curve:

- the counts at a threshold are the mean of the counts at thresholds around it, normally distributed: what
  they would be if scores were known up to an error of that width;
- they are mixed with the counts that a model expects, as if it had seen so many positives. The model is
  Firth's regression, which does not depend on the scale of the scores.

The best threshold of such a curve is one of the tops of the data, never the valley between two of them, as
the mean of several good thresholds can be. But where the scores form clusters, much smoothing fills the
valleys between them. So

1. the threshold is the best of a curve that is smoothed much, unless
2. doubt is large. It is the product of three things: the misfit of the model on the same rows (the largest
   cumulative residual in units of its deviation, as in the tests of Lin, Wei and Ying 2002), squared; and the
   root of what the threshold loses to the empirical optimum, in bootstrap deviations of that loss, times how
   flat the scores of the positives lie (clumps have a low kurtosis);
3. in doubt three thresholds vote, and the middle one is taken: the best of the curve smoothed much, the best
   of it smoothed less, and the median of the optima of bootstrap samples. In greater doubt both curves are
   smoothed one step less. A vote never lands in a valley that none of the three has chosen, as a mean can.

The numbers were chosen on simulated scores; `benchmarks/thresholds.py` shows what the rule does on them and
on others, beside the exact optimum.

Shape letters: g distinct scores, c candidate thresholds, q normal quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from ova.arrays import FloatArray
from ova.heads.calibration.calibrators.blocks import clip_outliers
from ova.heads.calibration.calibrators.firth import fit_firth
from ova.heads.calibration.calibrators.platt import Platt
from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.sweep import Bags, best_cut
from ova.heads.threshold_objectives import Maximised

# Width of the smoothing in log odds at 24 positives, and positives that the model counts as.
_LEVELS = ((0.5, 110.0), (0.24, 26.0), (0.15, 10.0))
# Doubt from which three thresholds vote, and from which they are smoothed one step less.
_DOUBT, _MORE_DOUBT = 0.6, 0.9
_LEAST_FLATNESS = 0.5  # added, so that doubt does not vanish where scores are normal
# A kernel that is best narrows with the fifth root of the rows (Silverman 1986); a model of a given kind
# misfits more with more positives.
_USUAL_POSITIVES, _WIDTH_POWER, _DOUBT_POWER = 24.0, 0.2, 0.5
_LOSS_DRAWS = 200
_SEED = 20_261_121
_QUANTILES = ndtri((np.arange(40) + 0.5) / 40)
# Positives between which candidates lie, and candidates from one to the next.
_ANCHORS, _STEPS_BETWEEN = 33, 8
# How far candidates go beyond the positives, in units.
_BEYOND = 0.5


@dataclass(frozen=True)
class SmoothedThreshold:
    """A threshold and how far the data pin it down."""

    threshold: float
    """A logit, rounded to float32."""
    low: float
    """5th percentile of the best thresholds of bootstrap samples."""
    high: float
    """95th percentile."""


def smoothed_threshold(ranking: Ranking, objective: Maximised) -> SmoothedThreshold:
    """Choose a threshold by the rule above.

    Args:
        ranking: The calibration rows, with at least one positive and one negative.
        objective: What to maximise.
    """
    optima = Bags.draw(ranking, objective).thresholds(objective)
    median = float(np.median(optima))
    positives = ranking.positive_rows
    drawn = clip_outliers(ranking.scores, ranking.rows, positives)
    model = fit_firth(drawn, ranking.rows, positives)
    threshold = median
    if model is not None:
        threshold = _best_or_vote(ranking, median, model, Spread.of(ranking, drawn), objective)
    low, high = np.percentile(optima, [5.0, 95.0]).tolist()
    return SmoothedThreshold(float(np.float32(threshold)), low, high)


def _best_or_vote(
    ranking: Ranking, median: float, model: Platt, spread: Spread, objective: Maximised
) -> float:
    curve = SmoothedCurve.of(ranking, model, spread)
    best = _best(curve, objective, 0)
    loss = max(_loss_ratio(ranking, objective, best), 0.0)
    doubt = cumulative_misfit(ranking, model) ** 2 * np.sqrt(loss * (spread.flatness + _LEAST_FLATNESS))
    limit = max(1.0, ranking.positives / _USUAL_POSITIVES) ** _DOUBT_POWER
    if doubt < _DOUBT * limit:
        return best
    first = 0 if doubt < _MORE_DOUBT * limit else 1
    return float(np.median([median, *(_best(curve, objective, level) for level in (first, first + 1))]))


def _best(curve: SmoothedCurve, objective: Maximised, level: int) -> float:
    width, seen = _LEVELS[level]
    narrower = (_USUAL_POSITIVES / curve.ranking.positives) ** _WIDTH_POWER
    return curve.best(objective, width * narrower, seen)


def cumulative_misfit(ranking: Ranking, model: Platt) -> float:
    """Return the largest |sum(y - p)| over the rows above any score, over sqrt(sum p (1 - p)) of all rows."""
    p = model.probability(ranking.scores)
    deviation = float(np.sqrt((ranking.rows * p * (1.0 - p)).sum()))
    residual = float(np.abs(ranking.tp - np.cumsum(ranking.rows * p)).max())
    return residual / max(deviation, float(np.finfo(np.float64).tiny))


def _loss_ratio(ranking: Ranking, objective: Maximised, threshold: float) -> float:
    """Return how much value a threshold loses to the best cut, over the bootstrap deviation of that loss.

    The two cuts part the rows into three cells, so that a bootstrap sample is two multinomial draws.
    """
    best, _ = best_cut(ranking, objective)
    one = (float(ranking.tp[best - 1]), float(ranking.fp[best - 1])) if best else (0.0, 0.0)
    other = ranking.counts_at(threshold)
    if one == other:
        return 0.0
    loss = _value(ranking, objective, *one) - _value(ranking, objective, *other)
    draw = np.random.default_rng(_SEED)
    tp = _cells(one[0], other[0], ranking.positives, draw)
    fp = _cells(one[1], other[1], ranking.negatives, draw)
    losses = _value(ranking, objective, tp[0], fp[0]) - _value(ranking, objective, tp[1], fp[1])
    return float(loss / max(float(np.std(losses)), float(np.finfo(np.float64).tiny)))


def _value(
    ranking: Ranking, objective: Maximised, tp: FloatArray | float, fp: FloatArray | float
) -> FloatArray:
    tp, fp = np.asarray(tp, np.float64), np.asarray(fp, np.float64)
    return objective(tp, fp, ranking.positives - tp, ranking.negatives - fp)


def _cells(
    one: float, other: float, total: float, draw: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw how many of `total` rows lie above the higher and above the lower of two nested cuts."""
    few, many = sorted((one, other))
    sizes = np.array([few, many - few, total - many]) / total
    counts = draw.multinomial(int(total), sizes, size=_LOSS_DRAWS).astype(np.float64)
    return counts[:, 0], counts[:, 0] + counts[:, 1]


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
            drawn: (g,) their scores, outliers drawn in
                (`ova.heads.calibration.calibrators.blocks.clip_outliers`).
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
    steps = (np.arange(_STEPS_BETWEEN) + 0.5) / _STEPS_BETWEEN
    return (anchors[:-1, None] + np.diff(anchors)[:, None] * steps).ravel()
