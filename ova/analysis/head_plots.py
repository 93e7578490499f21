"""Pictures of how good a head is and how its training went, as PNG bytes that are the same every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ova.analysis.figure import BLUE, GREEN, GREY, ORANGE, png_figure, readable
from ova.analysis.head_result import HeadEvidence, HeadResult
from ova.analysis.result import Analysis
from ova.errors import ArtefactError
from ova.storage import write_bytes
from ova.workspace import slug

HistoryRows = Sequence[Mapping[str, str]]
EpochCurves = dict[str, NDArray[np.float64]]

# Column of history.csv: (legend, colour, line style)
_CURVES = {
    "train_loss": ("training loss", BLUE, "--"),
    "validation_loss": ("validation loss", ORANGE, "-"),
    "validation_average_precision": ("validation average precision (right axis)", GREEN, "-."),
}


def write_plots(
    folder: Path,
    evidence: Sequence[HeadEvidence],
    analysis: Analysis,
    histories: Mapping[str, HistoryRows],
    best_epochs: Mapping[str, Sequence[int]] | None = None,
) -> list[Path]:
    """Write precision-recall-NAME.png and, for heads with a history, loss-NAME.png.

    Args:
        folder: Where to.
        evidence: The heads that were analysed, in any order.
        analysis: What `analyse_heads` made of them.
        histories: Rows of history.csv by head name.
        best_epochs: The chosen epoch of every fold by head name; see `loss_curves_png`.

    Returns:
        The files, in the analysis's order.

    Raises:
        ArtefactError: A history is damaged.
        EnvironmentFault: The disk refuses.
    """
    by_name = {head.name: head for head in evidence}
    paths: list[Path] = []
    for result in analysis.heads:
        name = slug(result.name)
        paths.append(folder / f"precision-recall-{name}.png")
        write_bytes(paths[-1], precision_recall_png(by_name[name], result))
        if name in histories:
            paths.append(folder / f"loss-{name}.png")
            chosen = (best_epochs or {}).get(name)
            write_bytes(paths[-1], loss_curves_png(histories[name], name, best_epochs=chosen))
    return paths


def precision_recall_png(evidence: HeadEvidence, result: HeadResult) -> bytes:
    """Draw precision against recall over all thresholds, the chosen one, lines of equal F1 and the baseline.

    The area under the curve as drawn is the average precision. Without positives there is no curve and the
    picture says so.
    """
    with png_figure(6.4, 6.2) as (figure, png):
        axes = figure.add_subplot()
        axes.set(xlim=(0, 1), ylim=(0, 1.01))
        axes.set_xlabel("recall (share of the positives that are found)")
        axes.set_ylabel("precision (share of the yes answers that are right)")
        axes.grid(color="#e6e6e6", linewidth=0.6)
        figure.suptitle(readable(result.label, result.name), parse_math=False, fontweight="bold")
        rows = f"{result.positives} positives among {result.counts.total} test rows"
        if result.average_precision is None:
            axes.set_title(rows, fontsize="medium")
            axes.text(0.5, 0.5, f"no curve: {result.undefined}", ha="center", va="center", wrap=True)
        else:
            axes.set_title(f"average precision {result.average_precision:.3f}, {rows}", fontsize="medium")
            draw_equal_f1(axes)
            _draw_precision_recall(axes, evidence, result)
            figure.legend(loc="outside lower center", fontsize="small", frameon=False)
        return png()


def loss_curves_png(
    history_rows: HistoryRows, name: str, *, best_epochs: Sequence[int] | None = None
) -> bytes:
    """Draw the losses and, on a second axis, the validation average precision against the epoch.

    Args:
        history_rows: Rows of history.csv; an empty cell is undefined and leaves a gap.
        name: The head, for the title.
        best_epochs: The chosen epoch of every fold, indexed by `member`. Without it the marks sit at the
            highest average precision (the first one of equals).

    Raises:
        ArtefactError: There are no rows, or a cell is not a number.
    """
    members = _read_history(history_rows, name)
    with png_figure(7.2, 4.8) as (figure, png):
        axes = figure.add_subplot()
        precision_axes = axes.twinx()
        axes.set_xlabel("epoch")
        axes.set_title(f"{name}: training", parse_math=False, fontweight="bold")
        _scale_losses(axes, members)
        precision_axes.set_ylim(0, 1)
        precision_axes.set_ylabel("average precision", color=GREEN)
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for position, (member, curve) in enumerate(members.items()):
            best = _best_epoch(curve, member, best_epochs)
            _draw_member(axes, precision_axes, curve, best, thin=len(members) > 1, named=position == 0)
        title = f"{len(members)} folds, a line each" if len(members) > 1 else None
        figure.legend(loc="outside lower center", ncols=2, title=title, fontsize="small", frameon=False)
        return png()


def draw_equal_f1(axes: Axes) -> None:
    """Draw lines of equal F1 behind precision (up) against recall (across)."""
    for f1 in (0.2, 0.4, 0.6, 0.8):
        recall = np.linspace(f1 / (2 - f1), 1, 200)
        axes.plot(recall, f1 * recall / (2 * recall - f1), color="#bbbbbb", linewidth=0.8, zorder=1)
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        place = {"ha": "center", "va": "center", "fontsize": "x-small", "zorder": 1}
        axes.text(0.96, 0.96 * f1 / (1.92 - f1), f"F1 {f1}", color=GREY, bbox=behind, **place)


def _draw_precision_recall(axes: Axes, evidence: HeadEvidence, result: HeadResult) -> None:
    recall, precision = _precision_recall_steps(evidence.labels, evidence.scores)
    curve = {"color": BLUE, "linewidth": 1.8, "drawstyle": "steps-pre", "clip_on": False}
    axes.plot(recall, precision, label="every threshold", **curve)
    prior = result.positives / result.counts.total
    always_yes = f"always yes: precision {prior:.3f}, F1 {result.always_yes_f1:.3f}"
    axes.axhline(prior, color=GREY, linestyle="--", linewidth=1.2, label=always_yes)
    if result.precision is None or result.recall is None or result.f1_interval is None:
        axes.plot([], [], " ", label=f"threshold {result.threshold:.3f}: no row reaches it")
        return
    low, high = result.f1_interval
    axes.plot(
        result.recall, result.precision, "o", color=ORANGE, markeredgecolor="white", markersize=10,
        clip_on=False, zorder=4,
        label=f"threshold {result.threshold:.3f}: precision {result.precision:.3f}, "
        f"recall {result.recall:.3f},\nF1 {result.f1:.3f} (95 % interval {low:.3f} to {high:.3f})",
    )  # fmt: skip


def _precision_recall_steps(
    labels: NDArray[np.int8], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recall and precision at every distinct score from the highest on, led by the start at recall 0."""
    order = np.argsort(scores, kind="stable")[::-1]
    found = np.cumsum(labels[order], dtype=np.int64)
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
    precision = found[ends] / (ends + 1)
    return np.append(0.0, found[ends] / found[-1]), np.append(precision[0], precision)


def _draw_member(
    axes: Axes, precision_axes: Axes, curve: EpochCurves, best: int | None, *, thin: bool, named: bool
) -> None:
    epochs = curve["epoch"]
    for column, (legend, colour, line) in _CURVES.items():
        (precision_axes if column.endswith("precision") else axes).plot(
            epochs, curve[column], color=colour, linestyle=line, label=legend if named else None,
            linewidth=0.8 if thin else 1.6, alpha=0.75 if thin else 1, marker="." if epochs.size < 10 else "",
        )  # fmt: skip
    if best is None:
        return
    looks = {"color": GREEN, "markeredgecolor": "black", "markersize": 6 if thin else 9, "clip_on": False}
    legend = f"chosen epoch {'of each fold' if thin else int(epochs[best])}" if named else None
    height = curve["validation_average_precision"][best]
    precision_axes.plot(epochs[best], height, "o", label=legend, zorder=4, **looks)
    if not thin:
        axes.axvline(epochs[best], color=GREY, linestyle=":", linewidth=1)


def _read_history(rows: HistoryRows, name: str) -> dict[int, EpochCurves]:
    """Sort rows into curves by member, in the order of their epochs; undefined cells become NaN."""
    members: dict[int, list[list[float]]] = defaultdict(list)
    try:
        for row in rows:
            values = [float(row[column] or "nan") for column in _CURVES]
            members[int(row["member"])].append([int(row["epoch"]), *values])
    except (KeyError, ValueError) as error:
        raise ArtefactError(f"the history of head {name} is damaged: {error}; train it again") from error
    if not members:
        raise ArtefactError(f"the history of head {name} has no epochs; train it again")
    curves: dict[int, EpochCurves] = {}
    for member, lines in sorted(members.items()):
        table = np.array(sorted(lines))
        table[~np.isfinite(table)] = np.nan
        curves[member] = dict(zip(("epoch", *_CURVES), table.T, strict=True))
    return curves


def _best_epoch(curve: EpochCurves, member: int, best_epochs: Sequence[int] | None) -> int | None:
    """Position of the chosen epoch in the curve, or None if it is not there."""
    precision = curve["validation_average_precision"]
    if best_epochs is None:
        return None if np.isnan(precision).all() else int(np.nanargmax(precision))
    chosen = best_epochs[member] if member < len(best_epochs) else None
    positions = np.flatnonzero(curve["epoch"] == chosen)
    return int(positions[0]) if positions.size else None


def _scale_losses(axes: Axes, members: Mapping[int, EpochCurves]) -> None:
    """Show all losses, but cut off (and say so) a few spikes that would flatten everything else."""
    columns = ("train_loss", "validation_loss")
    losses = np.concatenate([curve[column] for curve in members.values() for column in columns])
    losses = losses[losses > 0]  # NaN is not
    highest, usual = (float(losses.max()), float(np.quantile(losses, 0.95))) if losses.size else (1.0, 1.0)
    cut = highest > 3 * usual
    axes.set_ylim(0, 1.5 * usual if cut else 1.05 * highest)
    axes.set_ylabel(f"loss (spikes up to {highest:.3g} are cut off)" if cut else "loss")
