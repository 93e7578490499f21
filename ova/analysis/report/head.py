"""What the page says of one head."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ova.analysis.pages import chart
from ova.analysis.report.gallery import Thumbnails
from ova.analysis.report.mistakes import Mistakes
from ova.analysis.report.plots import Plot
from ova.analysis.report.steps import Steps
from ova.analysis.statistics.tables import Table
from ova.analysis.tables import HeadEvidence, HeadResult, number
from ova.heads.calibration import Calibration

_MOST_STEPS = 500
_CAPTIONS = {
    "precision-recall": "Precision and recall. The dashed line is the precision of saying yes always.",
    "roc": "Found positives against flagged negatives. Of a scarce label it looks better than it is.",
    "thresholds": "Precision, recall and F1 at every threshold.",
    "scores": "How the scores of the two kinds spread: the less they overlap, the better.",
}
_MEANINGS = {
    "precision": "of the yes answers, right",
    "recall": "of the positives, found",
    "specificity": "of the negatives, left alone",
    "negative_predictive_value": "of the no answers, right",
    "false_positive_rate": "of the negatives, flagged",
    "false_discovery_rate": "of the yes answers, wrong",
    "false_negative_rate": "of the positives, missed",
    "accuracy": "of all answers, right",
    "f1": "balance of precision and recall",
    "mcc": "correlation of answers and truth, -1 to 1",
}


@dataclass(frozen=True, eq=False)
class HeadMaterial:
    """What there is to show of one head."""

    result: HeadResult
    evidence: HeadEvidence
    calibration: Calibration
    steps: Steps
    plots: Mapping[str, Plot]
    loss: bytes
    """How training went, as PNG."""
    mistakes: Mistakes


def head_content(head: HeadMaterial, thumbnails: Thumbnails) -> dict[str, Any]:
    """Return what `report.html` shows of a head."""
    result = head.result
    return {
        "name": result.name,
        "label": result.label,
        "lead": f"Head {result.name}: {result.positives:,} positives in {result.counts.total:,} test rows.",
        "facts": _facts(head),
        "undefined": result.undefined,
        "tables": [_counts_table(result), _measures_table(result)],
        "steps": json.dumps(_steps_json(head), separators=(",", ":"), allow_nan=False),
        "readout": _readout(head),
        "plots": [_plot(name, plot) for name, plot in head.plots.items()],
        "charts": [chart(head.loss, "losses and validation average precision of every epoch")],
        "galleries": thumbnails.galleries(head.result, head.mistakes),
    }


def _facts(head: HeadMaterial) -> list[tuple[str, str]]:
    result, interval = head.result, head.result.f1_interval
    facts = [
        ("F1 on test rows", number(result.f1)),
        ("its 95 % interval", "undefined" if interval is None else "{:.3f} to {:.3f}".format(*interval)),
        ("average precision", number(result.average_precision)),
        ("threshold (logit)", number(result.threshold)),
        ("F1 of saying yes always", number(result.always_yes_f1)),
    ]
    return facts if result.seconds is None else [*facts, ("training", f"{result.seconds:,.0f} s")]


def _counts_table(result: HeadResult) -> Table:
    counts = result.counts
    return Table(
        "Right and wrong answers",
        ("truth", "answer yes", "answer no"),
        (
            (f"has {result.label}", f"{counts.tp:,} found", f"{counts.fn:,} missed"),
            (f"has not {result.label}", f"{counts.fp:,} false alarms", f"{counts.tn:,} left alone"),
        ),
    )


def _measures_table(result: HeadResult) -> Table:
    rows = [
        (name.replace("_", " "), number(value), _MEANINGS[name])
        for name, value in result.counts.measures().items()
    ]
    return Table(
        "Measures on test rows", ("measure", "value", "meaning"), tuple(rows), left=frozenset({0, 2})
    )


def _steps_json(head: HeadMaterial) -> dict[str, Any]:
    """Return the counts that the page's script needs; thresholds in digits that are enough to show."""
    steps = head.steps.thinned(_MOST_STEPS)
    return {
        "thresholds": [float(f"{value:.6g}") for value in steps.thresholds.tolist()],
        "tp": steps.tp.tolist(),
        "fp": steps.fp.tolist(),
        "positives": steps.positives,
        "negatives": steps.negatives,
        "chosen": steps.chosen,
        "slope": head.calibration.slope,
        "intercept": head.calibration.intercept,
    }


def _readout(head: HeadMaterial) -> list[tuple[str, str, str]]:
    """Return name, field of the script, and value at the chosen threshold."""
    result, counts = head.result, head.result.counts
    probability = float(head.calibration.probability(result.threshold))
    numbers: Sequence[tuple[str, str, float | None]] = (
        ("threshold (logit)", "threshold", result.threshold),
        ("as a probability", "probability", probability),
        ("precision", "precision", counts.precision),
        ("recall", "recall", counts.recall),
        ("F1", "f1", counts.f1),
    )
    whole = (
        ("found", "tp", counts.tp),
        ("false alarms", "fp", counts.fp),
        ("missed", "fn", counts.fn),
        ("left alone", "tn", counts.tn),
    )
    shown = [(name, field, number(value)) for name, field, value in numbers]
    return shown + [(name, field, f"{value:,}") for name, field, value in whole]


def _plot(name: str, plot: Plot) -> dict[str, Any]:
    left, top, width, height = (f"{100 * share:.3f}%" for share in plot.box)
    return {
        "name": name,
        "picture": chart(plot.png, _CAPTIONS[name], caption=_CAPTIONS[name]),
        "place": f"left:{left};top:{top};width:{width};height:{height}",
        "x": "{:.9g} {:.9g}".format(*plot.x),
        "y": "{:.9g} {:.9g}".format(*plot.y),
        "rule": name in ("thresholds", "scores"),
    }
