"""The statistics as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ova.analysis.html import Picture, chart, photograph, render_page
from ova.analysis.statistics import tables
from ova.analysis.statistics.notices import notices
from ova.analysis.statistics.pairs import ConfusablePairs, Pair
from ova.analysis.statistics.pixels import PixelStatistics
from ova.analysis.statistics.values import DataCounts, Statistics
from ova.data.dataset import Dataset

_SECTIONS = (
    ("labels", "Labels"),
    ("split", "Split"),
    ("balance", "Balance"),
    ("sizes", "Sizes"),
    ("brightness", "Brightness"),
    ("pairs", "Pairs"),
)
_TEXTS = {
    "labels": "a bar per label: images with the label",
    "together": "a matrix of labels: of images with the label of the row, the share with that of the column",
    "balance": "three bars per head: the share of positives on disk, in an epoch and in the loss",
    "sizes": "histograms of the shorter side and of the aspect of the images",
}
_MOST_ROWS = 200


def statistics_page(dataset: Dataset, statistics: Statistics, charts: Mapping[str, bytes]) -> bytes:
    """Render the page.

    Args:
        dataset: Where the few images that are shown lie.
        statistics: What to show.
        charts: PNG bytes by name, from `statistics.plots`.

    Raises:
        DataError: An image that is shown has become unreadable.
    """
    counts, pixels = statistics.counts, statistics.pixels
    content: dict[str, Any] = {
        "lead": _lead(counts),
        "facts": _facts(counts),
        "notices": notices(counts.rows, counts.labels, counts.parts, counts.sizes, counts.heads),
        "sections": _SECTIONS,
        "tables": _tables(statistics),
        "charts": {name: _chart(name, charts) for name in _TEXTS},
        "balance_lines": [(head.name, head.networks[0].lines) for head in counts.heads if head.networks],
        "suggestion": counts.sizes.suggestion,
        "all_grey": pixels.colour == 0,
        "colour": _colour(pixels),
        "pairs": [_pair(dataset, pair, statistics.pairs) for pair in statistics.pairs.pairs],
        "pairs_explanation": statistics.pairs.explain(),
    }
    return render_page("statistics.html", content)


def _lead(counts: DataCounts) -> str:
    parts = ", ".join(f"{images:,} {part}" for part, images in counts.parts.images.items())
    labels = (
        f"{len(counts.labels.labels):,} labels, {counts.labels.mean_positives:,.0f} positives each on average"
    )
    return f"{counts.rows.images:,} images with {labels}: {parts}."


def _facts(counts: DataCounts) -> list[tuple[str, str]]:
    rows, sizes = counts.rows, counts.sizes
    median = {name: values["median"] for name, values in sizes.measures.items()}
    scarcest = min(counts.labels.labels, key=lambda each: (each.positives, each.label))
    return [
        ("images", f"{rows.images:,}"),
        ("rows without image", f"{len(rows.without_image):,}"),
        ("images that are not used", f"{len(rows.without_row):,}"),
        (f"images of the scarcest label, {scarcest.label}", f"{scarcest.positives:,}"),
        ("median size", f"{median['height']:.0f} x {median['width']:.0f}"),
    ]


def _tables(statistics: Statistics) -> dict[str, tables.Table | None]:
    counts = statistics.counts
    several = len(counts.labels.labels) > 1
    found = {
        "labels": tables.label_table(counts.labels).first(_MOST_ROWS, "labels.csv"),
        "combinations": tables.combination_table(counts.labels),
        "per_image": tables.per_image_table(counts.labels),
        "parts": tables.part_table(counts.parts).first(_MOST_ROWS, "parts.csv"),
        "balance": tables.balance_table(counts.heads).first(_MOST_ROWS, "balance.csv"),
        "sizes": tables.size_table(counts.sizes),
        "inputs": tables.input_table(counts.heads).first(_MOST_ROWS, "statistics.json"),
        "brightness": tables.brightness_table(statistics.pixels),
    }
    return found | {"together": tables.together_table(counts.labels) if several else None}


def _chart(name: str, charts: Mapping[str, bytes]) -> Picture | None:
    return chart(charts[name], _TEXTS[name]) if name in charts else None


def _colour(pixels: PixelStatistics) -> str:
    which = "all" if pixels.sample == pixels.training else f"{pixels.sample:,} of"
    shown = "None shows any colour" if pixels.colour == 0 else f"{pixels.colour:,} show colour"
    return f"Measured on {which} {pixels.training:,} training images. {shown}."


def _pair(dataset: Dataset, pair: Pair, pairs: ConfusablePairs) -> dict[str, Any]:
    figure = (
        f"{tables.percent(pair.figure)} mistaken"
        if pairs.by == "confusion"
        else f"average difference {pair.figure:.1f} of 255"
    )
    return {
        "first": pair.first,
        "second": pair.second,
        "figure": figure,
        "only_first": [_photograph(dataset, image, pair.first) for image in pair.only_first],
        "only_second": [_photograph(dataset, image, pair.second) for image in pair.only_second],
    }


def _photograph(dataset: Dataset, image: str, label: str) -> Picture:
    return photograph(dataset.decode(image, 3), f"{label}: {image}", caption=image)
