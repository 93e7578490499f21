"""What was found in the data: checks, cleaning, splits, statistics, downloads, doubtful labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ova.cli.render.console import Stopped, show_json, show_lines, show_table
from ova.errors import PartialError

if TYPE_CHECKING:
    from pathlib import Path

    from ova.analysis.doubts import DoubtReport
    from ova.analysis.statistics.describe import StatisticsReport
    from ova.data.checks.check import DataReport
    from ova.data.checks.clean import CleanReport
    from ova.data.checks.split_report import SplitReport
    from ova.data.fetch.fetch import FetchReport

_CONFLICTS_SHOWN = 10
_STATISTICS_SHOWN = 30


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
    show_lines(_cleaned_lines(report))


def _cleaned_lines(report: CleanReport) -> list[str]:
    lines = [f"added {len(report.added):,} lines to {report.path}, which had {report.listed:,}"]
    if report.brought_back:
        count = len(report.brought_back)
        lines.append(f"{count:,} images that were taken off the list stay in use; --again lists them anew")
    if report.conflicts:
        lines.append(f"{len(report.conflicts):,} duplicates have conflicting labels:")
        lines += [f"  {each.image}: {each.note}" for each in report.conflicts[:_CONFLICTS_SHOWN]]
        rest = len(report.conflicts) - _CONFLICTS_SHOWN
        lines += [f"  and {rest:,} more in runs/findings.csv, by ova data check"] if rest > 0 else []
    if report.copy:
        lines.append(f"wrote a copy to {report.copy}: the folder data of a new workspace")
        if report.copy.name == "data":
            lines.append(f"next: ova init {report.copy.parent}")
    return lines


def split_report(report: SplitReport, table: Path, *, as_json: bool) -> None:
    """Show what the parts of a split hold, and what they do not."""
    if as_json:
        show_json(report.to_json())
        return
    show_table("positives per part", report.counts.rows())
    show_table("combinations per part", report.rows())
    show_lines([*report.lines(), f"wrote {table}"])


def statistics(report: StatisticsReport, *, as_json: bool) -> None:
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
            short = table.first(_STATISTICS_SHOWN, file)
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


def fetched(report: FetchReport, *, as_json: bool) -> None:
    """Show what became of the URLs.

    Raises:
        Stopped: The user asked to stop before all were asked for.
        PartialError: Some did not give an image.
    """
    if as_json:
        show_json(report.to_json())
    else:
        counts = report.counts()
        show_table("images", [("state", "images"), *((state, str(count)) for state, count in counts.items())])
        lines = [f"{each.url}: {each.problem}" for each in report.failed[:10]]
        show_lines([*lines, *(f"wrote {path}" for path in report.files)])
        if report.labels and not report.failed:
            show_lines([f"next: ova init WORKSPACE --labels {report.labels}"])
    waiting = sum(each.state == "not yet" for each in report.failed)
    told = f"{len(report.failed)} of {len(report.results)} images are not there"
    if waiting:
        raise Stopped(f"{told}; the same command fetches them")
    if report.failed:
        raise PartialError(f"{told}; {report.files[-1]} says why, and the same command tries them again")


def doubts(report: DoubtReport, top: int, *, as_json: bool) -> None:
    """Show the most doubtful labels of every head."""
    if as_json:
        show_json(report.to_json(top))
        return
    for head in report.heads:
        rows = [
            (each.image, str(each.label), f"{each.probability:.3f}", "yes" if each.suspect else "")
            for each in head.doubts[:top]
        ]
        title = f"{head.label}: {head.suspects} of {len(head.doubts)} labels are suspect"
        show_table(title, [("image", "label", "probability of a yes", "suspect"), *rows])
    show_lines([f"wrote {path}" for path in report.files])
