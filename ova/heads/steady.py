"""The default rule for a threshold: what the data say, steadied by a model as far as the model fits them.

With few positives the empirical optimum is noisy. Two things steady it: the mean of the optima of bootstrap
samples, and the optimum under calibrated probabilities. The second assumes a shape, and both fail where the
scores form clusters: the mean of two good thresholds can lie in the valley between them. So

1. the model is Firth's regression, which does not depend on the scale of the scores;
2. its misfit is measured on the same rows, by the largest cumulative residual in units of its deviation, as
   in the tests of Lin, Wei and Ying (2002). Trust in it falls from 1 at a misfit of 0.6 to 0 at 1.4. Trusted,
   it has a weight of 0.6 against the mean of the bootstrap optima; distrusted, their median is taken;
3. the value that the result loses to the empirical optimum is compared with the bootstrap deviation of that
   loss. Where misfit times this ratio is large, nothing is averaged: the median of the bootstrap optima of
   counts that are mixed with the model's is taken, as if it had seen 24 positives (times the trust in it).

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
from ova.heads.plugin import plugin_at
from ova.heads.ranking import FloatArray, Ranking
from ova.heads.thresholds import Bags, best_cut

_MODEL_WEIGHT = 0.6
_FITS, _FITS_NOT = 0.6, 1.4
# The misfit that a model of a given kind shows grows with the root of the positives, hence the power of P.
_DOUBT, _DOUBT_POSITIVES, _DOUBT_POWER = 1.05, 24.0, 1 / 3
_MODEL_POSITIVES = 24.0
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
    bags = Bags.draw(ranking, objective)
    optima = bags.thresholds(objective)
    model = _fit_model(ranking)
    threshold = float(np.median(optima)) if model is None else _steadied(bags, optima, model, objective)
    low, high = np.percentile(optima, [5.0, 95.0]).tolist()
    return Steady(float(np.float32(threshold)), low, high)


def _steadied(bags: Bags, optima: FloatArray, model: Platt, objective: Maximised) -> float:
    ranking = bags.ranking
    misfit = cumulative_misfit(ranking, model)
    trust = float(np.clip((_FITS_NOT - misfit) / (_FITS_NOT - _FITS), 0.0, 1.0))
    centre = trust * float(optima.mean()) + (1.0 - trust) * float(np.median(optima))
    plugged_in = plugin_at(ranking.scores, ranking.rows, model, objective)
    threshold = centre + _MODEL_WEIGHT * trust * (plugged_in - centre)
    limit = _DOUBT * max(1.0, ranking.positives / _DOUBT_POSITIVES) ** _DOUBT_POWER
    if misfit * _loss_ratio(ranking, objective, threshold) <= limit:
        return threshold
    expected = ranking.rows * model.probability(ranking.scores)
    seen = _MODEL_POSITIVES * trust
    share = seen / (seen + ranking.positives)
    return float(np.median(bags.thresholds(objective, expected, share)))


def _fit_model(ranking: Ranking) -> Platt | None:
    positives = np.diff(ranking.tp, prepend=0.0)
    drawn = within_reach(ranking.scores, ranking.rows, positives)
    return fit_firth(drawn, ranking.rows, positives)


def cumulative_misfit(ranking: Ranking, model: Platt) -> float:
    """Return the largest |sum(y - p)| over the rows above any score, over sqrt(sum p (1 - p)) of all rows."""
    p = model.probability(ranking.scores)
    deviation = float(np.sqrt(ranking.rows @ (p * (1.0 - p))))
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
