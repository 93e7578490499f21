"""What the page says of the rule of an ensemble."""

from __future__ import annotations

from typing import Any

from ova.analysis.head_result import HeadResult
from ova.analysis.measures.f1 import measured_f1
from ova.analysis.report.head_tables import interval
from ova.analysis.result import Analysis, number
from ova.analysis.statistics.tables import Table

_TEXT = (
    "The exported model decides by this rule, which was made on calibration rows; test rows had no part in "
    "it. Alone is what each head answers at its own threshold."
)
_HEADER = (
    "label", "F1", "95 % interval", "F1 alone", "95 % interval", "found", "found alone", "false alarms",
    "false alarms alone", "answers changed", "not known",
)  # fmt: skip


def rule_content(analysis: Analysis) -> list[dict[str, Any]]:
    """Return the section of the rule; none where each head stands alone."""
    if not analysis.rule:
        return []
    rows = tuple(map(_row, analysis.heads))
    tables = [Table("By the rule and alone, on test rows", _HEADER, rows)] if analysis.ruled else []
    text = f"{_TEXT} {' '.join(analysis.told())}"
    return [{"anchor": "rule", "title": "The rule of the ensemble", "text": text, "tables": tables}]


def _row(head: HeadResult) -> tuple[str, ...]:
    ruled, alone = head.exported, head.counts
    by_rule = head.by_rule
    return (
        head.label,
        number(ruled.f1),
        interval(measured_f1(ruled)),
        number(alone.f1),
        interval(measured_f1(alone)),
        f"{ruled.tp:,}",
        f"{alone.tp:,}",
        f"{ruled.fp:,}",
        f"{alone.fp:,}",
        f"{by_rule.changed:,}" if by_rule else "0",
        f"{by_rule.left_out:,}" if by_rule else "0",
    )
