"""The page of an ensemble: all heads in one table, then each head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ova.analysis.html import render_page
from ova.analysis.measures.f1 import measured_f1
from ova.analysis.report.gallery import Thumbnails
from ova.analysis.report.head import HeadSection, head_content
from ova.analysis.report.head_tables import interval
from ova.analysis.report.rule import rule_content
from ova.analysis.report.several_heads import across_content
from ova.analysis.result import Analysis, number
from ova.analysis.statistics.tables import Table
from ova.metrics import Counts

_FEW = 30  # positives; below, an interval is wide
_ALONE = " F1 alone is what the head reaches at its own threshold, without the rule of the ensemble."


def report_page(
    analysis: Analysis, heads: Sequence[HeadSection], thumbnails: Thumbnails, notices: Sequence[str] = ()
) -> bytes:
    """Render the page.

    Args:
        analysis: The measures of all heads, scarcest label first.
        heads: What there is to show of each, in the same order.
        thumbnails: The images that are shown.
        notices: What the reader is to know first.
    """
    across = [*rule_content(analysis), *across_content(analysis)]
    anchors = [(f"head-{head.result.name}", head.result.label) for head in heads]
    content: dict[str, Any] = {
        "title": analysis.ensemble or "heads",
        "lead": _lead(analysis),
        "facts": _facts(analysis),
        "notices": [*notices, *_notices(analysis)],
        "sections": [
            ("summary", "All heads"),
            *((part["anchor"], part["title"]) for part in across),
            *anchors,
        ],
        "summary": _summary(analysis),
        "summary_note": "Test rows chose nothing: neither weights nor thresholds. The intervals are of 95 %: "
        "so far may the figure lie from that of many images of the same kind. Nested F1 is of the rows that "
        "chose the thresholds, each decided by a threshold that it did not choose."
        + (_ALONE if analysis.ruled else ""),
        "across": across,
        "heat_maps": bool(thumbnails.heat),
        "heads": [head_content(head, thumbnails) for head in heads],
    }
    return render_page("report.html", content, script="report.js")


def _lead(analysis: Analysis) -> str:
    rows = max(head.counts.total for head in analysis.heads)
    kind = {"argmax": "one label or none per image", "multilabel": "any number of labels per image"}
    heads = "1 head" if len(analysis.heads) == 1 else f"{len(analysis.heads)} heads"
    return f"{heads}, {kind[analysis.mode]}, judged on up to {rows:,} test rows that no head was trained on."


def _facts(analysis: Analysis) -> list[tuple[str, str]]:
    scarcest = analysis.heads[0]
    across = analysis.across
    micro = sum((head.exported for head in analysis.heads), Counts()).f1
    macro_spread, micro_spread = (
        f" ({text})" if text else ""
        for text in ((interval(across.macro_f1), interval(across.micro_f1)) if across else ("", ""))
    )
    facts = [
        (f"macro F1, each head counts the same{macro_spread}", number(analysis.macro_f1)),
        (f"micro F1, each answer counts the same{micro_spread}", number(micro)),
        (f"F1 of the scarcest label, {scarcest.label}", number(scarcest.exported.f1)),
    ]
    if analysis.choices is not None:
        facts.append(("accuracy of the choice", number(analysis.choices.accuracy)))
    return facts


def _notices(analysis: Analysis) -> list[str]:
    """Return in words what the figures do not say by themselves."""
    lines = []
    few = [head.label for head in analysis.heads if head.positives < _FEW]
    if few:
        names = ", ".join(few[:5]) + (f" and {len(few) - 5} more" if len(few) > 5 else "")
        lines.append(f"Fewer than {_FEW} positives among the test rows, so read the intervals: {names}.")
    if analysis.undefined:
        names = ", ".join([head.label for head in analysis.heads if head.exported.f1 is None][:5])
        lines.append(f"No F1 can be computed, and the macro F1 leaves it out: {names}.")
    weak = [head.label for head in analysis.heads if _no_better(head.exported.f1, head.always_yes_f1)]
    if weak:
        lines.append(f"No better than saying yes always: {', '.join(weak[:5])}.")
    return lines


def _no_better(f1: float | None, floor: float | None) -> bool:
    return f1 is not None and floor is not None and f1 <= floor


def _summary(analysis: Analysis) -> Table:
    """Put all heads into one table, by the answers of the exported ensemble."""
    ruled = analysis.ruled
    header = (
        "label", "positives", "F1", "95 % interval", *(["F1 alone"] if ruled else []), "nested F1", "AP",
        "precision", "recall", "always yes F1",
    )  # fmt: skip
    rows = tuple(
        (
            head.label,
            f"{head.positives:,} of {head.counts.total:,}",
            number(head.exported.f1),
            interval(measured_f1(head.exported)),
            *([number(head.f1)] if ruled else []),
            number(measures.f1.nested.value),
            number(head.average_precision),
            number(head.exported.precision),
            number(head.exported.recall),
            number(head.always_yes_f1),
        )
        for head, measures in zip(analysis.heads, analysis.measures, strict=True)
    )
    title = "as the exported ensemble decides" if ruled else "each head at its own threshold"
    return Table(f"Test rows, {title}", header, rows)
