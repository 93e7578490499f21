"""The tables of one head: counts, measures, probabilities, baselines."""

from __future__ import annotations

from ova.analysis.head_result import HeadResult
from ova.analysis.measures.values import HeadMeasures, MeasuredValue, Reliability
from ova.analysis.result import number
from ova.analysis.statistics.tables import Table

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
    "average_precision": "area under precision and recall",
    "roc_auc": "a positive scores higher than a negative, so often",
}
_NAMES = {"f1": "F1", "mcc": "MCC", "roc_auc": "ROC AUC"}


def head_tables(result: HeadResult, measures: HeadMeasures) -> list[Table]:
    """Return the tables of a head, those that have rows."""
    found = measures.reliability
    return [
        _counts(result),
        *([_baselines(measures)] if measures.baselines else []),
        _measures(measures),
        *([] if found is None else [_reliability(found)]),
    ]


def interval(figure: MeasuredValue) -> str:
    """Write an interval for people; empty where there is none."""
    return "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"


def _counts(result: HeadResult) -> Table:
    counts = result.counts
    return Table(
        "Right and wrong answers",
        ("truth", "answer yes", "answer no"),
        (
            (f"has {result.label}", f"{counts.tp:,} found", f"{counts.fn:,} missed"),
            (f"has not {result.label}", f"{counts.fp:,} false alarms", f"{counts.tn:,} left alone"),
        ),
    )


def _measures(measures: HeadMeasures) -> Table:
    rows = [
        (
            _NAMES.get(name, name.replace("_", " ")),
            number(figure.value),
            interval(figure),
            _MEANINGS[name] if figure.reason is None else figure.reason,
        )
        for name, figure in measures.measures.items()
    ]
    header = ("measure", "value", "95 % interval", "meaning")
    return Table("Measures on test rows", header, tuple(rows), left=frozenset({0, 3}))


def _reliability(found: Reliability) -> Table:
    figures = (
        ("log loss (nats)", found.log_loss, "lower is better"),
        ("Brier score", found.brier, "lower is better"),
        ("Brier skill", found.brier_skill, "1 is perfect, 0 says no more than the share of positives"),
        ("slope of the log odds", found.slope, "1 is right; below it, the head is too sure"),
        ("intercept of the log odds", found.intercept, "0 is right; above it, probabilities are too low"),
    )
    rows = [
        (name, number(figure.value), interval(figure), meaning if figure.reason is None else figure.reason)
        for name, figure, meaning in figures
    ]
    if (error := found.calibration_error) is not None:
        meaning = (
            f"right probabilities would show {error.null_mean:.3f}, seldom more than {error.null_high:.3f} "
            f"(p = {error.p_value:.2f})"
        )
        rows.append((f"calibration error ({error.bins} bins)", number(error.value), "", meaning))
    header = ("probabilities", "value", "95 % interval", "meaning")
    return Table("Do the probabilities hold?", header, tuple(rows), left=frozenset({0, 3}))


def _baselines(measures: HeadMeasures) -> Table:
    own = ("this head", measures.f1.test, measures.measures.get("average_precision"), measures.cost.seconds)
    others = [(each.name, each.f1, each.average_precision, each.seconds) for each in measures.baselines]
    rows = tuple(
        (
            name,
            number(f1.value),
            interval(f1),
            "" if precision is None else number(precision.value),
            "" if seconds is None else f"{seconds:,.0f} s",
        )
        for name, f1, precision, seconds in (own, *others)
    )
    header = ("who", "F1", "95 % interval", "AP", "training")
    return Table("Against simple rules, on the same test rows", header, rows).without_empty_columns()
