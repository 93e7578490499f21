"""Calibrations, and what unlabelled scores changed, as tables, lines or JSON on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ova.console import show_json, show_lines, show_table

if TYPE_CHECKING:
    from ova.heads.calibration import Calibration
    from ova.heads.drift import Drift


def calibrations(done: Mapping[str, Calibration], *, as_json: bool) -> None:
    """Show thresholds and what they were fitted on."""
    if as_json:
        show_json({name: calibration.to_json() for name, calibration in done.items()})
        return
    header = (
        "head",
        "threshold (logit)",
        "objective",
        "method",
        "positives",
        "negatives",
        "probabilities",
        "note",
    )
    rows = [
        (
            name,
            f"{each.threshold:.4f}",
            each.objective,
            each.method,
            str(each.positives),
            str(each.negatives),
            each.curve.kind if each.curve else "Platt",
            each.note or "",
        )
        for name, each in done.items()
    ]
    show_table("calibration", [header, *rows])


def drifts(found: Sequence[Drift], *, as_json: bool) -> None:
    """Show what unlabelled scores changed, or why nothing."""
    if as_json:
        show_json([each.to_json() for each in found])
        return
    show_lines([f"{each.head}: {each.told}" for each in found])
