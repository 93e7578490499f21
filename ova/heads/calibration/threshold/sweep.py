"""The exact sweep over all thresholds, and its bootstrap.

A head says yes where `logit >= threshold`, compared in the dtype that is deployed (float32).

Shape letters: n rows, g distinct scores, c candidate cuts, b bootstrap samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.arrays import FloatArray
from ova.heads.calibration.ranking import Ranking
from ova.heads.threshold_objectives import FBeta, Maximised
from ova.metrics import Counts

_BAGS = 100
_SEED = 20_250_607
# A bootstrap looks at no more cuts than this: with so many positives, its neighbours are as good.
_MOST_CUTS = 1_000


@dataclass(frozen=True)
class Cut:
    """A threshold, and what it does on the rows that it was chosen from."""

    threshold: float
    value: float
    counts: Counts

    @property
    def f1(self) -> float | None:
        """F1 of `counts`, whatever the objective was."""
        return self.counts.f1


def sweep(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    objective: Maximised = FBeta(),  # noqa: B008 (immutable)
    deployed: type[np.floating] = np.float32,
) -> Cut:
    """Find the best threshold among all that differ on these rows, in O(n log n).

    Args:
        logits: (n,) scores, finite in the deployed dtype.
        labels: (n,) 0 or 1, with at least one 1.
        objective: What to maximise.
        deployed: The dtype in which the decision will be taken.

    Returns:
        The best cut. Of cuts that are equally good, the one in the widest gap between scores, and of those
        the highest. The threshold is the middle of the gap, rounded to the deployed dtype without changing
        a decision; where it is best to flag everything or nothing, it lies 1 beyond the scores.

    Raises:
        ValueError: There is no positive, shapes differ, or a logit is not finite.
    """
    ranking = Ranking.of(logits, labels, deployed)
    best, value = best_cut(ranking, objective)
    threshold = float(ranking.thresholds(deployed)[best])
    with np.errstate(over="ignore"):
        scores = np.asarray(logits).astype(deployed)
    counts = Counts.of(np.asarray(labels), scores >= deployed(threshold))
    expected = (ranking.tp[best - 1], ranking.fp[best - 1]) if best else (0.0, 0.0)
    if (counts.tp, counts.fp) != expected:
        raise AssertionError(f"threshold {threshold!r} does not reproduce its own counts")
    return Cut(threshold, value, counts)


def best_cut(ranking: Ranking, objective: Maximised) -> tuple[int, float]:
    """Return the best cut (0: flag nothing, i: flag the first i distinct scores) and its value."""
    tp, fp = np.append(0.0, ranking.tp), np.append(0.0, ranking.fp)
    values = objective(tp, fp, tp[-1] - tp, fp[-1] - fp)
    # No gap at either end, so that an inner cut wins a tie with "nothing" or "everything".
    gaps = np.concatenate(([0.0], -np.diff(ranking.scores), [0.0]))
    tied = np.flatnonzero(values == values.max())
    return int(tied[np.argmax(gaps[tied])]), float(values.max())


def bagged(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    objective: Maximised = FBeta(),  # noqa: B008 (immutable)
    bags: int = _BAGS,
    seed: int = _SEED,
) -> float:
    """Mean of the thresholds that are best on bootstrap samples of the rows, stratified by label.

    Args:
        logits: (n,) scores, finite in float32.
        labels: (n,) 0 or 1, with at least one 1.
        objective: What every bag maximises; of equally good cuts the highest is taken.
        bags: How many bootstrap samples.
        seed: Of the generator. The order of the rows does not matter.

    Returns:
        A logit, rounded to float32.

    Raises:
        ValueError: As `sweep`.
    """
    sample = Bags.draw(Ranking.of(logits, labels), objective, bags=bags, seed=seed)
    return float(np.float32(sample.thresholds(objective).mean()))


@dataclass(frozen=True)
class Bags:
    """Bootstrap samples of a ranking, seen at its candidate cuts.

    A cut can only be best directly under a positive, so a sample is drawn as two multinomials: positives
    over the distinct positive scores, negatives over the gaps between them. That is the same distribution
    as drawing rows, and costs O(b x candidate cuts) after one sort. A bag's threshold is the middle of the
    gap under its cut in the whole data.

    Attributes:
        ranking: The rows.
        cuts: (c,) positions of the candidates in the ranking.
        tp: (b, c) true positives of each bag at each candidate.
        fp: (b, c) false positives.
    """

    ranking: Ranking
    cuts: NDArray[np.intp]
    tp: FloatArray
    fp: FloatArray

    @classmethod
    def draw(cls, ranking: Ranking, objective: Maximised, *, bags: int = _BAGS, seed: int = _SEED) -> Bags:
        """Draw bootstrap samples; the order of the rows does not matter."""
        cuts = _candidates(ranking, objective)
        draw = np.random.default_rng(seed)
        tp = _resampled(np.diff(np.append(ranking.tp[cuts], ranking.positives), prepend=0.0), bags, draw)
        fp = _resampled(np.diff(np.append(ranking.fp[cuts], ranking.negatives), prepend=0.0), bags, draw)
        return cls(ranking, cuts, tp[:, :-1], fp[:, :-1])

    def thresholds(self, objective: Maximised) -> FloatArray:
        """Return the best threshold of each bag, (b,)."""
        fn, tn = self.ranking.positives - self.tp, self.ranking.negatives - self.fp
        values = objective(self.tp, self.fp, fn, tn)
        return self.ranking.thresholds()[self.cuts + 1][np.argmax(values, axis=1)]


def _candidates(ranking: Ranking, objective: Maximised) -> NDArray[np.intp]:
    """Cuts directly under a positive; of very many, those near the best, evenly thinned.

    The value of the best cut is uncertain by far less than its distance to the rest of the curve once there
    are thousands of positives, so that no bag would choose them.
    """
    cuts = ranking.under_positives
    if len(cuts) <= _MOST_CUTS:
        return cuts
    tp, fp = ranking.tp[cuts], ranking.fp[cuts]
    values = objective(tp, fp, ranking.positives - tp, ranking.negatives - fp)
    span = float(values.max() - values.min())
    near = cuts[values >= values.max() - max(6.0 / np.sqrt(ranking.positives), 0.02) * span]
    return near[np.unique(np.linspace(0, len(near) - 1, _MOST_CUTS).round().astype(np.intp))]


def _resampled(sizes: FloatArray, bags: int, draw: np.random.Generator) -> FloatArray:
    """Cumulative counts (b, c) of bootstrap samples of sum(sizes) rows that lie in cells of these sizes."""
    total = int(sizes.sum())
    if total == 0:
        return np.zeros((bags, sizes.size))
    return np.cumsum(draw.multinomial(total, sizes / total, size=bags), axis=1, dtype=np.float64)
