"""What checks and cleaning of the data found, as tables and lines, or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ova.console import show_json, show_lines, show_table

if TYPE_CHECKING:
    from ova.data.check import DataReport
    from ova.data.clean import CleanReport

_LISTED = 10


def checked(report: DataReport, *, as_json: bool) -> None:
    """Show what `ova data check` found.

    Raises:
        DataError: Training would refuse these images.
    """
    if as_json:
        show_json(report.to_json())
    else:
        if report.counts:
            show_table("images per part", report.counts.rows())
        if report.findings:
            show_table("findings", report.rows())
        nothing = [] if report.findings else ["nothing found that is wrong or worth a look"]
        show_lines([*report.notes, *nothing, *report.advice()])
        show_lines([f"wrote {path}" for path in report.files])
    if report.refusal:
        raise report.refusal


def cleaned(report: CleanReport, *, as_json: bool) -> None:
    """Show what `ova data clean` put on the list, and what is left."""
    if as_json:
        show_json(report.to_json())
        return
    if report.added:
        rows = [(reason, f"{count:,}") for reason, count in report.reasons().items()]
        show_table("left out now", [("reason", "images"), *rows])
    rows = [(name, f"{kept:,}", f"{total:,}") for name, (kept, total) in report.kept.items()]
    show_table("what is left", [("", "kept", "of"), *rows])
    show_lines(_lines(report))


def _lines(report: CleanReport) -> list[str]:
    lines = [f"added {len(report.added):,} lines to {report.path}, which had {report.listed:,}"]
    if report.brought_back:
        count = len(report.brought_back)
        lines.append(f"{count:,} images that were taken off the list stay in use; --again lists them anew")
    if report.conflicts:
        lines.append(f"{len(report.conflicts):,} duplicates have conflicting labels:")
        lines += [f"  {each.image}: {each.note}" for each in report.conflicts[:_LISTED]]
        rest = len(report.conflicts) - _LISTED
        lines += [f"  and {rest:,} more in runs/findings.csv, by ova data check"] if rest > 0 else []
    if report.copy:
        lines.append(f"wrote a copy to {report.copy}: the folder data of a new workspace")
        if report.copy.name == "data":
            lines.append(f"next: ova init {report.copy.parent}")
    return lines
