"""The pictures that the page makes interactive: a plot, and where in it which value lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ova.analysis.figure import BLUE, GREEN, GREY, ORANGE, png_figure
from ova.analysis.plots import draw_equal_f1
from ova.analysis.report.steps import Steps
from ova.analysis.tables import HeadEvidence
from ova.heads.calibration import Calibration

_SIZE = 4.6, 3.7  # inches: two fit beside each other, and one a phone
_BINS = 40
_LEGEND = {"fontsize": "x-small", "framealpha": 0.9, "edgecolor": "none"}
_LINE = {"linewidth": 1.6, "clip_on": False}


@dataclass(frozen=True)
class Plot:
    """A picture with axes in it."""

    png: bytes
    box: tuple[float, float, float, float]
    """Left, top, width and height of the axes, in shares of the picture."""
    x: tuple[float, float]
    """The values at the left and right end of the axes."""
    y: tuple[float, float]
    """The values at the lower and upper end."""


def curve_plots(evidence: HeadEvidence, steps: Steps, calibration: Calibration) -> dict[str, Plot]:
    """Draw what the rows allow, by name.

    `precision-recall` and `thresholds` need a positive, `roc` a negative as well, `scores` any row.
    """
    plots: dict[str, Plot] = {}
    if steps.positives:
        plots["precision-recall"] = precision_recall_plot(steps)
    if steps.positives and steps.negatives:
        plots["roc"] = roc_plot(steps)
    if steps.positives:
        plots["thresholds"] = thresholds_plot(steps, calibration)
    if steps.positives or steps.negatives:
        plots["scores"] = scores_plot(evidence, steps)
    return plots


def precision_recall_plot(steps: Steps) -> Plot:
    """Draw precision against recall, with lines of equal F1 and what saying yes always would give."""
    prior = steps.positives / (steps.positives + steps.negatives)
    recall, precision = steps.recall[::-1], steps.precision[::-1]
    defined = np.isfinite(precision)
    with _plot() as (axes, finish):
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
        draw_equal_f1(axes)
        axes.plot(recall[defined], precision[defined], color=BLUE, drawstyle="steps-pre", **_LINE)
        axes.axhline(prior, color=GREY, linestyle="--", linewidth=1.2, label="always yes")
        _mark(axes, steps.recall[steps.chosen], steps.precision[steps.chosen])
        axes.legend(loc="lower left", **_LEGEND)
        return finish()


def roc_plot(steps: Steps) -> Plot:
    """Draw the share of positives found against the share of negatives flagged."""
    with _plot() as (axes, finish):
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="share of the negatives that is flagged")
        axes.set_ylabel("recall")
        axes.plot(steps.false_positive_rate, steps.recall, color=BLUE, **_LINE)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="chance")
        _mark(axes, steps.false_positive_rate[steps.chosen], steps.recall[steps.chosen])
        axes.legend(loc="lower right", **_LEGEND)
        return finish()


def thresholds_plot(steps: Steps, calibration: Calibration) -> Plot:
    """Draw precision, recall and F1 against the threshold; a band where the best one may lie as well."""
    curves = (
        ("precision", steps.precision, BLUE, "--"),
        ("recall", steps.recall, GREEN, "-."),
        ("F1", steps.f1, ORANGE, "-"),
    )
    with _plot() as (axes, finish):
        axes.set(xlim=_span(steps), ylim=(0, 1.01), xlabel="threshold (logit)")
        for name, values, colour, style in curves:
            # Counts at a threshold hold for all thresholds down to the next lower score.
            axes.plot(steps.thresholds, values, color=colour, linestyle=style, drawstyle="steps-pre",
                      linewidth=1.4, label=name)  # fmt: skip
        axes.axvline(steps.thresholds[steps.chosen], color="black", linewidth=1.2, label="chosen")
        if calibration.threshold_low is not None and calibration.threshold_high is not None:
            axes.axvspan(calibration.threshold_low, calibration.threshold_high, color=GREY, alpha=0.18,
                         linewidth=0, label="its 90 % interval")  # fmt: skip
        axes.legend(loc="best", **_LEGEND)
        return finish()


def scores_plot(evidence: HeadEvidence, steps: Steps) -> Plot:
    """Draw how the scores of positives and negatives spread, each in shares of their own number."""
    low, high = _span(steps)
    bins = np.linspace(low, high, _BINS + 1)
    groups = ((0, "without the label", GREY, steps.negatives), (1, "with it", ORANGE, steps.positives))
    with _plot() as (axes, finish):
        axes.set(xlim=(low, high), xlabel="score (logit)", ylabel="share of the images")
        for label, name, colour, size in groups:
            if size:
                scores = evidence.scores[evidence.labels == label]
                axes.hist(scores, bins=bins.tolist(), weights=np.full(size, 1 / size), color=colour,
                          alpha=0.55, label=f"{name} ({size:,})")  # fmt: skip
        axes.axvline(float(steps.thresholds[steps.chosen]), color="black", linewidth=1.2, label="chosen")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(loc="best", **_LEGEND)
        return finish()


@contextmanager
def _plot() -> Iterator[tuple[Axes, Callable[[], Plot]]]:
    with png_figure(*_SIZE) as (figure, png):
        axes = figure.add_subplot()
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)

        def finish() -> Plot:
            content = png()  # the axes find their place only now
            box = axes.get_position()
            place = (box.x0, 1 - box.y1, box.width, box.height)
            return Plot(content, place, axes.get_xlim(), axes.get_ylim())

        yield axes, finish


def _mark(axes: Axes, x: float, y: float) -> None:
    """Mark the chosen threshold; where nothing reaches it, there is no precision and no mark."""
    axes.plot(x, y, "o", color=ORANGE, markeredgecolor="white", markersize=8, clip_on=False, zorder=4,
              label="chosen threshold")  # fmt: skip


def _span(steps: Steps) -> tuple[float, float]:
    low, high = float(steps.thresholds[0]), float(steps.thresholds[-1])
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin
