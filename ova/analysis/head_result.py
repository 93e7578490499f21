"""How good one head is on its test rows, alone and by the rule of its ensemble.

A head is judged on the rows whose label is known, at its own threshold, in the float32 that a model answers
in. What cannot be computed is None with a reason; it is never 0, 1 or NaN.

Shape letter: n test rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.errors import ArtefactError, first_few
from ova.metrics import Counts, Interval, always_yes_f1, average_precision, chance_f1, f1_interval


@dataclass(frozen=True, eq=False)
class HeadEvidence:
    """What a head answered on its test rows.

    Attributes:
        name: The head, a slug.
        label: The text of its label.
        threshold: The smallest logit that means yes.
        labels: (n,) truth, 0 or 1; rows whose label is unknown are left out.
        logits: (n,) scores.
        images: (n,) image ids.
        seconds: How long training took, if it is known.
        by_rule: (n,) answers of the exported ensemble, 1, 0, or -1 where they are not known; None where they
            are all those of the head.
    """

    name: str
    label: str
    threshold: float
    labels: NDArray[np.int8]
    logits: NDArray[np.float64]
    images: tuple[str, ...]
    seconds: float | None = None
    by_rule: NDArray[np.int8] | None = None

    @property
    def scores(self) -> NDArray[np.float32]:
        """(n,) the logits as a model puts them out."""
        with np.errstate(over="ignore"):
            return self.logits.astype(np.float32)

    @property
    def decisions(self) -> NDArray[np.bool_]:
        """(n,) yes where the logit reaches the threshold, both rounded to float32."""
        return self.scores >= np.float32(self.threshold)

    @property
    def exported(self) -> NDArray[np.int8]:
        """(n,) answers of the exported ensemble, 1, 0, or -1 where they are not known."""
        return self.decisions.astype(np.int8) if self.by_rule is None else self.by_rule


@dataclass(frozen=True)
class ByRule:
    """What becomes of a head's answers in its ensemble, where that is not what the head says alone."""

    counts: Counts
    changed: int
    """Rows that are answered otherwise than by the head alone."""
    left_out: int
    """Rows that are not counted: another head, which the answer depends on, has no score for them."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as strict JSON."""
        low, high = f1_interval(self.counts) or (None, None)
        measures = {"f1": self.counts.f1, "f1_low": low, "f1_high": high}
        measures |= {"precision": self.counts.precision, "recall": self.counts.recall}
        return measures | asdict(self.counts) | {"changed": self.changed, "left_out": self.left_out}


@dataclass(frozen=True)
class HeadResult:
    """The measures of one head on its test rows; None is undefined, and `undefined` says why."""

    name: str
    label: str
    threshold: float
    counts: Counts
    precision: float | None
    recall: float | None
    f1: float | None
    f1_interval: Interval | None
    average_precision: float | None
    positives: int
    negatives: int
    always_yes_f1: float | None
    chance_f1: float | None
    undefined: str | None
    seconds: float | None
    by_rule: ByRule | None = None
    """What the exported ensemble answers; None where it answers as the head does alone."""

    @property
    def exported(self) -> Counts:
        """Counts of the answers of the exported ensemble."""
        return self.counts if self.by_rule is None else self.by_rule.counts

    def to_json(self) -> dict[str, Any]:
        """Return the object that `ova analyse --json` prints for a head."""
        low, high = self.f1_interval or (None, None)
        measures = {"f1": self.f1, "f1_low": low, "f1_high": high}
        measures |= {"precision": self.precision, "recall": self.recall}
        measures |= {"average_precision": self.average_precision, **asdict(self.counts)}
        baselines = {"always_yes_f1": self.always_yes_f1, "chance_f1": self.chance_f1}
        rows = {"positives": self.positives, "negatives": self.negatives, "reason": self.undefined}
        test = measures | baselines | rows
        value = {"name": self.name, "label": self.label, "threshold": self.threshold, "test": test}
        return value if self.by_rule is None else value | {"by_rule": self.by_rule.to_json()}


def measure_evidence(head: HeadEvidence) -> HeadResult:
    """Measure a head on its test rows.

    Raises:
        ArtefactError: Its scores are damaged: not finite, not 0 or 1, or of unlike lengths.
    """
    _check(head)
    counts = Counts.of(head.labels, head.decisions)
    reasons = [counts.why_undefined_f1()]
    if counts.total and counts.precision is None:
        reasons.append("no row reaches the threshold, so there is no precision")
    return HeadResult(
        name=head.name,
        label=head.label,
        threshold=float(head.threshold),
        counts=counts,
        precision=counts.precision,
        recall=counts.recall,
        f1=counts.f1,
        f1_interval=f1_interval(counts),
        average_precision=average_precision(head.labels, head.scores),
        positives=counts.positives,
        negatives=counts.negatives,
        always_yes_f1=always_yes_f1(head.labels),
        chance_f1=chance_f1(head.labels),
        undefined="; ".join(filter(None, reasons)) or None,
        seconds=head.seconds,
        by_rule=_by_rule(head),
    )


def _by_rule(head: HeadEvidence) -> ByRule | None:
    if head.by_rule is None:
        return None
    known = head.by_rule >= 0
    answers = head.by_rule[known] == 1
    changed = int((answers != head.decisions[known]).sum())
    return ByRule(Counts.of(head.labels[known], answers), changed, int((~known).sum()))


def _check(head: HeadEvidence) -> None:
    lengths = {len(head.labels), len(head.logits), len(head.images)}
    conditions = {
        "labels, logits and images of one length": len(lengths) == 1,
        "labels of 0 or 1": bool(np.isin(head.labels, (0, 1)).all()),
        "finite logits": bool(np.isfinite(head.scores).all()),
        "a finite threshold": bool(abs(head.threshold) <= np.finfo(np.float32).max),
    }
    if missing := [condition for condition, holds in conditions.items() if not holds]:
        raise ArtefactError(f"the test scores of head {head.name} lack {first_few(missing)}; train it again")
