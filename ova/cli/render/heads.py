"""Trainings, calibrations, exports and analyses, and the state of heads and ensembles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ova.cli.render.console import Stopped, show_json, show_lines, show_table
from ova.errors import PartialError

if TYPE_CHECKING:
    from ova.analysis.analyse import Report
    from ova.ensembles.export.onnx_export import ExportReport
    from ova.ensembles.runtime.manifest import Manifest
    from ova.ensembles.status import EnsembleStatus
    from ova.heads.calibration.calibration import Calibration
    from ova.heads.calibration.drift import Drift
    from ova.heads.status import HeadStatus
    from ova.heads.training.train import HeadOutcome


def outcomes(results: Sequence[HeadOutcome], *, as_json: bool) -> None:
    """Show how each training ended."""
    if as_json:
        show_json([asdict(result) for result in results])
        return
    rows = [(result.name, result.status, result.run or "", result.reason or "") for result in results]
    show_table("heads", [("head", "status", "run", "note"), *rows])


def outcome_errors(results: Sequence[HeadOutcome]) -> None:
    """Raise if a head was not trained.

    Raises:
        Stopped: A training was interrupted.
        PartialError: A head failed or was skipped.
    """
    stopped = [result for result in results if result.status == "interrupted"]
    if stopped:
        raise Stopped(stopped[0].reason or "interrupted")
    failed = [result for result in results if result.status in ("failed", "skipped")]
    if failed:
        counts = Counter(result.status for result in failed)
        told = " and ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        raise PartialError(
            f"of {len(results)} heads {told}, the rest is done: {failed[0].name}: {failed[0].reason}"
        )


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


def exported(report: ExportReport, *, as_json: bool) -> None:
    """Show where the combined model is and how it compared."""
    parity = report.parity
    if as_json:
        show_json({"model": str(report.model), "bytes": report.size, **report.manifest.to_json()})
        return
    lines = [
        f"wrote {report.model} ({report.size / 1e6:.1f} MB) and manifest.json beside it",
        f"compared with torch on {parity.images} images: "
        f"largest difference of a logit {parity.max_logit_difference:.1e}, decisions that differ: 0",
    ]
    show_lines(lines)


def absent_heads(manifest: Manifest) -> None:
    """Raise if a model was written without some of its heads.

    Raises:
        PartialError: Says which, and why the first of them.
    """
    if manifest.absent:
        names = ", ".join(each.name for each in manifest.absent)
        raise PartialError(f"the model is written without {names}: {manifest.absent[0].reason}")


def analysis(report: Report, title: str) -> None:
    """Show the table of an analysis."""
    result = report.analysis
    show_table(f"{title}: test rows", result.rows())
    macro = "undefined" if result.macro_f1 is None else f"{result.macro_f1:.3f}"
    left_out = f" ({result.undefined} undefined left out)" if result.undefined else ""
    lines = [*result.told(), f"macro F1 {macro}{left_out}"]
    if result.across is not None and result.across.micro_f1.value is not None:
        for name, found in (("macro", result.across.macro_f1), ("micro", result.across.micro_f1)):
            lines.append(f"95 % interval of {name} F1 {found.value:.3f}: {found.low:.3f} to {found.high:.3f}")
    if result.choices is not None and result.choices.accuracy is not None:
        lines.append(f"accuracy of the choice {result.choices.accuracy:.3f}")
    lines += [
        f"{head.name}: {baseline.name} reaches F1 {baseline.f1.value:.3f}"
        for head in result.measures
        for baseline in head.baselines
        if baseline.seconds is not None and baseline.f1.value is not None
    ]
    lines += [
        f"{head.name}: {finding.kind}. {finding.text}"
        for head in result.measures
        for finding in head.findings
        if finding.kind != "sound"
    ]
    page, *others = report.files
    if result.ensemble is None:
        lines += [f"wrote {path}" for path in report.files]
    else:
        lines.append(f"wrote {page}, and {len(others)} tables and pictures beside it")
    show_lines(lines)


def statuses(heads: Sequence[HeadStatus], ensembles: Sequence[EnsembleStatus], *, as_json: bool) -> None:
    """Show heads and ensembles with their state."""
    if as_json:
        show_json(
            {"heads": [asdict(each) for each in heads], "ensembles": [asdict(each) for each in ensembles]}
        )
        return
    head_rows = [
        (
            each.name,
            each.label or "",
            each.backbone or "",
            each.state,
            each.run or "",
            _figure(each.threshold),
            _figure(each.validation_average_precision),
            each.reason or "",
        )
        for each in heads
    ]
    header = ("head", "label", "backbone", "state", "run", "threshold", "validation AP", "note")
    show_table("heads", [header, *head_rows])
    ensemble_rows = [
        (
            each.name,
            ", ".join(each.heads),
            each.mode or "",
            each.state,
            _figure(each.macro_f1),
            each.reason or "",
        )
        for each in ensembles
    ]
    show_table("ensembles", [("ensemble", "heads", "mode", "state", "macro F1", "note"), *ensemble_rows])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
