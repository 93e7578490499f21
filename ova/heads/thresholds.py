"""Three ways to choose a threshold on logits: the exact sweep, its bootstrap mean, and the plug-in rule.

A head says yes where `logit >= threshold`, compared in the dtype that is deployed (float32). Everything is
computed on distinct scores, because rows with equal scores cannot be told apart by any threshold.

Shape letters: n rows, g distinct scores, c candidate cuts, b bootstrap samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.heads.platt import Platt
from ova.metrics import Counts

FloatArray = NDArray[np.float64]

# (tp, fp, fn, tn) -> value to maximise, elementwise. It must not fall when a flagged negative is let go or
# a missed positive is flagged: then the best cut lies directly under a positive, or flags nothing.
Objective = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]

_BAGS = 100
_SEED = 20_250_607


def f1_objective(tp: FloatArray, fp: FloatArray, fn: FloatArray, tn: FloatArray) -> FloatArray:
    """F1 = 2 TP / (2 TP + FP + FN); needs a positive."""
    del tn
    return 2.0 * tp / (2.0 * tp + fp + fn)


OBJECTIVES: dict[str, Objective] = {"f1": f1_objective}


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
    objective: Objective = f1_objective,
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
    scores, truth = _checked(logits, labels, deployed)
    ranking = _Ranking.of(scores, truth)
    tp, fp = np.append(0.0, ranking.tp), np.append(0.0, ranking.fp)
    values = objective(tp, fp, tp[-1] - tp, fp[-1] - fp)
    # No gap at either end, so that an inner cut wins a tie with "nothing" or "everything".
    gaps = np.concatenate(([0.0], -np.diff(ranking.scores), [0.0]))
    tied = np.flatnonzero(values == values.max())
    best = int(tied[np.argmax(gaps[tied])])
    threshold = _thresholds(ranking.scores, deployed)[best]
    counts = Counts.of(truth, scores >= deployed(threshold))
    if (counts.tp, counts.fp) != (tp[best], fp[best]):
        raise AssertionError(f"threshold {threshold!r} does not reproduce its own counts")
    return Cut(float(threshold), float(values[best]), counts)


def bagged(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    objective: Objective = f1_objective,
    bags: int = _BAGS,
    seed: int = _SEED,
) -> float:
    """Mean of the thresholds that are best on bootstrap samples of the rows, stratified by label.

    A cut can only be best directly under a positive, so a sample is drawn as two multinomials: positives
    over the distinct positive scores, negatives over the gaps between them. That is the same distribution
    as drawing rows, and costs O(b x distinct positive scores) after one sort. A bag's threshold is the
    middle of the gap under its cut in the whole data.

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
    ranking = _Ranking.of(*_checked(logits, labels, np.float32))
    cuts = np.flatnonzero(np.diff(ranking.tp, prepend=0.0))
    draw = np.random.default_rng(seed)
    tp = _resampled(np.diff(ranking.tp[cuts], prepend=0.0), bags, draw)
    fp = _resampled(np.diff(np.append(ranking.fp[cuts], ranking.fp[-1]), prepend=0.0), bags, draw)
    values = objective(tp, fp[:, :-1], tp[:, -1:] - tp, fp[:, -1:] - fp[:, :-1])
    thresholds = _thresholds(ranking.scores, np.float32)[cuts + 1]
    return float(np.float32(thresholds[np.argmax(values, axis=1)].mean()))


def plugin(logits: ArrayLike, platt: Platt) -> float:
    """Threshold that maximises expected F1 if the calibrated probabilities are true.

    The best cut on probabilities is half of the best F1 (Lipton, Elkan, Narayanaswamy 2014), and the
    expected F1 of flagging the k most probable rows is 2 sum(p of the flagged) / (k + sum(p)): labels are
    not needed.

    Args:
        logits: (n,) finite scores of the rows to be decided on, n >= 1.
        platt: Their calibration.

    Returns:
        A logit, rounded to float32, at most 1 beyond the scores.
    """
    scores = np.asarray(logits, np.float64)
    probabilities = np.sort(platt.probability(scores))[::-1]
    flagged = np.arange(1, scores.size + 1)
    expected = 2.0 * np.cumsum(probabilities) / (flagged + probabilities.sum())
    # The floor keeps the logit finite where every probability has underflowed.
    half = max(float(expected.max()) / 2.0, float(np.finfo(np.float64).tiny))
    threshold = np.clip(platt.logit_of(half), scores.min() - 1.0, scores.max() + 1.0)
    return float(np.float32(threshold))


@dataclass(frozen=True)
class _Ranking:
    """Distinct scores from high to low (g,), and what a cut under each of them flags."""

    scores: FloatArray
    tp: FloatArray
    fp: FloatArray

    @classmethod
    def of(cls, scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> _Ranking:
        order = np.argsort(scores)[::-1]
        ranked = scores[order].astype(np.float64)
        ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
        tp = np.cumsum(truth[order], dtype=np.float64)[ends]
        return cls(ranked[ends], tp, ends + 1.0 - tp)


def _checked(
    logits: ArrayLike, labels: ArrayLike, deployed: type[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    with np.errstate(over="ignore"):
        scores = np.asarray(logits).astype(deployed)
    truth = np.asarray(labels)
    if scores.ndim != 1 or truth.shape != scores.shape:
        raise ValueError(f"logits have shape {scores.shape}, labels {truth.shape}; both must be (n,)")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} logits are not finite in {scores.dtype}")
    if not ((truth == 0) | (truth == 1)).all():
        raise ValueError(f"labels must be 0 or 1, got {np.unique(truth)[:10].tolist()}")
    if not truth.any():
        raise ValueError("there is no positive, so no threshold is better than another")
    return scores, truth.astype(np.bool_)


def _thresholds(scores: FloatArray, deployed: type[np.floating]) -> FloatArray:
    """One threshold per cut, (g + 1,): above all scores, between neighbours, below all scores.

    The middle of two neighbours in the deployed dtype can round to the lower one, which would flag it; the
    upper score is then the threshold. The same holds beyond scores so large that adding 1 changes nothing.
    """
    upper, lower = scores[:-1], scores[1:]
    middle = (lower + (upper - lower) / 2.0).astype(deployed).astype(np.float64)
    inner = np.where((lower < middle) & (middle <= upper), middle, upper)
    with np.errstate(over="ignore"):
        above = np.maximum(deployed(scores[0] + 1.0), np.nextafter(deployed(scores[0]), deployed(np.inf)))
        below = deployed(scores[-1] - 1.0)
    return np.concatenate(([float(above)], inner, [float(below)]))


def _resampled(sizes: FloatArray, bags: int, draw: np.random.Generator) -> FloatArray:
    """Cumulative counts (b, c) of bootstrap samples of sum(sizes) rows that lie in cells of these sizes."""
    total = int(sizes.sum())
    if total == 0:
        return np.zeros((bags, sizes.size))
    return np.cumsum(draw.multinomial(total, sizes / total, size=bags), axis=1, dtype=np.float64)
