"""What is shown of tools around runs: comparisons, and searches for a better recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ova.cli.render.console import Stopped, show_json, show_lines, show_table

if TYPE_CHECKING:
    from ova.analysis.compare.compare import Comparison, LabelComparison
    from ova.analysis.tune_report import TuneReport
    from ova.heads.tune.found import Trial

_COMPARISON_HEADER = (
    "label", "images", "positives", "F1 of A", "F1 of B", "B - A (95 % interval)",
    "only A right", "only B right", "p (exact)", "changed sides",
)  # fmt: skip
_TRIAL_HEADER = (
    "trial", "state", "held out", "million parameters", "ms / image", "none better and faster",
    "backbone", "size", "rate", "batch", "augment", "balance", "note",
)  # fmt: skip


def comparison(result: Comparison, *, as_json: bool) -> None:
    """Show F1 of both sides per label, their difference, and how many images changed sides."""
    if as_json:
        show_json(result.to_json())
        return
    show_lines([f"A: {result.a.what}", f"B: {result.b.what}"])
    show_table("test rows", [_COMPARISON_HEADER, *(_comparison_row(each) for each in result.labels)])
    show_lines([f"{side.name}: {note}" for side in (result.a, result.b) for note in side.notes])
    for each in result.labels:
        show_lines([f"{each.label}: {count} left out, {why}" for why, count in each.left_out.items()])
    show_lines([f"wrote {path}" for path in result.files])


def _comparison_row(each: LabelComparison) -> tuple[str, ...]:
    measured = each.measured
    difference = "undefined: no positive"
    if measured.difference is not None and measured.interval is not None:
        difference = "{:+.3f} ({:+.3f} to {:+.3f})".format(measured.difference, *measured.interval)
    return (
        each.label,
        str(each.images),
        f"{measured.positives} of {measured.rows}",
        *("undefined" if f1 is None else f"{f1:.3f}" for f1 in (measured.f1_a, measured.f1_b)),
        difference,
        str(measured.only_a_right),
        str(measured.only_b_right),
        f"{measured.p_value:.3f}",
        str(len(each.changed)),
    )


def tuned(report: TuneReport, *, as_json: bool) -> None:
    """Show the trials, the best first, and where the new recipe is.

    Raises:
        Stopped: The user asked to stop.
    """
    found = report.found
    if as_json:
        show_json(report.to_json())
    else:
        sign = -1 if found.criterion == "average-precision" else 1
        order = sorted(
            found.trials, key=lambda each: (each.figure is None, sign * (each.figure or 0.0), each.number)
        )
        show_table(f"{report.head}: trials", [_TRIAL_HEADER, *(_trial_row(each, report) for each in order)])
        show_lines([f"wrote {path}" for path in report.files])
        show_lines([_next_step(report)])
    if found.stopped == "interrupted":
        raise Stopped(f"{report.head}: the search was stopped; the same command goes on with it")


def _trial_row(trial: Trial, report: TuneReport) -> tuple[str, ...]:
    measured, choice = trial.measured, trial.choice
    start = " (the recipe as it is)" if trial.number == 0 else ""
    return (
        f"{trial.number}{start}",
        trial.state,
        "" if trial.figure is None else f"{trial.figure:.4f}",
        f"{measured['parameters'] / 1e6:.2f}" if measured else "",
        f"{measured['milliseconds']:.2f}" if measured else "",
        "yes" if trial.number in report.front else "",
        str(choice.get("backbone", "")),
        str(choice.get("size", "")),
        f"{choice['learning_rate']:.2g}" if "learning_rate" in choice else "",
        str(choice.get("batch_size", "")),
        str(choice.get("augment", "")),
        str(choice.get("balance", "")),
        trial.reason or "",
    )


def _next_step(report: TuneReport) -> str:
    if report.found.best is None:
        return "no trial came to its end"
    if report.recipe is None:
        return "nothing was better than the recipe as it is"
    name = report.recipe.stem
    return f"wrote {report.recipe}; look at it, then: ova train {name}; ova compare {report.head} {name}"
