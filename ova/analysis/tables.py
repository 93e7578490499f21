"""How good each head is on the test rows: one value, as a table, as CSV and as JSON.

A head is judged on the rows whose label is known, at its own threshold, in the float32 that a model answers
in. What cannot be computed is None with a reason; it is never 0, 1 or NaN.

Shape letters: n test rows, k labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.analysis.choices import Choices
from ova.analysis.measures.head_json import head_json, nested_text
from ova.analysis.measures.values import Across, HeadMeasures, as_json
from ova.errors import ArtefactError, RecipeError, first_few
from ova.metrics import Counts, Interval, always_yes_f1, average_precision, chance_f1, f1_interval, macro_f1
from ova.storage import neutralise, write_csv, write_json

_COLUMNS = (
    "head", "label", "positives", "threshold", "precision", "recall", "F1 (95 % interval)",
    "nested F1 (apparent)", "AP",
    "TP/FP/FN/TN", "always yes F1", "chance F1", "note",
)  # fmt: skip


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
    """

    name: str
    label: str
    threshold: float
    labels: NDArray[np.int8]
    logits: NDArray[np.float64]
    images: tuple[str, ...]
    seconds: float | None = None

    @property
    def scores(self) -> NDArray[np.float32]:
        """(n,) the logits as a model puts them out."""
        with np.errstate(over="ignore"):
            return self.logits.astype(np.float32)

    @property
    def decisions(self) -> NDArray[np.bool_]:
        """(n,) yes where the logit reaches the threshold, both rounded to float32."""
        return self.scores >= np.float32(self.threshold)


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

    def to_json(self) -> dict[str, Any]:
        """Return the object that `ova analyse --json` prints for a head."""
        low, high = self.f1_interval or (None, None)
        measures = {"f1": self.f1, "f1_low": low, "f1_high": high}
        measures |= {"precision": self.precision, "recall": self.recall}
        measures |= {"average_precision": self.average_precision, **asdict(self.counts)}
        baselines = {"always_yes_f1": self.always_yes_f1, "chance_f1": self.chance_f1}
        rows = {"positives": self.positives, "negatives": self.negatives, "reason": self.undefined}
        test = measures | baselines | rows
        return {"name": self.name, "label": self.label, "threshold": self.threshold, "test": test}


@dataclass(frozen=True)
class Analysis:
    """The measures of several heads, scarcest label first, and of the choices in argmax mode."""

    ensemble: str | None
    mode: str
    macro_f1: float | None
    heads: tuple[HeadResult, ...]
    choices: Choices | None = None
    measures: tuple[HeadMeasures, ...] = ()
    """All figures of each head, in the order of `heads`; these two are there if `analyse` made it."""
    across: Across | None = None

    @property
    def undefined(self) -> int:
        """How many heads the macro F1 leaves out because their F1 is undefined."""
        return sum(head.f1 is None for head in self.heads)

    def to_json(self, *, curves: bool = False) -> dict[str, Any]:
        """Return the object that `ova analyse --json` prints; strict JSON; with all curves if asked."""
        measures = [head_json(each, curves=curves) for each in self.measures] or [{}] * len(self.heads)
        heads = [head.to_json() | more for head, more in zip(self.heads, measures, strict=True)]
        value: dict[str, Any] = {
            "ensemble": self.ensemble,
            "mode": self.mode,
            "macro_f1": self.macro_f1,
            "heads": heads,
        }
        if self.choices is not None:
            value |= {"accuracy": self.choices.accuracy, "confusion": self.choices.to_json()}
        if self.across is not None:
            value["across"] = as_json(self.across)
        return value

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table for people as plain text cells: the header, then a row per head.

        Columns that say nothing are left out: "label" where every label is its head's name, "note" where no
        measure is undefined. Cells may hold a console's markup; escape them there.
        """
        nested = [nested_text(each) for each in self.measures] or [""] * len(self.heads)
        rows = [_text_row(*head) for head in zip(self.heads, nested, strict=True)]
        kept = [index for index in range(len(_COLUMNS)) if any(row[index] for row in rows)]
        return [tuple(row[index] for index in kept) for row in (_COLUMNS, *rows)]


def analyse_heads(
    evidence: Sequence[HeadEvidence], *, ensemble: str | None, mode: str, choices: Choices | None = None
) -> Analysis:
    """Measure heads on their test rows, each at its own threshold whatever the mode.

    Args:
        evidence: The heads, in any order.
        ensemble: The ensemble that they belong to, if they do.
        mode: "multilabel" or "argmax".
        choices: What the ensemble chose, in argmax mode.

    Returns:
        The heads with the fewest positives first, and the mean of the F1 values that are defined.

    Raises:
        ArtefactError: A head's scores are damaged: not finite, not 0 or 1, or of unlike lengths.
        RecipeError: No head, or one head twice.
    """
    names = [head.name for head in evidence]
    if not names:
        raise RecipeError("there is no head to analyse; name one, or train one with: ova train")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(f"heads to analyse are named twice: {first_few(twice)}; name each once")
    heads = sorted(map(_measure, evidence), key=lambda head: (head.positives, head.name))
    macro = macro_f1(head.f1 for head in heads).value
    return Analysis(ensemble, mode, macro, tuple(heads), choices)


def write_tables(folder: Path, analysis: Analysis) -> list[Path]:
    """Write metrics.csv (a row per head, every digit) and metrics.json (`Analysis.to_json` with curves).

    Raises:
        EnvironmentFault: The disk refuses.
    """
    table, document = folder / "metrics.csv", folder / "metrics.json"
    rows = [_flat(head) for head in analysis.heads]
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    write_json(document, analysis.to_json(curves=True))
    return [table, document]


def _measure(head: HeadEvidence) -> HeadResult:
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
    )


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


def _text_row(head: HeadResult, nested: str) -> tuple[str, ...]:
    interval = "" if head.f1_interval is None else " ({:.3f} to {:.3f})".format(*head.f1_interval)
    return (
        head.name,
        "" if head.label == head.name else head.label,
        f"{head.positives} of {head.counts.total}",
        number(head.threshold),
        number(head.precision),
        number(head.recall),
        number(head.f1) + interval,
        nested,
        number(head.average_precision),
        "{tp}/{fp}/{fn}/{tn}".format(**asdict(head.counts)),
        number(head.always_yes_f1),
        number(head.chance_f1),
        head.undefined or "",
    )


def number(value: float | None) -> str:
    """Write a figure for people."""
    return "undefined" if value is None else f"{value:.3f}"


def _flat(head: HeadResult) -> dict[str, object]:
    value = head.to_json()
    value |= value.pop("test") | {"seconds": head.seconds}
    return {key: neutralise(cell) if isinstance(cell, str) else cell for key, cell in value.items()}
