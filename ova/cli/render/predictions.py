"""Predictions as a table, CSV or JSON on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from ova.cli.render.console import Shown, show_json, show_table
from ova.spreadsheets import neutralised
from ova.storage import csv_lines

if TYPE_CHECKING:
    from ova.ensembles.runtime.model import CombinedModel, Prediction


def watch(predictions: Iterable[Prediction], total: int, progress: Shown) -> Iterator[Prediction]:
    """Pass predictions on while a bar moves."""
    progress.start("predicting", total)
    for done, prediction in enumerate(predictions, start=1):
        progress.advance("predicting", done)
        yield prediction


def show(
    model: CombinedModel, results: Iterable[Prediction], *, as_json: bool, as_csv: bool
) -> list[Prediction]:
    """Show predictions: one JSON object, CSV row or table row per image; return those with an error.

    CSV rows appear as the images are answered, so that what was printed before an interruption is kept.
    """
    kinds = ("probability", "decision", "logit") if as_csv else ("probability", "decision")
    header = ["image", *(f"{label} {kind}" for label in model.labels for kind in kinds)]
    header += [*(["label"] if model.mode == "argmax" else []), "error"]
    failed: list[Prediction] = []
    kept = _keep_errors(results, failed)
    if as_json:
        show_json([result.to_json() for result in kept])
        return failed
    rows = ([*_prediction_row(model, result, len(kinds)), result.error or ""] for result in kept)
    if as_csv:
        for line in csv_lines(map(neutralised, chain([header], rows))):
            sys.stdout.write(line)
        return failed
    show_table("predictions", [header, *([_cell(cell) for cell in row] for row in rows)])
    return failed


def _keep_errors(results: Iterable[Prediction], failed: list[Prediction]) -> Iterator[Prediction]:
    for result in results:
        if result.error is not None:
            failed.append(result)
        yield result


def _prediction_row(model: CombinedModel, result: Prediction, kinds: int) -> list[object]:
    argmax = model.mode == "argmax"
    if result.error is not None:
        return [result.image, *([""] * (kinds * len(model.labels) + argmax))]
    row: list[object] = [result.image]
    for label in model.labels:
        figures = (result.probabilities[label], int(result.decisions[label]), result.logits[label])
        row += figures[:kinds]
    return row + ([result.label or ("unsure" if result.unsure else "none")] if argmax else [])


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
