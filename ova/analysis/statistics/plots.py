"""Pictures of the statistics, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ova.analysis.figure import BLUE, GREY, ORANGE, png_figure, readable
from ova.analysis.statistics.balance import HeadBalance
from ova.analysis.statistics.labels import LabelStatistics
from ova.analysis.statistics.sizes import Sizes, SizeStatistics

MOST_BARS = 40
"""Labels or heads in one picture; the most frequent ones."""
_LIGHT = "#9cc9e3"
_NAME = 28  # characters beside a bar


def labels_png(labels: LabelStatistics) -> bytes:
    """Draw a bar per label: images in which it holds. The axis is logarithmic where they differ much."""
    shown = labels.labels[:MOST_BARS]
    counts = [each.positives for each in shown]
    with png_figure(7.2, 1.1 + 0.26 * len(shown)) as (figure, png):
        axes = figure.add_subplot()
        axes.barh(range(len(shown)), counts, color=BLUE, height=0.7)
        _name_bars(axes, [each.label for each in shown])
        logarithmic = max(counts) > 50 * max(1, min(counts))
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xlim(0.8, 3 * max(counts))
        else:
            axes.set_xlim(0, 1.15 * max(1, *counts))
        for row, count in enumerate(counts):
            axes.annotate(
                f"{count:,}",
                (max(count, 0.8 if logarithmic else 0), row),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize="small",
            )
        axes.set_xlabel("images with the label" + (" (logarithmic)" if logarithmic else ""))
        _plain(axes)
        return png()


def together_png(labels: LabelStatistics) -> bytes:
    """Draw P(column | row): of the images with the row's label, the share that has the column's."""
    names = labels.together.labels[:MOST_BARS]
    cut = len(names)
    shares = np.array(
        [
            [np.nan if value is None else value for value in row[:cut]]
            for row in labels.together.given_row()[:cut]
        ]
    )
    np.fill_diagonal(shares, np.nan)
    with png_figure(2.4 + 0.32 * cut, 1.9 + 0.3 * cut) as (figure, png):
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(0.01, float(np.nanmax(shares, initial=0))))
        axes.set_facecolor("#eeeeee")
        texts = [readable(name, f"label {row + 1}", _NAME) for row, name in enumerate(names)]
        axes.set_yticks(range(cut), texts, parse_math=False)
        axes.set_xticks(range(cut), texts, rotation=90, parse_math=False)
        axes.set_ylabel("of images with ...")
        axes.set_xlabel("... this share has")
        bar = figure.colorbar(image, shrink=0.7)
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        return png()


def balance_png(heads: Sequence[HeadBalance]) -> bytes | None:
    """Draw three bars per head: share of positives on disk, in an epoch, in the loss; None without a head.

    Of a head with folds the first network is drawn; the others differ by chance only.
    """
    planned = [(head.name, head.networks[0]) for head in heads if head.networks]
    shown = sorted(planned, key=lambda each: (each[1].shares[0], each[0]))[:MOST_BARS]
    if not shown:
        return None
    bars = (
        ("on disk", GREY),
        ("shown by an epoch", _LIGHT),
        ("in the loss (positives times pos_weight)", BLUE),
    )
    with png_figure(7.2, 1.6 + 0.62 * len(shown)) as (figure, png):
        axes = figure.add_subplot()
        for index, (legend, colour) in enumerate(bars):
            rows = np.arange(len(shown)) + 0.26 * (index - 1)
            axes.barh(
                rows, [network.shares[index] for _, network in shown], color=colour, height=0.24, label=legend
            )
        for row, (_, network) in enumerate(shown):
            for offset, share, pair in ((-0.26, 0, network.rows), (0, 1, network.per_epoch)):
                text = f"{pair[1]:,} to {pair[0]:,}"
                axes.annotate(
                    text,
                    (network.shares[share], row + offset),
                    (3, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize="x-small",
                )
        axes.axvline(0.5, color=ORANGE, linestyle=":", linewidth=1)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel("share of positives (beside the bars: positives to negatives)")
        _name_bars(axes, [name for name, _ in shown])
        _plain(axes)
        figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)
        return png()


def sizes_png(sizes: Sizes, statistics: SizeStatistics) -> bytes | None:
    """Draw how many images have which shorter side and which aspect; None where all have one size."""
    if statistics.sizes < 2:
        return None
    shorter = np.minimum(sizes.height, sizes.width)
    suggested = statistics.suggestion
    panels = (
        (shorter, "shorter side (pixels)", min(suggested.height, suggested.width)),
        (sizes.width / sizes.height, "aspect (width / height)", suggested.width / suggested.height),
    )
    with png_figure(7.2, 2.9) as (figure, png):
        panes = figure.subplots(1, 2)
        for axes, (values, name, line) in zip(panes, panels, strict=True):
            axes.hist(values, bins=40, color=BLUE)
            axes.axvline(line, color=ORANGE, linestyle="--", linewidth=1.5, label="suggested input")
            axes.set_xlabel(name)
            axes.set_ylabel("images")
            _plain(axes)
        handles, legends = panes[0].get_legend_handles_labels()
        figure.legend(handles, legends, loc="outside lower center", fontsize="small", frameon=False)
        return png()


def _name_bars(axes: Axes, names: Sequence[str]) -> None:
    """Write names beside horizontal bars, the first one on top."""
    texts = [readable(name, f"label {row + 1}", _NAME) for row, name in enumerate(names)]
    axes.set_yticks(range(len(names)), texts, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
