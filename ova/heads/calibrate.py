"""Calibration: held-out logits and labels -> a threshold, and probabilities that mean something.

The threshold is a logit that float32 holds exactly, and a head says yes where `logit >= threshold`. The
default rule, "auto", is the mean of two: the bootstrap mean of the empirical optimum, which assumes nothing
and is noisy, and the optimum under MAP-Platt probabilities, which is steady and assumes a shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ova.errors import ArtefactError, DataError, RecipeError, first_few
from ova.heads.platt import Platt, fit_platt
from ova.heads.recipe import KEPT_DEFAULT
from ova.heads.thresholds import OBJECTIVES, bagged, plugin, sweep
from ova.metrics import Counts

METHODS = ("auto", "argmax", "bagged", "plugin")
FEWEST_POSITIVES = 5
_UNKNOWN = -1


@dataclass(frozen=True)
class Calibration:
    """What turns a head's logits into decisions and probabilities, and what it was fitted on."""

    threshold: float
    """A logit, exact in float32; the head says yes at and above it."""
    slope: float
    """logit p = slope * s + intercept, slope > 0."""
    intercept: float
    objective: str
    """What the threshold maximises."""
    method: str
    """The rule that chose the threshold, or "default" where the data did not suffice."""
    positives: int
    """Positive rows that it was fitted on."""
    negatives: int
    prior: float
    """Share of positives in those rows."""
    pos_weight: float
    """Odds of a positive as training weighed and showed them, over the true odds; undone here."""
    f1: float | None
    """Apparent F1 at the threshold on those rows: too good, as it was chosen on them. None if undefined."""
    note: str | None
    """Why the default was kept, or None."""
    weights_digest: str | None = None
    """The head weights that these numbers belong to."""

    def probability(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities of raw logits: any shape, float64."""
        return np.asarray(expit(self.slope * np.asarray(logits, np.float64) + self.intercept), np.float64)

    def decide(self, logits: ArrayLike) -> NDArray[np.bool_]:
        """Decisions on raw logits: any shape, compared in float32 as the exported model does."""
        return np.asarray(np.asarray(logits, np.float32) >= np.float32(self.threshold), np.bool_)

    def bound_to(self, digest: str) -> Calibration:
        """The same calibration, bound to the digest of the head's weights."""
        return replace(self, weights_digest=digest)

    def to_json(self) -> dict[str, Any]:
        """Strict JSON content; `from_json` reads it back to an equal calibration."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> Calibration:
        """Read what `to_json` wrote.

        Raises:
            ArtefactError: A key is unknown or missing, or a value is impossible.
        """
        problems = _key_problems(content, cls)
        if isinstance(content, dict) and not problems:
            kinds = {field.name: str(field.type) for field in fields(cls)}
            calibration = cls(**{name: _as_kind(content[name], kinds[name]) for name in kinds})
            problems = _value_problems(calibration)
            if not problems:
                return calibration
        raise ArtefactError(f"the calibration is damaged ({'; '.join(problems)}); calibrate the head again")


def calibrate_scores(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    pos_weight: float = 1.0,
    proper_loss: bool = True,
    objective: str = "f1",
    method: str = "auto",
) -> Calibration:
    """Fit threshold and probabilities on rows that the head was not trained on.

    The result does not depend on the order of the rows. With fewer than 5 positives, no negative, or logits
    that are all equal, the default is kept (threshold 0, where the raw sigmoid is 0.5) and `note` says why.

    Args:
        logits: (n,) raw scores, finite in float32.
        labels: (n,) 1, 0, or -1 for unknown; unknown rows are left out.
        pos_weight: Weight of the positives in the training loss, times what a sampler did to their odds.
        proper_loss: False for a focal or asymmetric loss, of which `pos_weight` tells little.
        objective: What the threshold maximises: "f1".
        method: "argmax" (exact sweep), "bagged", "plugin", or "auto", a blend of the last two.

    Raises:
        DataError: Shapes, a logit or a label is impossible, no row is labelled, or the head ranks backwards.
        RecipeError: An unknown method or objective, or a `pos_weight` that is not above 0.
    """
    _check_arguments(pos_weight, objective, method)
    scores, truth = _labelled_rows(logits, labels)
    note = _why_default(scores, truth)
    if note is None:
        platt = fit_platt(scores, truth, shift=math.log(pos_weight), proper=proper_loss)
        threshold = _threshold(scores, truth, platt, objective, method)
    else:
        platt, threshold, method = Platt(1.0, -math.log(pos_weight)), 0.0, KEPT_DEFAULT
    counts = Counts.of(truth, scores >= threshold)
    return Calibration(
        threshold=threshold,
        slope=platt.slope,
        intercept=platt.intercept,
        objective=objective,
        method=method,
        positives=counts.positives,
        negatives=counts.negatives,
        prior=counts.positives / counts.total,
        pos_weight=float(pos_weight),
        f1=counts.f1,
        note=note,
    )


def check_disjoint(calibration_images: Iterable[str], training_images: Iterable[str]) -> None:
    """Refuse to calibrate on images that the head has seen.

    Raises:
        DataError: Says how many images are in both, and names the first few.
    """
    seen = sorted(set(calibration_images) & set(training_images))
    if seen:
        raise DataError(
            f"{len(seen)} calibration images were trained on: {first_few(seen, 5)}; hold them out"
        )


def _threshold(
    scores: NDArray[np.float32], truth: NDArray[np.int8], platt: Platt, objective: str, method: str
) -> float:
    value = OBJECTIVES[objective]
    if method == "argmax":
        return sweep(scores, truth, objective=value).threshold
    if method == "bagged":
        return bagged(scores, truth, objective=value)
    if method == "plugin":
        return plugin(scores, platt)
    weight = max(0.5, truth.sum() / (truth.sum() + 500))  # of the one that trusts the data more
    blend = weight * bagged(scores, truth, objective=value) + (1.0 - weight) * plugin(scores, platt)
    return float(np.float32(blend))


def _check_arguments(pos_weight: float, objective: str, method: str) -> None:
    if method not in METHODS:
        raise RecipeError(f"unknown calibration method {method!r}; choose from {', '.join(METHODS)}")
    if objective not in OBJECTIVES:
        raise RecipeError(f"unknown objective {objective!r}; choose from {', '.join(OBJECTIVES)}")
    if not (math.isfinite(pos_weight) and pos_weight > 0):
        raise RecipeError(f"pos_weight must be above 0, got {pos_weight}")


def _labelled_rows(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    # Scores are taken as the deployed head compares them, so that counts hold after export.
    with np.errstate(over="ignore"):
        scores = np.asarray(logits).astype(np.float32)
    truth = np.asarray(labels)
    if scores.ndim != 1 or truth.shape != scores.shape:
        raise DataError(
            f"logits have shape {scores.shape} but labels {truth.shape}; give one label per logit"
        )
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        raise DataError(f"{wrong.size} of {scores.size} logits are not finite, first in row {wrong[0]}")
    wrong = np.flatnonzero(~np.isin(truth, (0, 1, _UNKNOWN)))
    if wrong.size:
        raise DataError(
            f"labels must be 1, 0 or {_UNKNOWN} for unknown, not {truth[wrong[0]]} (row {wrong[0]})"
        )
    known = truth != _UNKNOWN
    if not known.any():
        raise DataError("no row has a label; calibrate on labelled rows")
    return scores[known], truth[known].astype(np.int8)


def _why_default(scores: NDArray[np.float32], truth: NDArray[np.int8]) -> str | None:
    positives = int(truth.sum())
    if positives < FEWEST_POSITIVES:
        return f"threshold left at probability 0.5: {positives} positives, at least {FEWEST_POSITIVES} needed"
    if positives == truth.size:
        return "threshold left at probability 0.5: no negatives"
    if scores.min() == scores.max():
        return "threshold left at probability 0.5: all logits are equal"
    return None


def _key_problems(content: object, kind: type[Calibration]) -> list[str]:
    if not isinstance(content, dict):
        return ["it is not an object"]
    known = {field.name: str(field.type) for field in fields(kind)}
    problems = [f"{name} is missing" for name in known if name not in content]
    problems += [f"{name} is not a key" for name in content if name not in known]
    wrong = [name for name in known if name in content and not _is_kind(content[name], known[name])]
    return problems + [f"{name} must be {known[name]}, got {content[name]!r}" for name in wrong]


def _is_kind(value: object, kind: str) -> bool:
    if value is None or isinstance(value, bool):
        return value is None and kind.endswith("| None")
    if kind.startswith("float"):
        # A float that another writer shortened to an integer is still that number.
        return isinstance(value, int | float) and abs(value) <= float(np.finfo(np.float64).max)
    return isinstance(value, int if kind == "int" else str)


def _as_kind(value: Any, kind: str) -> Any:
    return float(value) if kind.startswith("float") and value is not None else value


def _value_problems(calibration: Calibration) -> list[str]:
    checks = {
        "threshold must be exact in float32": _is_float32(calibration.threshold),
        "slope must be above 0": calibration.slope > 0,
        "counts must not be negative": min(calibration.positives, calibration.negatives) >= 0,
        "prior must lie in 0..1": 0 <= calibration.prior <= 1,
        "pos_weight must be above 0": calibration.pos_weight > 0,
        "f1 must lie in 0..1": calibration.f1 is None or 0 <= calibration.f1 <= 1,
        "objective is unknown": calibration.objective in OBJECTIVES,
        "method is unknown": calibration.method in (*METHODS, KEPT_DEFAULT),
    }
    return [problem for problem, good in checks.items() if not good]


def _is_float32(value: float) -> bool:
    with np.errstate(over="ignore"):
        return float(np.float32(value)) == value
