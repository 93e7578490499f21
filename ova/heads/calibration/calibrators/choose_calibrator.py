"""Which map suffices: a line in log odds (Platt, Firth), beta, or isotonic.

The line is Platt's, or Firth's where the labels contradict Platt's priors. Whether it suffices is asked on
rows that the fit has not seen, with the one-standard-error rule: the simplest map of which the log-loss is
within one standard error of the best. Below 100 rows of either class the answer is the line, and isotonic
takes part from 1,000 on.

Shape letters: n rows, g blocks of neighbouring scores, F folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ova.arrays import FloatArray
from ova.heads.calibration.calibrators.beta import bend_knots, beta_log_odds, fit_beta
from ova.heads.calibration.calibrators.blocks import balanced_starts, clip_outliers
from ova.heads.calibration.calibrators.curve import Curve, curve_through
from ova.heads.calibration.calibrators.firth import fit_firth
from ova.heads.calibration.calibrators.isotonic import fit_isotonic
from ova.heads.calibration.calibrators.platt import Platt, fit_platt
from ova.heads.calibration.ranking import Ranking

_CONFLICT_NATS = 4.6
FEWEST_FOR_BETA, FEWEST_FOR_ISOTONIC = 100, 1000
_FOLDS, _MOST_BLOCKS, _SEED = 5, 1000, 20_261_121


def fit_probabilities(
    scores: NDArray[np.float32], truth: NDArray[np.int8], shift: float, proper: bool
) -> Platt:
    """Fit MAP-Platt; where the labels contradict its priors, Firth's regression, which has none.

    Logits of a scale that no network has (probabilities, say) lie many deviations from the priors. A gain of
    `_CONFLICT_NATS` nats by two parameters is a likelihood-ratio test at about 1 %.

    Args:
        scores: (n,) finite logits.
        truth: (n,) 0 or 1.
        shift: How far training moved the logits up.
        proper: Whether the loss has its minimum at the true probability.

    Raises:
        DataError: The head ranks backwards.
    """
    single, positives = np.ones(scores.size), truth.astype(np.float64)
    drawn = clip_outliers(scores.astype(np.float64), single, positives)
    platt = fit_platt(drawn, truth, shift=shift, proper=proper)
    free = fit_firth(drawn, single, positives)
    if free is not None and _log_loss(platt, drawn, truth) - _log_loss(free, drawn, truth) > _CONFLICT_NATS:
        return free
    return platt


def _log_loss(platt: Platt, scores: NDArray[np.float64], truth: NDArray[np.int8]) -> float:
    """Return the summed cross-entropy in nats."""
    z = platt.log_odds(scores)
    return float(np.sum(np.logaddexp(0.0, z) - truth * z))


def choose_curve(ranking: Ranking) -> Curve | None:
    """Choose between the line (None), beta and isotonic, and fit the one that was chosen to all rows.

    Rows are taken in at most 1,000 blocks of neighbouring scores. Folds are drawn within each class, in the
    order of the scores, so that the order of the rows has no part in it.

    Args:
        ranking: The calibration rows.
    """
    fewest = min(ranking.positives, ranking.negatives)
    if fewest < FEWEST_FOR_BETA:
        return None
    kinds = ["line", "beta", "isotonic"][: 3 if fewest >= FEWEST_FOR_ISOTONIC else 2]
    blocks = _Blocks.of(ranking)
    folds = _deal(blocks, np.random.default_rng(_SEED))
    losses = [_Losses.of(kind, blocks, folds) for kind in kinds]
    if any(each is None for each in losses):
        return None
    chosen = _simplest([each for each in losses if each is not None])
    fitted = _fit(kinds[chosen], blocks)
    return fitted[1] if fitted is not None else None


@dataclass(frozen=True)
class _Blocks:
    """Mean scores from low to high, rows and positive rows: (g,) each."""

    scores: FloatArray
    rows: FloatArray
    positives: FloatArray

    @classmethod
    def of(cls, ranking: Ranking) -> _Blocks:
        scores, rows = ranking.scores[::-1], ranking.rows[::-1]
        positives = ranking.positive_rows[::-1]
        scores = clip_outliers(scores, rows, positives)
        starts = balanced_starts(rows, positives, _MOST_BLOCKS)
        total = np.add.reduceat(rows, starts)
        mean = np.add.reduceat(scores * rows, starts) / total
        return cls(mean, total, np.add.reduceat(positives, starts))


def _deal(blocks: _Blocks, draw: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Deal the rows of either class to folds: positive and negative rows of each block, (g, F)."""

    def deal(counts: FloatArray) -> FloatArray:
        block = np.repeat(np.arange(len(counts)), counts.astype(np.intp))
        fold = draw.permutation(len(block)) % _FOLDS
        dealt = np.bincount(block * _FOLDS + fold, minlength=len(counts) * _FOLDS)
        return dealt.reshape(-1, _FOLDS).astype(np.float64)

    return deal(blocks.positives), deal(blocks.rows - blocks.positives)


@dataclass(frozen=True)
class _Losses:
    """Nested log-loss of a positive and of a negative row by block and fold, and their numbers: (g, F)."""

    of_positive: FloatArray
    of_negative: FloatArray
    positives: FloatArray
    negatives: FloatArray

    @classmethod
    def of(cls, kind: str, blocks: _Blocks, folds: tuple[FloatArray, FloatArray]) -> _Losses | None:
        positives, negatives = folds
        columns = []
        for fold in range(_FOLDS):
            seen = blocks.positives - positives[:, fold]
            rows = seen + blocks.rows - blocks.positives - negatives[:, fold]
            some = rows > 0
            fitted = _fit(kind, _Blocks(blocks.scores[some], rows[some], seen[some]))
            if fitted is None:
                return None
            line, curve = fitted
            columns.append(curve(blocks.scores) if curve else line.log_odds(blocks.scores))
        z = np.column_stack(columns)
        return cls(np.logaddexp(0.0, -z), np.logaddexp(0.0, z), positives, negatives)

    def excess(self, other: _Losses) -> tuple[float, float]:
        """Return mean and standard error of the difference to another map's losses, row by row."""
        of_positive, of_negative = self.of_positive - other.of_positive, self.of_negative - other.of_negative
        rows = self.positives.sum() + self.negatives.sum()
        mean = (self.positives * of_positive + self.negatives * of_negative).sum() / rows
        square = (self.positives * of_positive**2 + self.negatives * of_negative**2).sum() / rows
        return float(mean), float(np.sqrt(max(square - mean**2, 0.0) / rows))


def _simplest(losses: list[_Losses]) -> int:
    """Return the first of the maps, simplest first, that is within one standard error of the best."""
    best = losses[int(np.argmin([each.excess(losses[0])[0] for each in losses]))]
    excesses = [each.excess(best) for each in losses]
    return next(place for place, (mean, error) in enumerate(excesses) if mean <= error)


def _fit(kind: str, blocks: _Blocks) -> tuple[Platt, Curve | None] | None:
    """Fit the line, and the curve on its log odds; None if the head ranks backwards."""
    line = fit_firth(blocks.scores, blocks.rows, blocks.positives)
    if line is None:
        return None
    z = line.log_odds(blocks.scores)
    if kind == "beta":
        knots = bend_knots()
        point = fit_beta(z, blocks.rows, blocks.positives)
        scores = _in_float32((knots - line.intercept) / line.slope)
        return line, curve_through(kind, scores, beta_log_odds(point, line.log_odds(scores)))
    if kind == "isotonic":
        knots, values = fit_isotonic(z, blocks.rows, blocks.positives)
        return line, curve_through(kind, (knots - line.intercept) / line.slope, values)
    return line, None


def _in_float32(knots: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):
        return knots.astype(np.float32).astype(np.float64)
