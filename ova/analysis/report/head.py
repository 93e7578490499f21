"""What the page says of one head."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ova.analysis.head_result import HeadEvidence, HeadResult
from ova.analysis.html import chart
from ova.analysis.measures.f1 import measured_f1
from ova.analysis.measures.values import HeadMeasures, MeasuredValue
from ova.analysis.report.gallery import Thumbnails
from ova.analysis.report.head_tables import head_tables, interval
from ova.analysis.report.mistakes import Mistakes
from ova.analysis.report.plots import Plot
from ova.analysis.result import number
from ova.heads.calibration.calibration import Calibration

_CAPTIONS = {
    "precision-recall": "Precision and recall. The dashed line is the precision of saying yes always.",
    "roc": "Found positives against flagged negatives. Of a scarce label it looks better than it is.",
    "thresholds": "Precision, recall and F1 at every threshold; dotted, F1 on the rows that chose it.",
    "scores": "How the scores of the two kinds spread: the less they overlap, the better.",
    "reliability": "Of images with this probability, how many have the label. A line outside the band is "
    "evidence that the probabilities are off.",
}
_RULED = ("thresholds", "scores", "reliability")  # a threshold is a line in these, a point in the others


@dataclass(frozen=True, eq=False)
class HeadSection:
    """What there is to show of one head."""

    result: HeadResult
    evidence: HeadEvidence
    measures: HeadMeasures
    calibration: Calibration
    plots: Mapping[str, Plot]
    loss: bytes | None
    """The curves of its training; None where it has no epochs."""
    """How training went, as PNG."""
    mistakes: Mistakes


def head_content(head: HeadSection, thumbnails: Thumbnails) -> dict[str, Any]:
    """Return what `report.html` shows of a head."""
    result = head.result
    rows = f"{result.positives:,} positives in {result.counts.total:,} test rows"
    steps = _steps_json(head)
    return {
        "name": result.name,
        "label": result.label,
        "lead": f"Head {result.name}: {rows}. {_threshold(head.calibration)}{_ruled(result)}",
        "facts": _facts(head),
        "undefined": result.undefined,
        "tables": head_tables(result, head.measures),
        "steps": steps and json.dumps(steps, separators=(",", ":"), allow_nan=False),
        "readout": _readout(head),
        "plots": [_plot(name, plot) for name, plot in head.plots.items()],
        "loss": head.loss and chart(head.loss, "losses and validation average precision of every epoch"),
        "findings": [(finding.kind, finding.text) for finding in head.measures.findings],
        "galleries": thumbnails.galleries(head.result, head.mistakes),
    }


def _threshold(calibration: Calibration) -> str:
    """Tell how the threshold was chosen."""
    rows = f"{calibration.positives:,} positives and {calibration.negatives:,} negatives"
    note = f" {calibration.note.rstrip('.')}." if calibration.note else ""
    return (
        f"The threshold is the best for {calibration.objective} on {rows} that the head was not trained on, "
        f"by the rule {calibration.method}.{note}"
    )


def _ruled(result: HeadResult) -> str:
    """Tell where the ensemble answers otherwise; what follows is of the head alone."""
    if result.by_rule is None:
        return ""
    return (
        f" The exported ensemble answers {result.by_rule.changed:,} test rows otherwise (see its rule); "
        "tables, curves and images here are of the head alone."
    )


def _facts(head: HeadSection) -> list[tuple[str, str]]:
    honest, cost, by_rule = head.measures.f1, head.measures.cost, head.result.by_rule
    facts: list[tuple[str, str]] = []
    if by_rule is not None:
        ruled = measured_f1(by_rule.counts)
        facts.append((f"F1 on test rows, as the ensemble decides{_spread(ruled)}", number(ruled.value)))
    facts += [
        (f"F1 on test rows{', alone' if by_rule else ''}{_spread(honest.test)}", number(honest.test.value)),
        (f"F1 on calibration rows, nested{_spread(honest.nested)}", number(honest.nested.value)),
        ("the same, apparent: too good", number(honest.apparent.value)),
        ("average precision", number(head.result.average_precision)),
    ]
    if cost.seconds is not None:
        facts.append(("training", f"{cost.seconds:,.0f} s"))
    if cost.megabytes is not None:
        facts.append(("weights", f"{cost.megabytes:,.1f} MB"))
    return facts


def _spread(figure: MeasuredValue) -> str:
    return f" ({interval(figure)})" if figure.low is not None else ""


def _steps_json(head: HeadSection) -> dict[str, Any] | None:
    """Return the counts that the page's script needs, the lowest threshold first; None without a positive.

    Thresholds are written in digits that are enough to show.
    """
    sweep = next((each for each in head.measures.sweeps if each.rows == "test"), None)
    if sweep is None:
        return None
    thresholds = sweep.threshold[::-1]
    log_odds = head.calibration.calibrated(thresholds)
    return {
        "thresholds": [float(f"{value:.6g}") for value in thresholds],
        "tp": list(reversed(sweep.tp)),
        "fp": [flagged - tp for flagged, tp in zip(sweep.flagged, sweep.tp, strict=True)][::-1],
        "positives": sweep.positives,
        "negatives": sweep.negatives,
        "chosen": len(sweep.threshold) - 1 - sweep.chosen,
        "log_odds": [float(f"{value:.6g}") for value in log_odds],
    }


def _readout(head: HeadSection) -> list[tuple[str, str, str]]:
    """Return name, field of the script, and value at the chosen threshold."""
    result, counts = head.result, head.result.counts
    probability = float(head.calibration.probability(result.threshold))
    numbers: tuple[tuple[str, str, float | None], ...] = (
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
        "rule": name in _RULED,
    }
