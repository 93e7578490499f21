"""What the page says of several heads together."""

from __future__ import annotations

from typing import Any

from ova.analysis.argmax_result import Choices
from ova.analysis.measures.values import Across, CoOccurrence, Slice
from ova.analysis.report.head_tables import interval
from ova.analysis.result import Analysis, number
from ova.analysis.statistics.tables import Table

_MOST_ROWS = 200


def across_content(analysis: Analysis) -> list[dict[str, Any]]:
    """Return the sections of what concerns several heads: those for which there are figures."""
    sections = [] if analysis.choices is None else [_choices(analysis.choices)]
    if analysis.across is None:
        return sections
    labels = {head.name: head.label for head in analysis.heads}
    if len(analysis.across.co_occurrence.heads) > 1:
        sections.append(_together(analysis.across.co_occurrence, labels))
    if analysis.across.slices:
        sections.append(_slices(analysis.across, labels))
    return sections


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


def _together(found: CoOccurrence, labels: dict[str, str]) -> dict[str, Any]:
    names = [labels.get(name, name) for name in found.heads]
    cells = [
        (
            name,
            *(f"{truth:,} / {predicted:,}" for truth, predicted in zip(truths, predictions, strict=True)),
        )
        for name, truths, predictions in zip(names, found.truth, found.predicted, strict=True)
    ]
    table = Table("Images with both labels: in truth / as predicted", ("label", *names), tuple(cells))
    text = (
        "How often labels come together on test rows where both are known. Where predictions come together "
        "more often than the truth, one head takes the other's label for its own."
    )
    return {"anchor": "together", "title": "Labels together", "text": text, "tables": [table]}


def _slices(across: Across, labels: dict[str, str]) -> dict[str, Any]:
    rows = tuple(_slice_row(each, labels) for each in across.slices)
    header = ("head", "on rows", "positives", "F1", "95 % interval", "recall", "95 % interval")
    table = Table("Each head where another label is, and where it is not", header, rows, frozenset({0, 1}))
    text = (
        "A head that finds a defect only beside another one has learnt the other one: compare its recall "
        "with and without."
    )
    tables = [table.first(_MOST_ROWS, "slices.csv")]
    return {"anchor": "slices", "title": "Slices", "text": text, "tables": tables}


def _slice_row(each: Slice, labels: dict[str, str]) -> tuple[str, ...]:
    other = labels.get(each.other, each.other)
    return (
        labels.get(each.head, each.head),
        f"with {other}" if each.present else f"without {other}",
        f"{each.positives:,} of {each.positives + each.negatives:,}",
        number(each.f1.value),
        interval(each.f1),
        number(each.recall.value),
        interval(each.recall),
    )
