"""The statistics of the data on stdout: a few short tables, or JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ova.console import show_json, show_lines, show_table

if TYPE_CHECKING:
    from ova.analysis.statistics.describe import StatisticsReport

_MOST_ROWS = 30


def show(report: StatisticsReport, *, as_json: bool) -> None:
    """Show statistics."""
    from ova.analysis.statistics import tables
    from ova.analysis.statistics.notices import notices

    if as_json:
        show_json(report.statistics.to_json())
        return
    counts = report.statistics.counts
    for table, file in (
        (tables.label_table(counts.labels), "labels.csv"),
        (tables.combination_table(counts.labels, most=10), "combinations.csv"),
        (tables.part_table(counts.parts), "parts.csv"),
        (tables.balance_table(counts.heads), "balance.csv"),
        (tables.size_table(counts.sizes), "sizes.csv"),
        (tables.brightness_table(report.statistics.pixels), "statistics.json"),
    ):
        if table.rows:
            short = table.first(_MOST_ROWS, file)
            show_table(short.title, [short.header, *short.rows])
    suggestion = counts.sizes.suggestion
    show_lines([f"suggested input: size = {suggestion.setting} ({suggestion.reason})"])
    show_lines(
        [
            f"worth a look: {line}"
            for line in notices(counts.rows, counts.labels, counts.parts, counts.sizes, counts.heads)
        ]
    )
    show_lines([f"wrote {report.files[0]} and {len(report.files) - 1} files beside it"])
