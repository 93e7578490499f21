"""`runs/statistics/`: the statistics as JSON, CSV tables, pictures and one page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ova.analysis.statistics import plots
from ova.analysis.statistics.page import statistics_page
from ova.analysis.statistics.sizes import Sizes
from ova.analysis.statistics.values import Statistics
from ova.data.dataset import Dataset
from ova.spreadsheets import neutralised
from ova.storage import write_bytes, write_csv, write_json

_Rows = list[Sequence[object]]


def write_statistics(folder: Path, dataset: Dataset, statistics: Statistics) -> tuple[Path, ...]:
    """Write everything and return the files, the page first.

    Raises:
        DataError: An image that the page shows has become unreadable.
        EnvironmentFault: The disk refuses.
    """
    charts = _draw_charts(dataset, statistics)
    page = statistics_page(dataset, statistics, charts)
    files = [folder / "statistics.html", folder / "statistics.json"]
    write_bytes(files[0], page)
    write_json(files[1], statistics.to_json())
    for name, (header, rows) in _csv_tables(statistics).items():
        files.append(folder / f"{name}.csv")
        write_csv(files[-1], header, _safe(rows))
    for name, png in charts.items():
        files.append(folder / f"{name}.png")
        write_bytes(files[-1], png)
    return tuple(files)


def _draw_charts(dataset: Dataset, statistics: Statistics) -> dict[str, bytes]:
    """Draw the charts that these data have, by name."""
    counts = statistics.counts
    sizes = Sizes.of(dataset.table.images, dataset.facts)
    charts = {
        "labels": plots.labels_png(counts.labels),
        "together": plots.together_png(counts.labels) if len(counts.labels.labels) > 2 else None,
        "balance": plots.balance_png(counts.heads),
        "sizes": plots.sizes_png(sizes, counts.sizes),
    }
    return {name: png for name, png in charts.items() if png is not None}


def _csv_tables(statistics: Statistics) -> dict[str, tuple[Sequence[str], _Rows]]:
    """Return header and rows of every CSV table by name, with every digit."""
    counts = statistics.counts
    labels, sizes = counts.labels, counts.sizes.measures
    count_columns = ("positives", "negatives", "unknown", "share")
    shares = labels.together.given_row()
    names = labels.together.labels
    return {
        "labels": (
            ("label", *count_columns),
            [
                (each.label, each.positives, each.negatives, each.unknown, each.share)
                for each in labels.labels
            ],
        ),
        "combinations": (
            ("labels", "images", "with_unknown"),
            [(" + ".join(each.labels), each.images, each.incomplete) for each in labels.combinations],
        ),
        "together": (
            ("label", "other", "images_with_both", "share_of_label"),
            [
                (one, other, int(labels.together.both[row, column]), shares[row][column])
                for row, one in enumerate(names)
                for column, other in enumerate(names)
            ],
        ),
        "parts": (
            ("label", "part", *count_columns),
            [
                (each.label, part, count.positives, count.negatives, count.unknown, count.share)
                for each in counts.parts.labels
                for part, count in each.parts.items()
            ],
        ),
        "balance": _balance(statistics),
        "sizes": (
            ("measure", *sizes["height"]),
            [(name, *values.values()) for name, values in sizes.items()],
        ),
    }


def _balance(statistics: Statistics) -> tuple[Sequence[str], _Rows]:
    header = (
        "head", "label", "held_out", "negatives", "positives", "negatives_per_epoch", "positives_per_epoch",
        "pos_weight", "share_on_disk", "share_per_epoch", "share_in_loss",
    )  # fmt: skip
    rows: _Rows = [
        (head.name, head.label, each.validation, *each.rows, *each.per_epoch, each.pos_weight, *each.shares)
        for head in statistics.counts.heads
        for each in head.networks
    ]
    return header, rows


def _safe(rows: Iterable[Sequence[object]]) -> Iterable[list[object]]:
    """Keep a spreadsheet from running labels as formulas."""
    return map(neutralised, rows)
