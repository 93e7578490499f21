"""The page of an ensemble: all heads in one table, then each head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ova.analysis.choices import Choices
from ova.analysis.pages import render_page
from ova.analysis.report.gallery import Thumbnails
from ova.analysis.report.head import HeadMaterial, head_content
from ova.analysis.statistics.tables import Table
from ova.analysis.tables import Analysis, number
from ova.metrics import Counts

_FEW = 30  # positives; below, an interval is wide


def report_page(
    analysis: Analysis, heads: Sequence[HeadMaterial], thumbnails: Thumbnails, notices: Sequence[str] = ()
) -> bytes:
    """Render the page.

    Args:
        analysis: The measures of all heads, scarcest label first.
        heads: What there is to show of each, in the same order.
        thumbnails: The images that are shown.
        notices: What the reader is to know first.
    """
    across = [_choices(analysis.choices)] if analysis.choices is not None else []
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
        "so far may the figure lie from that of many images of the same kind.",
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
    micro = sum((head.counts for head in analysis.heads), Counts()).f1
    facts = [
        ("macro F1, each head counts the same", number(analysis.macro_f1)),
        ("micro F1, each answer counts the same", number(micro)),
        (f"F1 of the scarcest label, {scarcest.label}", number(scarcest.f1)),
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
        lines.append(f"The F1 of {analysis.undefined} heads is undefined, and the macro F1 leaves them out.")
    weak = [head.label for head in analysis.heads if _no_better(head.f1, head.always_yes_f1)]
    if weak:
        lines.append(f"No better than saying yes always: {', '.join(weak[:5])}.")
    return lines


def _no_better(f1: float | None, floor: float | None) -> bool:
    return f1 is not None and floor is not None and f1 <= floor


def _summary(analysis: Analysis) -> Table:
    header, *rows = analysis.rows()
    words = frozenset(column for column, name in enumerate(header) if name in ("head", "label", "note"))
    return Table("Test rows, each head at its own threshold", header, tuple(rows), left=words)


def _choices(choices: Choices) -> dict[str, Any]:
    rows = tuple(
        (label, *(f"{count:,}" for count in row))
        for label, row in zip(choices.labels, choices.matrix, strict=True)
    )
    table = Table("Truth (down) and choice (across)", ("truth", *choices.labels), rows)
    left_out = (
        f" {choices.left_out:,} rows are left out: a label is unknown, or several hold."
        if choices.left_out
        else ""
    )
    text = f"Which label was chosen, for rows with one label or none.{left_out}"
    return {"anchor": "choices", "title": "Choices", "text": text, "tables": [table]}
