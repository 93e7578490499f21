"""Results as tables, lines or JSON on stdout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ova.console import show_json, show_lines, show_table
from ova.errors import OvaError, PartialError

if TYPE_CHECKING:
    from pathlib import Path

    from ova.analysis.evidence import Report
    from ova.analysis.label_doubts import DoubtReport
    from ova.data.fetch import FetchReport
    from ova.data.split_report import SplitReport
    from ova.ensembles.export import ExportReport
    from ova.ensembles.manifest import Manifest
    from ova.ensembles.status import EnsembleStatus
    from ova.heads.status import HeadStatus
    from ova.heads.train import HeadOutcome


class Stopped(OvaError):
    """The user asked to stop."""

    exit_code = 130


def split_report(report: SplitReport, table: Path, *, as_json: bool) -> None:
    """Show what the parts of a split hold, and what they do not."""
    if as_json:
        show_json(report.to_json())
        return
    show_table("positives per part", report.counts.rows())
    show_table("combinations per part", report.rows())
    show_lines([*report.lines(), f"wrote {table}"])


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


def fetched(report: FetchReport, *, as_json: bool) -> None:
    """Show what became of the URLs.

    Raises:
        Stopped: The user asked to stop before all were asked for.
        PartialError: Some did not give an image.
    """
    if as_json:
        show_json(report.to_json())
    else:
        counts = report.counts()
        show_table("images", [("state", "images"), *((state, str(count)) for state, count in counts.items())])
        lines = [f"{each.url}: {each.problem}" for each in report.failed[:10]]
        show_lines([*lines, *(f"wrote {path}" for path in report.files)])
        if report.labels and not report.failed:
            show_lines([f"next: ova init WORKSPACE --labels {report.labels}"])
    waiting = sum(each.state == "not yet" for each in report.failed)
    told = f"{len(report.failed)} of {len(report.results)} images are not there"
    if waiting:
        raise Stopped(f"{told}; the same command fetches them")
    if report.failed:
        raise PartialError(f"{told}; {report.files[-1]} says why, and the same command tries them again")


def doubts(report: DoubtReport, top: int, *, as_json: bool) -> None:
    """Show the most doubtful labels of every head."""
    if as_json:
        show_json(report.to_json(top))
        return
    for head in report.heads:
        rows = [
            (each.image, str(each.label), f"{each.probability:.3f}", "yes" if each.suspect else "")
            for each in head.doubts[:top]
        ]
        title = f"{head.label}: {head.suspects} of {len(head.doubts)} labels are suspect"
        show_table(title, [("image", "label", "probability of a yes", "suspect"), *rows])
    show_lines([f"wrote {path}" for path in report.files])
