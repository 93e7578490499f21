"""How good several heads are on the test rows: one value, as a table, as CSV and as JSON.

Figures of heads together (macro F1) are of the answers that the exported ensemble gives; where its rule
changes answers of a head, those of the head alone stand beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ova.analysis.argmax_result import Choices
from ova.analysis.head_result import ByRule, HeadEvidence, HeadResult, measure_evidence
from ova.analysis.measures.head import head_json, nested_text
from ova.analysis.measures.values import Across, HeadMeasures, as_json
from ova.errors import RecipeError, first_few
from ova.metrics import f1_interval, macro_f1
from ova.spreadsheets import neutralise
from ova.storage import write_csv, write_json

_COLUMNS = (
    "head", "label", "positives", "threshold", "precision", "recall", "F1 (95 % interval)", "F1 alone",
    "nested F1 (apparent)", "AP",
    "TP/FP/FN/TN", "always yes F1", "chance F1", "note",
)  # fmt: skip


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
    rule: tuple[str, ...] = ()
    """What the exported ensemble does beyond each head's threshold, in words; empty where it does nothing."""

    @property
    def undefined(self) -> int:
        """How many heads the macro F1 leaves out because their F1 is undefined."""
        return sum(head.exported.f1 is None for head in self.heads)

    @property
    def ruled(self) -> bool:
        """Whether the exported ensemble answers otherwise than some head alone."""
        return any(head.by_rule for head in self.heads)

    @property
    def macro_f1_alone(self) -> float | None:
        """Macro F1 of the heads, each at its own threshold."""
        return macro_f1(head.f1 for head in self.heads).value

    def told(self) -> list[str]:
        """Say what the rule of the exported ensemble does and changes; nothing if it does nothing."""
        if not self.rule:
            return []
        changed = sum(head.by_rule.changed for head in self.heads if head.by_rule)
        answers = sum(head.exported.total for head in self.heads)
        effect = f"This changes {changed:,} of {answers:,} answers to test rows"
        if changed:
            macro, alone = number(self.macro_f1), number(self.macro_f1_alone)
            effect += f": macro F1 is {macro} instead of {alone}"
        return [*self.rule, f"{effect}."]

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
        if self.rule:
            value["rule"] = {"told": self.told(), "macro_f1_alone": self.macro_f1_alone}
        if self.choices is not None:
            value |= {"accuracy": self.choices.accuracy, "confusion": self.choices.to_json()}
        if self.across is not None:
            value["across"] = as_json(self.across)
        return value

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table for people as plain text cells: the header, then a row per head.

        Columns that say nothing are left out: "label" where every label is its head's name, "note" where no
        measure is undefined, "F1 alone" where the exported ensemble answers as its heads do. Otherwise
        precision, recall, F1 and counts are the ensemble's. Cells may hold a console's markup; escape them
        there.
        """
        nested = [nested_text(each) for each in self.measures] or [""] * len(self.heads)
        rows = [_text_row(*head, self.ruled) for head in zip(self.heads, nested, strict=True)]
        kept = [index for index in range(len(_COLUMNS)) if any(row[index] for row in rows)]
        return [tuple(row[index] for index in kept) for row in (_COLUMNS, *rows)]


def analyse_heads(
    evidence: Sequence[HeadEvidence], *, ensemble: str | None, mode: str, choices: Choices | None = None
) -> Analysis:
    """Measure heads on their test rows, each at its own threshold, and by their ensemble where that differs.

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
    heads = sorted(map(measure_evidence, evidence), key=lambda head: (head.positives, head.name))
    macro = macro_f1(head.exported.f1 for head in heads).value
    return Analysis(ensemble, mode, macro, tuple(heads), choices)


def write_tables(folder: Path, analysis: Analysis) -> list[Path]:
    """Write metrics.csv (a row per head, every digit) and metrics.json (`Analysis.to_json` with curves).

    Raises:
        EnvironmentFault: The disk refuses.
    """
    table, document = folder / "metrics.csv", folder / "metrics.json"
    rows = [_flat(head, analysis.ruled) for head in analysis.heads]
    write_csv(table, list(rows[0]), [list(row.values()) for row in rows])
    write_json(document, analysis.to_json(curves=True))
    return [table, document]


def _text_row(head: HeadResult, nested: str, ruled: bool) -> tuple[str, ...]:
    counts = head.exported
    bounds = f1_interval(counts)
    interval = "" if bounds is None else " ({:.3f} to {:.3f})".format(*bounds)
    return (
        head.name,
        "" if head.label == head.name else head.label,
        f"{head.positives} of {head.counts.total}",
        number(head.threshold) if head.by_rule is None else "of the rule",
        number(counts.precision),
        number(counts.recall),
        number(counts.f1) + interval,
        number(head.f1) if ruled else "",
        nested,
        number(head.average_precision),
        "{tp}/{fp}/{fn}/{tn}".format(**asdict(counts)),
        number(head.always_yes_f1),
        number(head.chance_f1),
        head.undefined or "",
    )


def number(value: float | None) -> str:
    """Write a figure for people."""
    return "undefined" if value is None else f"{value:.3f}"


def _flat(head: HeadResult, ruled: bool) -> dict[str, object]:
    value = head.to_json()
    value |= value.pop("test") | {"seconds": head.seconds}
    value.pop("by_rule", None)
    if ruled:
        found = head.by_rule or ByRule(head.counts, 0, 0)
        value |= {f"rule_{name}": figure for name, figure in found.to_json().items()}
    return {key: neutralise(cell) if isinstance(cell, str) else cell for key, cell in value.items()}
