"""The figures as CSV tables.

measures.csv           a row per head and figure, with its interval, or why it is undefined
sweep-NAME.csv         what every threshold does, on calibration and on test rows; PR and ROC are columns
histogram-NAME.csv     scores by label
reliability-NAME.csv   the reliability curve with its consistency band
co-occurrence.csv      how often labels come together, in truth and in prediction
slices.csv             F1 and recall of each head where another label is, and where it is not
confusion.csv          in argmax mode, the true label down and the chosen one across
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ova.analysis.argmax_result import Choices
from ova.analysis.measures.values import Across, HeadMeasures, MeasuredValue
from ova.spreadsheets import neutralise
from ova.storage import write_csv
from ova.workspace import slug

_SWEEP = ("threshold", "flagged", "tp", "precision", "recall", "false_positive_rate", "f1")


def write_measures(
    folder: Path,
    heads: Sequence[HeadMeasures],
    across: Across | None = None,
    choices: Choices | None = None,
) -> list[Path]:
    """Write the CSV tables, and return the files.

    Raises:
        EnvironmentFault: The disk refuses.
    """
    tables: dict[str, tuple[Sequence[str], Iterator[Sequence[object]]]] = {
        "measures": (("head", "measure", "value", "low", "high", "reason"), _figures(heads, across))
    }
    for head in heads:
        name = slug(head.name)
        tables[f"sweep-{name}"] = (("rows", *_SWEEP, "chosen"), _sweep_rows(head))
        tables[f"histogram-{name}"] = (("rows", "from", "to", "positives", "negatives"), _bins(head))
        tables[f"reliability-{name}"] = (("probability", "observed", "low", "high"), _reliability(head))
    if across is not None:
        tables["co-occurrence"] = (("head", "other", "known", "truth", "predicted"), _pairs(across))
        columns = (
            "head",
            "other",
            "other_present",
            "positives",
            "negatives",
            *_spread("f1"),
            *_spread("recall"),
        )
        tables["slices"] = (columns, _slices(across))
    if choices is not None:
        labels = [neutralise(label) for label in choices.labels]
        rows = ((label, *row) for label, row in zip(labels, choices.matrix, strict=True))
        tables["confusion"] = (("true label, chosen across", *labels), rows)
    for name, (header, rows) in tables.items():
        write_csv(folder / f"{name}.csv", header, rows)
    return [folder / f"{name}.csv" for name in tables]


def _figures(heads: Sequence[HeadMeasures], across: Across | None) -> Iterator[Sequence[object]]:
    for head in heads:
        for name, figure in all_figures(head).items():
            yield (head.name, name, *_cells(figure))
    if across is not None:
        yield ("", "macro_f1", *_cells(across.macro_f1))
        yield ("", "micro_f1", *_cells(across.micro_f1))


def all_figures(head: HeadMeasures) -> dict[str, MeasuredValue]:
    """Every figure of a head that is one number, by name; "f1" and its like are of the test rows."""
    figures = {"apparent_f1": head.f1.apparent, "nested_f1": head.f1.nested, **head.measures}
    if head.reliability is not None:
        found, error = head.reliability, head.reliability.calibration_error
        figures |= {"log_loss": found.log_loss, "brier": found.brier, "brier_skill": found.brier_skill}
        figures |= {"calibration_slope": found.slope, "calibration_intercept": found.intercept}
        if error is not None:
            figures["calibration_error"] = MeasuredValue(error.value)
            figures["calibration_error_if_right"] = MeasuredValue(error.null_mean, high=error.null_high)
    for baseline in head.baselines:
        figures[f"{baseline.name}: f1"] = baseline.f1
        figures[f"{baseline.name}: average_precision"] = baseline.average_precision
    figures["seconds"] = _known(head.cost.seconds)
    figures["megabytes"] = _known(head.cost.megabytes)
    return figures


def _known(value: float | None) -> MeasuredValue:
    return MeasuredValue(value, reason="not recorded" if value is None else None)


def _cells(figure: MeasuredValue) -> tuple[object, ...]:
    return (figure.value, figure.low, figure.high, figure.reason and neutralise(figure.reason))


def _sweep_rows(head: HeadMeasures) -> Iterator[Sequence[object]]:
    for sweep in head.sweeps:
        columns = [getattr(sweep, name) for name in _SWEEP]
        for position, cells in enumerate(zip(*columns, strict=True)):
            yield (sweep.rows, *cells, int(position == sweep.chosen))


def _bins(head: HeadMeasures) -> Iterator[Sequence[object]]:
    for drawn in head.histograms:
        bins = zip(drawn.edges, drawn.edges[1:], drawn.positives, drawn.negatives, strict=False)
        yield from ((drawn.rows, *cells) for cells in bins)


def _reliability(head: HeadMeasures) -> Iterator[Sequence[object]]:
    curve = head.reliability and head.reliability.curve
    if curve:
        yield from zip(curve.probability, curve.observed, curve.low, curve.high, strict=True)


def _pairs(across: Across) -> Iterator[Sequence[object]]:
    table = across.co_occurrence
    for row, head in enumerate(table.heads):
        for column, other in enumerate(table.heads):
            cells = (values[row][column] for values in (table.known, table.truth, table.predicted))
            yield (head, other, *cells)


def _spread(name: str) -> tuple[str, ...]:
    return (name, f"{name}_low", f"{name}_high")


def _slices(across: Across) -> Iterator[Sequence[object]]:
    for each in across.slices:
        figures = (
            each.f1.value,
            each.f1.low,
            each.f1.high,
            each.recall.value,
            each.recall.low,
            each.recall.high,
        )
        yield (each.head, each.other, int(each.present), each.positives, each.negatives, *figures)
