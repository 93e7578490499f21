"""Score families of which the truth is known, for benchmarks/thresholds.py.

`CHOSEN_ON` are the eight on which the default rule and its constants were developed; `OTHERS` have heavier
tails, other scales and more clusters. (The guards of the rule were tuned with an eye on these, too.) A side
is a mixture: (weight, distribution) pairs on the logit scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Side = list[tuple[float, Any]]


@dataclass(frozen=True)
class Family:
    """Scores of positives and negatives, multiplied by `scale` and moved by `move`."""

    positives: Side
    negatives: Side
    scale: float = 1.0
    move: float = 0.0

    def draw(self, positives: int, negatives: int, draw: np.random.Generator) -> NDArray[np.float64]:
        """Draw scores, the positives first: (positives + negatives,)."""
        sides = ((self.positives, positives), (self.negatives, negatives))
        return np.concatenate([self._sample(side, size, draw) for side, size in sides])

    def f1(self, thresholds: ArrayLike, prior: float) -> NDArray[np.float64]:
        """Return the population F1 at thresholds, same shape."""
        found, false = self._survival(self.positives, thresholds), self._survival(self.negatives, thresholds)
        return 2 * prior * found / (prior * found + (1 - prior) * false + prior)

    def best_f1(self, prior: float) -> float:
        """Return the largest population F1, on a grid of quantiles that is refined around its maximum."""
        scores = np.sort(self.draw(20_000, 20_000, np.random.default_rng(0)))
        best = int(self.f1(scores, prior).argmax())
        fine = np.linspace(scores[max(best - 200, 0)], scores[min(best + 200, len(scores) - 1)], 4001)
        return float(self.f1(fine, prior).max())

    def posterior(self, scores: NDArray[np.float64], prior: float) -> NDArray[np.float64]:
        """Return the true probability of a positive at scores."""
        unit = (scores - self.move) / self.scale
        one, other = (
            sum(weight * part.pdf(unit) for weight, part in side) for side in (self.positives, self.negatives)
        )
        return prior * one / (prior * one + (1 - prior) * other)

    def _survival(self, side: Side, thresholds: ArrayLike) -> NDArray[np.float64]:
        unit = (np.asarray(thresholds) - self.move) / self.scale
        return np.asarray(sum(weight * part.sf(unit) for weight, part in side))

    def _sample(self, side: Side, size: int, draw: np.random.Generator) -> NDArray[np.float64]:
        part_of = draw.choice(len(side), size, p=[weight for weight, _ in side])
        scores = np.empty(size)
        for number, (_, part) in enumerate(side):
            mine = part_of == number
            scores[mine] = part.rvs(size=int(mine.sum()), random_state=draw)
        return scores * self.scale + self.move


def _normals(*parts: tuple[float, float, float]) -> Side:
    return [(weight, stats.norm(mean, deviation)) for weight, mean, deviation in parts]


def _binormal(distance: float) -> Family:
    middle, spread = 1.5 * distance**2 / 2, 1.5 * distance
    return Family(_normals((1, middle, spread)), _normals((1, -middle, spread)))


_UNEQUAL = Family(_normals((1, 2.5, 2.6)), _normals((1, -2.5, 1.3)))
_HARD = Family(
    _normals((0.85, 4, 1.5), (0.15, -1, 1.5)),
    _normals((0.97, -4, 1.5), (0.03, 2, 1.5)),
)
_TWO_CLUSTERS = Family(
    _normals((0.5, 6, 1), (0.5, 0.5, 1)),
    _normals((0.9, -6, 1.5), (0.1, -1.2, 0.8)),
)
CHOSEN_ON = {
    "binormal 1.8": _binormal(1.8),
    "binormal 2.5": _binormal(2.5),
    "binormal 3.3": _binormal(3.3),
    "unequal variance": _UNEQUAL,
    "hard rows": _HARD,
    "skewed": Family([(1, stats.gumbel_l(3, 1.2))], [(1, stats.gumbel_r(-4, 1.3))]),
    "saturated": Family(
        _normals((0.9, 8, 2), (0.1, -4, 3)),
        _normals((0.985, -8, 2), (0.015, 3, 3)),
    ),
    "two clusters": _TWO_CLUSTERS,
}
OTHERS = {
    "t2": Family([(1, stats.t(2, 3, 1.2))], [(1, stats.t(2, -3, 1.2))]),
    "t3 and t2": Family([(1, stats.t(3, 2.5, 1.5))], [(1, stats.t(2, -3.5, 1.0))]),
    "Laplace": Family([(1, stats.laplace(3, 1.5))], [(1, stats.laplace(-3, 1.2))]),
    "Cauchy negatives": Family(_normals((1, 4, 1.5)), [(1, stats.t(1, -4, 0.5))]),
    "log-normal negatives": Family(_normals((1, 3, 1.2)), [(1, stats.lognorm(0.9, -4))]),
    "uniform": Family([(1, stats.uniform(-1, 5))], [(1, stats.uniform(-6, 6.2))]),
    "probabilities": Family([(1, stats.beta(4, 2))], [(1, stats.beta(1, 9))]),
    "narrow binormal": Family(_binormal(2.5).positives, _binormal(2.5).negatives, scale=0.05, move=-2.9),
    "narrow hard rows": Family(_HARD.positives, _HARD.negatives, scale=0.02, move=0.3),
    "wide unequal variance": Family(_UNEQUAL.positives, _UNEQUAL.negatives, scale=12.0, move=40.0),
    "moved two clusters": Family(_TWO_CLUSTERS.positives, _TWO_CLUSTERS.negatives, move=-9.0),
    "three clusters": Family(
        _normals((0.34, 7, 0.8), (0.33, 2, 0.8), (0.33, -1.5, 0.8)),
        _normals((0.85, -6, 1), (0.1, -2.5, 0.7), (0.05, 1, 0.7)),
    ),
    "four clusters": Family(
        _normals((0.25, 9, 0.6), (0.25, 5, 0.6), (0.25, 1, 0.6), (0.25, -3, 0.6)),
        _normals((0.8, -7, 1), (0.12, -3.5, 0.6), (0.06, -0.5, 0.6), (0.02, 3, 0.6)),
    ),
}
