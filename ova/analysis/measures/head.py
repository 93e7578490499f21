"""All figures of one head, from what its run left, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ova.analysis.head_result import HeadEvidence
from ova.analysis.measures.binary import binary_measures, measured_average_precision
from ova.analysis.measures.f1 import honest_f1, measured_f1
from ova.analysis.measures.learning_curves import diagnose
from ova.analysis.measures.reliability import reliability
from ova.analysis.measures.sweep import score_histogram, sweep_thresholds
from ova.analysis.measures.values import (
    Baseline,
    HeadMeasures,
    Histogram,
    MeasuredValue,
    Sweep,
    TrainingCost,
    as_json,
)
from ova.heads.calibration.calibration import Calibration
from ova.heads.scores import Scores
from ova.metrics import Counts, chance_f1

_CURVE_KEYS = ("sweeps", "histograms")


@dataclass(frozen=True, eq=False)
class HeadRun:
    """What the figures of a head are made from."""

    test: HeadEvidence
    calibration: Calibration
    held_out: Scores
    """The rows that the calibration was fitted on."""
    groups: tuple[str, ...]
    """What each of them belongs to."""
    history: Sequence[Mapping[str, str]]
    """Rows of history.csv."""
    proper_loss: bool
    """As `calibrate_scores`."""
    cost: TrainingCost


def measure_head(run: HeadRun) -> HeadMeasures:
    """Compute every figure of a head but those of trained baselines.

    Raises:
        ArtefactError: Its history is damaged.
    """
    test, calibration, held_out = run.test, run.calibration, run.held_out
    counts = Counts.of(test.labels, test.decisions)
    z = calibration.calibrated(test.logits)
    return HeadMeasures(
        name=test.name,
        label=test.label,
        f1=honest_f1(
            held_out.logits,
            held_out.labels,
            run.groups,
            calibration,
            counts,
            proper_loss=run.proper_loss,
        ),
        measures=binary_measures(test.labels, test.scores, test.decisions),
        reliability=reliability(test.labels, z),
        sweeps=_sweeps(run),
        histograms=_histograms(run),
        findings=diagnose(run.history, test.name),
        baselines=_free_baselines(test),
        cost=run.cost,
    )


def _free_baselines(test: HeadEvidence) -> tuple[Baseline, ...]:
    """What saying always yes, and yes at random as often as the label is positive, reach on test rows."""
    yes = Counts.of(test.labels, np.ones(len(test.labels)))
    ranking = measured_average_precision(test.labels, np.zeros(len(test.labels)))
    chance = chance_f1(test.labels)
    reason = None if chance is not None else yes.why_undefined_f1()
    return (
        Baseline("always yes", measured_f1(yes), ranking),
        Baseline("chance at the prior", MeasuredValue(chance, reason=reason), ranking),
    )


def _sweeps(run: HeadRun) -> tuple[Sweep, ...]:
    calibration, held_out, test = run.calibration, run.held_out, run.test
    interval = (calibration.threshold_low, calibration.threshold_high)
    parts = {"calibration": (held_out.labels, held_out.logits), "test": (test.labels, test.logits)}
    swept = [
        sweep_thresholds(labels, logits, calibration.threshold, rows=rows, interval=interval)
        for rows, (labels, logits) in parts.items()
    ]
    return tuple(each for each in swept if each is not None)


def _histograms(run: HeadRun) -> tuple[Histogram, ...]:
    parts = {"calibration": run.held_out, "test": run.test}
    drawn = [score_histogram(part.labels, part.logits, rows=rows) for rows, part in parts.items()]
    return tuple(each for each in drawn if each is not None)


def head_json(head: HeadMeasures, *, curves: bool) -> dict[str, Any]:
    """Return the figures of a head as strict JSON, with all points of its curves if asked."""
    value = as_json(head)
    value["honest_f1"] = value.pop("f1")
    del value["name"], value["label"]
    if not curves:
        for name in _CURVE_KEYS:
            del value[name]
        if value["reliability"] is not None:
            del value["reliability"]["curve"]
    return value


def nested_text(head: HeadMeasures) -> str:
    """Write the nested F1 with the apparent one in brackets, for a table."""
    nested, apparent = (
        "undefined" if each.value is None else f"{each.value:.3f}"
        for each in (head.f1.nested, head.f1.apparent)
    )
    return f"{nested} ({apparent})"
