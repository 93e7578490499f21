"""What is shown of tools around runs: comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ova.console import show_json, show_lines, show_table

if TYPE_CHECKING:
    from ova.analysis.compare import Comparison, LabelComparison

_HEADER = (
    "label", "images", "positives", "F1 of A", "F1 of B", "B - A (95 % interval)",
    "only A right", "only B right", "p (exact)", "changed sides",
)  # fmt: skip


def comparison(result: Comparison, *, as_json: bool) -> None:
    """Show F1 of both sides per label, their difference, and how many images changed sides."""
    if as_json:
        show_json(result.to_json())
        return
    show_lines([f"A: {result.a.what}", f"B: {result.b.what}"])
    show_table("test rows", [_HEADER, *(_row(each) for each in result.labels)])
    show_lines([f"{side.name}: {note}" for side in (result.a, result.b) for note in side.notes])
    for each in result.labels:
        show_lines([f"{each.label}: {count} left out, {why}" for why, count in each.left_out.items()])
    show_lines([f"wrote {path}" for path in result.files])


def _row(each: LabelComparison) -> tuple[str, ...]:
    measured = each.measured
    difference = "undefined: no positive"
    if measured.difference is not None and measured.interval is not None:
        difference = "{:+.3f} ({:+.3f} to {:+.3f})".format(measured.difference, *measured.interval)
    return (
        each.label,
        str(each.images),
        f"{measured.positives} of {measured.rows}",
        *("undefined" if f1 is None else f"{f1:.3f}" for f1 in (measured.f1_a, measured.f1_b)),
        difference,
        str(measured.only_a_right),
        str(measured.only_b_right),
        f"{measured.p_value:.3f}",
        str(len(each.changed)),
    )
