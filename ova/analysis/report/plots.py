"""The pictures that the page makes interactive."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ova.analysis.figure import BLUE, GREEN, GREY, ORANGE, png_figure
from ova.analysis.head_plots import draw_equal_f1
from ova.analysis.measures.values import HeadMeasures, Histogram, ReliabilityCurve, Sweep

_SIZE = 4.6, 3.7  # inches: two fit beside each other, and one a phone
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


def curve_plots(measures: HeadMeasures, threshold: float) -> dict[str, Plot]:
    """Draw what the test rows of a head allow, by name.

    `precision-recall` and `thresholds` need a positive, `roc` a negative as well, `scores` and
    `reliability` any row.
    """
    sweeps = {sweep.rows: sweep for sweep in measures.sweeps}
    plots: dict[str, Plot] = {}
    drawn = next((each for each in measures.histograms if each.rows == "test"), None)
    if (sweep := sweeps.get("test")) is not None:
        plots["precision-recall"] = precision_recall_plot(sweep)
        if sweep.negatives:
            plots["roc"] = roc_plot(sweep)
        span = _span(drawn, threshold)
        plots["thresholds"] = thresholds_plot(sweep, sweeps.get("calibration"), span)
    if drawn is not None:
        plots["scores"] = scores_plot(drawn, threshold)
    if measures.reliability is not None and measures.reliability.curve is not None:
        plots["reliability"] = _reliability_plot(measures.reliability.curve)
    return plots


def precision_recall_plot(sweep: Sweep) -> Plot:
    """Draw precision against recall, with lines of equal F1 and what saying yes always would give."""
    prior = sweep.positives / (sweep.positives + sweep.negatives)
    with _plot() as (axes, finish):
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="recall", ylabel="precision")
        draw_equal_f1(axes)
        precision = _floats(sweep.precision)
        shown = np.isfinite(precision)
        axes.plot(np.array(sweep.recall)[shown], precision[shown], color=BLUE, drawstyle="steps-pre", **_LINE)
        axes.axhline(prior, color=GREY, linestyle="--", linewidth=1.2, label="always yes")
        _mark(axes, sweep.recall[sweep.chosen], precision[sweep.chosen])
        axes.legend(loc="lower left", **_LEGEND)
        return finish()


def roc_plot(sweep: Sweep) -> Plot:
    """Draw the share of positives found against the share of negatives flagged."""
    with _plot() as (axes, finish):
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="share of the negatives that is flagged")
        axes.set_ylabel("recall")
        flagged = _floats(sweep.false_positive_rate)
        axes.plot(flagged, sweep.recall, color=BLUE, **_LINE)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2, label="chance")
        _mark(axes, flagged[sweep.chosen], sweep.recall[sweep.chosen])
        axes.legend(loc="lower right", **_LEGEND)
        return finish()


def thresholds_plot(test: Sweep, calibration: Sweep | None, span: tuple[float, float]) -> Plot:
    """Draw precision, recall and F1 against the threshold, and F1 on the rows that chose it.

    A band shows where the best threshold of resampled calibration rows lies.
    """
    curves: list[tuple[str, Sweep, Sequence[float | None], str, str]] = [
        ("precision", test, test.precision, BLUE, "--"),
        ("recall", test, test.recall, GREEN, "-."),
        ("F1", test, test.f1, ORANGE, "-"),
    ]
    if calibration is not None:
        curves.append(("F1 where it was chosen", calibration, calibration.f1, "black", ":"))
    with _plot() as (axes, finish):
        axes.set(xlim=span, ylim=(0, 1.01), xlabel="threshold (logit)")
        for name, sweep, values, colour, style in curves:
            axes.plot(sweep.threshold, _floats(values), color=colour, linestyle=style, linewidth=1.4,
                      drawstyle="steps-mid", label=name)  # fmt: skip
        axes.axvline(test.threshold[test.chosen], color="black", linewidth=1.2, label="chosen")
        if test.chosen_low is not None and test.chosen_high is not None:
            axes.axvspan(test.chosen_low, test.chosen_high, color=GREY, alpha=0.18, linewidth=0,
                         label="its 90 % interval")  # fmt: skip
        axes.legend(loc="best", **_LEGEND)
        return finish()


def scores_plot(drawn: Histogram, threshold: float) -> Plot:
    """Draw how the scores of positives and negatives spread, each in shares of their own number."""
    groups = (("without the label", drawn.negatives, GREY), ("with it", drawn.positives, ORANGE))
    with _plot() as (axes, finish):
        axes.set(xlim=_span(drawn, threshold), xlabel="score (logit)", ylabel="share of the images")
        for name, counts, colour in groups:
            if size := sum(counts):
                axes.stairs(np.array(counts) / size, drawn.edges, fill=True, color=colour, alpha=0.55,
                            label=f"{name} ({size:,})")  # fmt: skip
        axes.axvline(threshold, color="black", linewidth=1.2, label="chosen")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(bottom=0)
        axes.legend(loc="best", **_LEGEND)
        return finish()


def _reliability_plot(curve: ReliabilityCurve) -> Plot:
    """Draw the observed share of positives against the probability, with the band of right ones."""
    with _plot() as (axes, finish):
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="probability", ylabel="share that has the label")
        axes.fill_between(curve.probability, curve.low, curve.high, color=GREY, alpha=0.25, linewidth=0,
                          label="where right probabilities lie (95 %)")  # fmt: skip
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2)
        axes.plot(curve.probability, curve.observed, color=BLUE, label="this head", **_LINE)
        axes.legend(loc="upper left", **_LEGEND)
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


def _span(drawn: Histogram | None, threshold: float) -> tuple[float, float]:
    """The logits to show: those of the histogram, and the threshold."""
    edges = (threshold,) if drawn is None else (*drawn.edges, threshold)
    margin = 0.03 * (max(edges) - min(edges)) or 0.5
    return min(edges) - margin, max(edges) + margin


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values])
