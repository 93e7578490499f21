"""The default rule for a threshold: the best of a smoothed curve, and a vote where the model is in doubt.

With few positives the empirical optimum is noisy. Smoothing steadies it (`ova.heads.smoothed`): over
neighbouring thresholds, and towards the counts of Firth's regression, which does not depend on the scale of
the scores. Where the scores form clusters, much smoothing fills the valleys between them. So

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
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ova.heads.firth import fit_firth
from ova.heads.objectives import Maximised
from ova.heads.outliers import within_reach
from ova.heads.platt import Platt
from ova.heads.ranking import FloatArray, Ranking
from ova.heads.smoothed import SmoothedCurve, Spread
from ova.heads.thresholds import Bags, best_cut

# Width of the smoothing in log odds at 24 positives, and positives that the model counts as.
_LEVELS = ((0.5, 110.0), (0.24, 26.0), (0.15, 10.0))
_DOUBT, _MORE_DOUBT = 0.6, 0.9
_FLAT = 0.5
# A kernel that is best narrows with the fifth root of the rows (Silverman 1986); a model of a given kind
# misfits more with more positives.
_POSITIVES, _WIDTH_POWER, _DOUBT_POWER = 24.0, 0.2, 0.5
_DRAWS = 200
_SEED = 20_261_121


@dataclass(frozen=True)
class Steady:
    """A threshold and how far the data pin it down."""

    threshold: float
    """A logit, rounded to float32."""
    low: float
    """5th percentile of the best thresholds of bootstrap samples."""
    high: float
    """95th percentile."""


def steady(ranking: Ranking, objective: Maximised) -> Steady:
    """Choose a threshold by the rule above.

    Args:
        ranking: The calibration rows, with at least one positive and one negative.
        objective: What to maximise.
    """
    optima = Bags.draw(ranking, objective).thresholds(objective)
    usual = float(np.median(optima))
    positives = ranking.positive_rows
    drawn = within_reach(ranking.scores, ranking.rows, positives)
    model = fit_firth(drawn, ranking.rows, positives)
    threshold = usual
    if model is not None:
        threshold = _steadied(ranking, usual, model, Spread.of(ranking, drawn), objective)
    low, high = np.percentile(optima, [5.0, 95.0]).tolist()
    return Steady(float(np.float32(threshold)), low, high)


def _steadied(ranking: Ranking, usual: float, model: Platt, spread: Spread, objective: Maximised) -> float:
    curve = SmoothedCurve.of(ranking, model, spread)
    best = _best(curve, objective, 0)
    loss = max(_loss_ratio(ranking, objective, best), 0.0)
    doubt = cumulative_misfit(ranking, model) ** 2 * np.sqrt(loss * (spread.flatness + _FLAT))
    limit = max(1.0, ranking.positives / _POSITIVES) ** _DOUBT_POWER
    if doubt < _DOUBT * limit:
        return best
    first = 0 if doubt < _MORE_DOUBT * limit else 1
    return float(np.median([usual, *(_best(curve, objective, level) for level in (first, first + 1))]))


def _best(curve: SmoothedCurve, objective: Maximised, level: int) -> float:
    width, seen = _LEVELS[level]
    narrower = (_POSITIVES / curve.ranking.positives) ** _WIDTH_POWER
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
    counts = draw.multinomial(int(total), sizes, size=_DRAWS).astype(np.float64)
    return counts[:, 0], counts[:, 0] + counts[:, 1]
