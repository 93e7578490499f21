"""A head's calibration as a value: what turns logits into decisions and probabilities, and its JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ova.errors import ArtefactError, RecipeError
from ova.heads.calibration.calibrators.curve import Curve
from ova.heads.recipe import KEPT_DEFAULT, METHODS
from ova.heads.threshold_objectives import parse_objective


@dataclass(frozen=True)
class Adaptation:
    """How a calibration was moved to another prior, by scores without labels."""

    rows: int
    """Unlabelled rows."""
    prior_before: float
    """The prior of the calibration that was replaced."""
    prior_low: float
    """Interval (95 %) of the new prior."""
    prior_high: float
    scores_digest: str
    """Of the unlabelled scores, sorted."""
    replaced: str
    """File beside this one that keeps the calibration that was replaced."""


@dataclass(frozen=True)
class Calibration:
    """What turns a head's logits into decisions and probabilities, and what it was fitted on.

    Example:
        `calibrate_scores` makes one from scores and labels; it is kept as JSON:

        >>> import ova
        >>> scores = [-2.5, -2.0, -1.5, -1.0, -0.5, 0.5, 0.0, 1.0, 1.5, 2.0, 2.5]
        >>> calibration = ova.calibrate_scores(scores, labels=6 * [0] + 5 * [1])
        >>> calibration.decide([-1.0, 2.0]).tolist()
        [False, True]
        >>> calibration.positives, calibration.negatives, calibration.objective
        (5, 6, 'f1')
        >>> ova.Calibration.from_json(calibration.to_json()) == calibration
        True
    """

    threshold: float
    """A logit, exact in float32; the head says yes at and above it."""
    slope: float
    """logit p = slope * s + intercept, slope > 0: the probability unless there is a curve."""
    intercept: float
    objective: str
    """What the threshold is best at; see `ova.heads.threshold_objectives`."""
    method: str
    """The rule that chose the threshold, or "default" where the data did not suffice."""
    positives: int
    """Positive rows that it was fitted on."""
    negatives: int
    prior: float
    """Share of positives that threshold and probabilities are made for: that of those rows, or another."""
    pos_weight: float
    """Odds of a positive as training weighed and showed them, over the true odds; undone here."""
    f1: float | None
    """Apparent F1 at the threshold on those rows, at `prior`: too good, as it was chosen on them. None if
    undefined."""
    note: str | None
    """Why the default was kept, or what the objective asks for in vain, or None."""
    confidence: float = 0.95
    """With which a promise (recall, precision, alarms) holds."""
    threshold_low: float | None = None
    """5th percentile of the best thresholds of bootstrap samples of those rows; None for other methods."""
    threshold_high: float | None = None
    """95th percentile."""
    weights_digest: str | None = None
    """The head weights that these numbers belong to."""
    adaptation: Adaptation | None = None
    """How it came to another prior than that of its rows; None if it did not."""
    curve: Curve | None = None
    """Logit -> log odds where the line does not do; None where it does."""

    def probability(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Calibrated probabilities of raw logits: any shape, float64."""
        return np.asarray(expit(self.calibrated(logits)), np.float64)

    def calibrated(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Log odds of the calibrated probabilities: any shape, float64."""
        if self.curve is not None:
            return self.curve(logits)
        return self.slope * np.asarray(logits, np.float64) + self.intercept

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
        """Read what `to_json` wrote; calibrations from before there were curves have none.

        Raises:
            ArtefactError: A key is unknown or missing, or a value is impossible.
        """
        known = {"curve": None} | content if isinstance(content, dict) else content
        calibration, problems = _read(known, cls)
        if calibration is not None:
            problems = _value_problems(calibration)
            if not problems:
                return calibration
        raise ArtefactError(f"the calibration is damaged ({'; '.join(problems)}); calibrate the head again")


_Kind = TypeVar("_Kind", Calibration, Adaptation, Curve)


def _read(content: object, kind: type[_Kind]) -> tuple[_Kind | None, list[str]]:
    """Return the value, or None and what is wrong with its JSON."""
    if not isinstance(content, dict):
        return None, ["it is not an object"]
    kinds = {field.name: str(field.type) for field in fields(kind)}
    problems = [f"{name} is missing" for name in kinds if name not in content]
    problems += [f"{name} is not a key" for name in content if name not in kinds]
    values: dict[str, Any] = {}
    for name in kinds.keys() & content.keys():
        value = content[name]
        if name in _NESTED and value is not None:
            values[name], inner = _read(value, _NESTED[name])
            problems += [f"{name}: {problem}" for problem in inner]
        elif _is_kind(value, kinds[name]):
            values[name] = _as_kind(value, kinds[name])
        else:
            problems.append(f"{name} must be {kinds[name]}, got {value!r}")
    return (None if problems else kind(**values)), problems


_NESTED = {"adaptation": Adaptation, "curve": Curve}


def _is_kind(value: object, kind: str) -> bool:
    if value is None or isinstance(value, bool):
        return value is None and kind.endswith("| None")
    if kind.startswith("tuple"):
        return isinstance(value, list | tuple) and all(_is_kind(each, "float") for each in value)
    if kind.startswith("float"):
        # A float that another writer shortened to an integer is still that number.
        return isinstance(value, int | float) and abs(value) <= float(np.finfo(np.float64).max)
    return isinstance(value, int if kind == "int" else str)


def _as_kind(value: Any, kind: str) -> Any:
    if kind.startswith("tuple"):
        return tuple(float(each) for each in value)
    return float(value) if kind.startswith("float") and value is not None else value


def _value_problems(calibration: Calibration) -> list[str]:
    checks = {
        "threshold must be exact in float32": _is_float32(calibration.threshold),
        "slope must be above 0": calibration.slope > 0,
        "counts must not be negative": min(calibration.positives, calibration.negatives) >= 0,
        "prior must lie in 0..1": 0 <= calibration.prior <= 1,
        "pos_weight must be above 0": calibration.pos_weight > 0,
        "f1 must lie in 0..1": calibration.f1 is None or 0 <= calibration.f1 <= 1,
        "objective is unknown": _is_objective(calibration.objective),
        "confidence must lie between 0 and 1": 0 < calibration.confidence < 1,
        "method is unknown": calibration.method in (*METHODS, KEPT_DEFAULT),
    }
    problems = [problem for problem, good in checks.items() if not good]
    return problems + (calibration.curve.problems() if calibration.curve is not None else [])


def _is_objective(text: str) -> bool:
    try:
        parse_objective(text)
    except RecipeError:
        return False
    return True


def _is_float32(value: float) -> bool:
    with np.errstate(over="ignore"):
        return float(np.float32(value)) == value
