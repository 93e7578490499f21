"""Heads that listen to each other: an inactive region nearly always comes with a crack.

    log odds of k = slope * own log odds + intercept + sum over j of c_kj * standardised log odds of j

fitted on the calibration rows that all heads know, with a ridge on the cross weights c alone, and accepted
head by head: only if the log-loss on rows that the fit has not seen improves by more than one standard error,
and a likelihood-ratio test would reject c = 0 for some head of an ensemble of unrelated labels in at most one
of ten. Theory: Dembczynski et al. 2012; for each label on its own, dependence can only help by estimation.

Shape letters: n rows, K heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import chi2

from ova.arrays import FloatArray
from ova.ensembles.rule.numpy_rule import calibrate_all
from ova.ensembles.rule.rows import FOLDS, CommonRows, ScoredHead, ThresholdedHead, beyond_error, deal_folds
from ova.ensembles.rule.rule import Affine, Stack
from ova.errors import OvaError
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask, choose_threshold
from ova.heads.recipe import KEPT_DEFAULT
from ova.heads.scores import Scores

_FEWEST_TO_STACK = 10
RIDGE = 4.0
_RISK = 0.1
_OWN_PRECISION = (0.5**-2, 1.5**-2)
_MOST_STEPS = 50


@dataclass(frozen=True)
class Stacked:
    """What stacking came to."""

    stack: Stack | None
    heads: tuple[ThresholdedHead, ...]
    """In the order given; stacked ones with their log odds, out of fold, in place of logits."""
    notes: tuple[str, ...]


def fit_stack(heads: Sequence[ScoredHead]) -> Stacked:
    """Let heads listen to each other where that is proven to help.

    Raises:
        DataError: The heads have no calibration row in common.
    """
    alone = tuple(map(ThresholdedHead.of, heads))
    moved = [head.name for head in heads if head.calibration.adaptation is not None]
    if moved:
        why = f"no stacking: {moved[0]} was moved to another prior than that of its calibration rows"
        return Stacked(None, alone, (why,))
    rows = CommonRows.of(heads)
    odds = calibrate_all([head.calibration for head in heads], rows.logits)
    lines, found, notes = np.eye(len(heads)), list(alone), []
    biases, names = np.zeros(len(heads)), []
    for index, head in enumerate(heads):
        trial = _Trial.of(odds, rows.labels[:, index], index)
        thresholded = None if trial is None or not trial.better else _thresholded(head, rows, trial, index)
        if trial is None or thresholded is None:
            continue
        lines[index], biases[index] = trial.line()
        found[index] = thresholded
        names.append(head.name)
        notes.append(_note(heads, trial, index))
    if not names:
        return Stacked(None, alone, ("stacking: no head gains from the others; each decides alone",))
    matrix = Affine(tuple(map(tuple, lines.tolist())), tuple(biases.tolist()))
    return Stacked(Stack(tuple(names), matrix), tuple(found), tuple(notes))


@dataclass(frozen=True, eq=False)
class _Trial:
    """One head with and without the others."""

    index: int
    means: FloatArray
    spreads: FloatArray
    weights: FloatArray
    """(K + 1,) slope of the own log odds, intercept, cross weights of the others in order."""
    held_out: FloatArray
    """(n,) log odds by fits that did not see the row."""
    better: bool
    gain: float
    error: float

    @classmethod
    def of(cls, odds: FloatArray, labels: NDArray[np.int8], index: int) -> _Trial | None:
        """Fit, if there are ten rows of either kind and another head that says anything."""
        if min(int(labels.sum()), int((labels == 0).sum())) < _FEWEST_TO_STACK:
            return None
        means, spreads = odds.mean(axis=0), odds.std(axis=0)
        spreads = np.where(spreads > 0, spreads, 1.0)
        others = np.delete((odds - means) / spreads, index, axis=1)
        alone = np.column_stack([odds[:, index], np.ones(len(odds))])
        together = np.column_stack([alone, others])
        truth, folds = labels.astype(np.float64), deal_folds(labels)
        without, held_out = (_held_out(design, truth, folds) for design in (alone, together))
        better, gain, error = beyond_error(_losses(without, truth) - _losses(held_out, truth))
        weights = _fit(together, truth)
        drop = _losses(alone @ _fit(alone, truth), truth).sum() - _losses(together @ weights, truth).sum()
        better &= 2.0 * drop > chi2.isf(_RISK / odds.shape[1], odds.shape[1] - 1)
        return cls(index, means, spreads, weights, held_out, bool(better), gain, error)

    @property
    def cross(self) -> FloatArray:
        """(K,) cross weights per standard deviation, 0 for the head itself."""
        return np.insert(self.weights[2:], self.index, 0.0)

    def line(self) -> tuple[FloatArray, float]:
        """Return the line of the matrix (K,) and its bias."""
        line = self.cross / self.spreads
        bias = float(self.weights[1] - line @ self.means)
        line[self.index] = self.weights[0]
        return line, bias


def _held_out(design: FloatArray, truth: FloatArray, folds: NDArray[np.int64]) -> FloatArray:
    values = np.empty(len(truth))
    for fold in range(FOLDS):
        inside = folds == fold
        values[inside] = design[inside] @ _fit(design[~inside], truth[~inside])
    return values


def _fit(design: FloatArray, truth: FloatArray) -> FloatArray:
    """Minimise sum[softplus(z) - y z] plus the penalties by Newton's method; strictly convex."""
    width = design.shape[1]
    centre = np.concatenate(([1.0], np.zeros(width - 1)))
    precision = np.concatenate((_OWN_PRECISION, np.full(width - 2, RIDGE)))

    def loss(point: FloatArray) -> float:
        z = design @ point
        return float(np.sum(np.logaddexp(0.0, z) - truth * z) + 0.5 * precision @ (point - centre) ** 2)

    point, before = centre, loss(centre)
    for _ in range(_MOST_STEPS):
        p = expit(design @ point)
        gradient = design.T @ (p - truth) + precision * (point - centre)
        hessian = (design * (p * (1.0 - p))[:, None]).T @ design + np.diag(precision)
        step = -np.linalg.solve(hessian, gradient)
        size, after = 1.0, loss(point + step)
        while after > before and size > 1e-8:
            size /= 2.0
            after = loss(point + size * step)
        point = point + size * step
        if before - after <= 1e-10 * (1.0 + before):
            break
        before = after
    return point


def _losses(odds: FloatArray, truth: FloatArray) -> FloatArray:
    return np.logaddexp(0.0, odds) - truth * odds


def _thresholded(head: ScoredHead, rows: CommonRows, trial: _Trial, index: int) -> ThresholdedHead | None:
    """Choose the threshold of a stacked head on log odds of rows that their fit had not seen."""
    labels, settings = rows.labels[:, index], head.settings
    task = ThresholdTask(objective=settings.objective, method=settings.method, confidence=settings.confidence)
    if not trial.weights[0] > 0:
        return None
    try:
        chosen = choose_threshold(trial.held_out, labels, task)
    except OvaError:
        return None
    held_out = Scores(rows.images, labels, trial.held_out)
    return ThresholdedHead(head.name, task, held_out, chosen.threshold, chosen.method != KEPT_DEFAULT)


def _note(heads: Sequence[ScoredHead], trial: _Trial, index: int) -> str:
    order = np.argsort(-np.abs(trial.cross))[:3]
    heard = ", ".join(f"{heads[j].name} {trial.cross[j]:+.2f}" for j in order.tolist() if j != index)
    return (
        f"{heads[index].name} listens to {heard} (per standard deviation of their log odds): log-loss lower "
        f"by {trial.gain:.4f} nats per image, standard error {trial.error:.4f}"
    )
