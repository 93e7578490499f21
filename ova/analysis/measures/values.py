"""What the evidence consists of, as plain values: computed in this package, shown on pages, written as JSON.

All are immutable, hold only Python numbers, texts and tuples, and turn into strict JSON with `as_json`.
Intervals are of 95 %. "Test rows" chose nothing; "calibration rows" are those that the threshold was fitted
on, each scored by a network that was not trained on it.

Shape letters: p points of a curve (at most 500), b bins, k heads.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any


@dataclass(frozen=True)
class MeasuredValue:
    """A figure with its 95 % interval. None is undefined, never 0 or 1, and `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class HonestF1:
    """Three F1 values of one head, each with its Wilson interval on the Jaccard index."""

    apparent: MeasuredValue
    """On the calibration rows, at the threshold that was chosen on these very rows: too good."""
    nested: MeasuredValue
    """On the same rows, each decided by a threshold that the same rule chose without its fold: honest."""
    test: MeasuredValue
    """On the test rows, at the threshold in use: honest."""
    folds: int
    """Folds of the nested estimate; no group is in two of them."""


@dataclass(frozen=True)
class Sweep:
    """What every threshold would do: one table for the threshold sweep, the PR curve and the ROC curve.

    Points go from the highest threshold to the lowest, the first flags nothing. Where there are more than
    500, they are thinned evenly along the curves; the chosen threshold, the best F1 and both ends stay.
    PR is `precision` over `recall`; ROC is `recall` over `false_positive_rate`. All tuples are (p,).
    """

    rows: str
    """"calibration" or "test"."""
    positives: int
    negatives: int
    threshold: tuple[float, ...]
    flagged: tuple[int, ...]
    """Rows at or above the threshold."""
    tp: tuple[int, ...]
    precision: tuple[float | None, ...]
    """None where nothing is flagged."""
    recall: tuple[float, ...]
    false_positive_rate: tuple[float | None, ...]
    """None without negatives."""
    f1: tuple[float, ...]
    chosen: int
    """Position of the threshold in use."""
    chosen_low: float | None
    """5th percentile of the best thresholds of bootstrap samples (a logit), where the rule has one."""
    chosen_high: float | None
    """95th percentile."""


@dataclass(frozen=True)
class Histogram:
    """Scores by label: b bins of equal width; the first and the last also hold what lies beyond them."""

    rows: str
    """"calibration" or "test"."""
    edges: tuple[float, ...]
    """(b + 1,) logits."""
    positives: tuple[int, ...]
    """(b,) rows with label 1."""
    negatives: tuple[int, ...]
    """(b,) rows with label 0."""


@dataclass(frozen=True)
class ReliabilityCurve:
    """Observed share of positives against the probability: isotonic regression (CORP), all tuples (p,).

    `low` and `high` are the consistency band: where the curve lies in 95 of 100 cases if the probabilities
    are right. A curve outside the band is evidence against them.
    """

    probability: tuple[float, ...]
    """Ascending."""
    observed: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error, which is never 0: to be read beside its values for right probabilities."""

    value: float
    null_mean: float
    """Its mean if the probabilities were right."""
    null_high: float
    """Its 95th percentile if they were right."""
    p_value: float
    """Share of such draws that reach the value."""
    bins: int
    """Of equal size, each with at least 5 expected positives."""


@dataclass(frozen=True)
class Reliability:
    """How well the calibrated probabilities hold on the test rows."""

    log_loss: MeasuredValue
    """Nats per row; lower is better."""
    brier: MeasuredValue
    """Mean squared error of the probability; lower is better."""
    brier_skill: MeasuredValue
    """1 - Brier / Brier of always saying the share of positives: 0 is worthless, 1 is perfect."""
    slope: MeasuredValue
    """Of the log odds (Cox 1958): 1 is right, below 1 the head is too sure, above 1 not sure enough."""
    intercept: MeasuredValue
    """Log odds that all probabilities are too low by (slope held at 1): 0 is right."""
    curve: ReliabilityCurve | None
    """None without rows."""
    calibration_error: CalibrationError | None
    """None without rows."""


@dataclass(frozen=True)
class Diagnosis:
    """Something that the curves of a training say, in plain words."""

    kind: str
    """"diverging", "over-fit", "too short", "not learning", or "sound"."""
    text: str
    """One or two sentences: what was seen, in figures, and what to do."""


@dataclass(frozen=True)
class Baseline:
    """What a simple rule reaches on the same test rows: a floor for the head."""

    name: str
    """Such as "always yes", "chance at the prior", "random forest"."""
    f1: MeasuredValue
    average_precision: MeasuredValue
    seconds: float | None = None
    """Of its training, for trained ones."""


@dataclass(frozen=True)
class Slice:
    """One head on the test rows that have, or have not, another label."""

    head: str
    other: str
    """Head of the other label, whose truth makes the slice."""
    present: bool
    """Whether the rows have the other label."""
    positives: int
    negatives: int
    f1: MeasuredValue
    recall: MeasuredValue


@dataclass(frozen=True)
class TrainingCost:
    """What a head costs."""

    seconds: float | None
    """Spent in training epochs, all networks together."""
    megabytes: float | None
    """Of its weights file, 10^6 bytes."""
    networks: int
    """Networks whose logits are averaged."""
    device: str | None
    """What it was trained on."""


@dataclass(frozen=True)
class HeadMeasures:
    """All figures of one head."""

    name: str
    label: str
    f1: HonestF1
    measures: dict[str, MeasuredValue]
    """On test rows: the ten of `ova.metrics.MEASURES` by name, then "average_precision" and "roc_auc"."""
    reliability: Reliability | None
    """None where the head was analysed without a calibration."""
    sweeps: tuple[Sweep, ...]
    """Of the calibration rows and the test rows; one without positives is left out."""
    histograms: tuple[Histogram, ...]
    """Of the calibration rows and the test rows."""
    findings: tuple[Diagnosis, ...]
    """What the training curves say; empty without a history."""
    baselines: tuple[Baseline, ...]
    """The two that cost nothing, and the trained ones if they were asked for."""
    cost: TrainingCost


@dataclass(frozen=True)
class CoOccurrence:
    """How often labels come together on test rows where both are known; `heads` are names, tables (k, k)."""

    heads: tuple[str, ...]
    known: tuple[tuple[int, ...], ...]
    """Rows where both labels are known."""
    truth: tuple[tuple[int, ...], ...]
    """Rows that have both labels; on the diagonal, the label itself."""
    predicted: tuple[tuple[int, ...], ...]
    """Rows where both heads say yes, among the same rows."""


@dataclass(frozen=True)
class Across:
    """Figures of several heads together, on test rows."""

    macro_f1: MeasuredValue
    """Mean of the heads' F1 values that are defined: every head counts the same."""
    micro_f1: MeasuredValue
    """F1 of all decisions together: frequent labels count more."""
    co_occurrence: CoOccurrence
    slices: tuple[Slice, ...]


def as_json(value: Any) -> Any:
    """Turn values into strict JSON: dataclasses become objects, tuples lists."""
    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: as_json(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [as_json(each) for each in value]
    return value
