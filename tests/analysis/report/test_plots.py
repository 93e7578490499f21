from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ova.analysis.measures.sweep import score_histogram, sweep_thresholds
from ova.analysis.report.plots import precision_recall_plot, roc_plot, scores_plot, thresholds_plot

LABELS = np.arange(60) % 4 == 0
SCORES = np.random.default_rng(0).normal(0, 1, 60) + 2 * LABELS
SWEEP = sweep_thresholds(LABELS, SCORES, 0.5, rows="test", interval=(0.2, 0.9))
HISTOGRAM = score_histogram(LABELS, SCORES, rows="test")


@pytest.mark.parametrize(
    "plot",
    [
        precision_recall_plot(SWEEP),
        roc_plot(SWEEP),
        thresholds_plot(SWEEP, SWEEP, (-3.0, 5.0)),
        scores_plot(HISTOGRAM, 0.5),
    ],
    ids=["precision-recall", "roc", "thresholds", "scores"],
)
def test_the_box_of_a_plot_lies_on_its_axes(plot):
    with Image.open(io.BytesIO(plot.png)) as image:
        dark = np.asarray(image.convert("L")) < 100
    height, width = dark.shape
    left, top, across, down = plot.box
    columns = dark[round(top * height) + 5 : round((top + down) * height) - 5].mean(axis=0)
    rows = dark[:, round(left * width) + 5 : round((left + across) * width) - 5].mean(axis=1)
    assert columns[round(left * width) - 2 : round(left * width) + 3].max() > 0.95  # the axis of y
    bottom = round((top + down) * height)
    assert rows[bottom - 2 : bottom + 3].max() > 0.95  # the axis of x
    assert plot.x[0] < plot.x[1]
    assert plot.y == pytest.approx((0, plot.y[1]))


def test_the_span_of_scores_holds_the_threshold():
    plot = scores_plot(HISTOGRAM, 50.0)
    assert plot.x[0] < HISTOGRAM.edges[0] < 50.0 < plot.x[1]
