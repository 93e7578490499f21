"""Answers of combined models: by running one on the test rows, or from what `ova predict` printed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ova.analysis.compare.answers import Answers
from ova.data.dataset import Dataset, open_dataset
from ova.data.labels.table import UNKNOWN
from ova.data.split.split import TEST
from ova.ensembles.runtime.manifest import HeadEntry
from ova.ensembles.runtime.model import CombinedModel
from ova.errors import ArtefactError, DataError
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import all_runs
from ova.progress import Progress
from ova.spreadsheets import restore
from ova.storage import read_csv
from ova.workspace import Workspace


@dataclass(frozen=True)
class Truth:
    """What a workspace knows of images; its data are opened when they are first asked for."""

    workspace: Workspace
    progress: Progress

    @cached_property
    def dataset(self) -> Dataset:
        """Labels, pixels and split."""
        return open_dataset(self.workspace, progress=self.progress)

    @cached_property
    def test_rows(self) -> list[str]:
        """Images of the test part, sorted."""
        return sorted(
            image for image in self.dataset.table.images if self.dataset.split.part_of[image] == TEST
        )

    def image_of(self, name: str) -> str:
        """Return the id of an image that was named by id or by path; the name itself if it is not known."""
        if name in self.dataset.facts:
            return name
        try:
            inside = Path(name).resolve().relative_to(self.dataset.root.resolve()).as_posix()
        except (ValueError, OSError):
            return name
        return inside if inside in self.dataset.facts else name

    def pixels(self, image: str) -> str:
        """Return the digest of an image's pixels, or nothing if it is not known."""
        facts = self.dataset.facts.get(image)
        return "" if facts is None else facts.pixels_blake3

    def labels(self, column: str | None) -> Mapping[str, int]:
        """Return what is known of a label, on test rows alone: of others a model may have seen the answer."""
        if column not in self.dataset.table.labels:
            return {}
        values = dict(zip(self.dataset.table.images, self.dataset.table.column(column).tolist(), strict=True))
        return {image: values[image] for image in self.test_rows}


def model_answers(model: CombinedModel, truth: Truth) -> tuple[list[Answers], list[str]]:
    """Run a model on the test rows of the workspace.

    Rows that a head was trained on are left out, where the workspace still has that run.

    Returns:
        Answers per label, and notes on what was left out or is not known.

    Raises:
        DataError: There is no test row, or an image cannot be read.
    """
    seen, notes = _trained_on(model, truth.workspace)
    images = [image for image in truth.test_rows if image not in seen]
    if left_out := len(truth.test_rows) - len(images):
        notes.append(f"{left_out} test rows are left out: a head of it was trained on them")
    if not images:
        raise DataError("no test row is left to run the model on")
    truth.progress.start("predicting", len(images))
    logits = {label: np.empty(len(images)) for label in model.labels}
    decisions = {label: np.empty(len(images), np.bool_) for label in model.labels}
    files = truth.dataset.files
    for row, prediction in enumerate(model.predict(files.read(image) for image in images)):
        if prediction.error is not None:
            raise DataError(f"{files.where(images[row])} is not answered: {prediction.error}")
        for label in model.labels:
            logits[label][row] = prediction.logits[label]
            decisions[label][row] = prediction.decisions[label]
        truth.progress.advance("predicting", row + 1)
    answers = [
        _answers(
            truth,
            head.label,
            images,
            logits[head.label],
            decisions[head.label],
            head.name,
            _column(head, truth),
        )
        for head in model.manifest.heads
    ]
    return answers, notes


def read_predictions(path: Path, truth: Truth) -> list[Answers]:
    """Read what `ova predict --csv` or `--json` printed; images without an answer are left out.

    Raises:
        ArtefactError: It is neither, it is damaged, or it names an image twice.
    """
    try:
        rows = list(_json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactError(f"{path} is not what ova predict --csv or --json prints: {error}") from error
    labels = list(rows[0].scores) if rows else []
    if not labels or any(list(row.scores) != labels for row in rows):
        raise ArtefactError(f"{path} holds no answers, or not to the same labels for every image")
    images = [truth.image_of(row.image) for row in rows]
    if len(set(images)) < len(images):
        raise ArtefactError(f"{path} names an image twice; predict every image once")
    return [
        _answers(
            truth,
            label,
            images,
            np.array([row.scores[label] for row in rows]),
            np.array([row.decisions[label] for row in rows], np.bool_),
            "",
            label,
        )
        for label in labels
    ]


@dataclass(frozen=True)
class _Row:
    image: str
    scores: dict[str, float]
    decisions: dict[str, bool]


def _json_rows(path: Path) -> Iterator[_Row]:
    for each in json.loads(path.read_text(encoding="utf-8")):
        if "error" not in each:
            logits = {label: _finite(value) for label, value in each["logits"].items()}
            yield _Row(
                each["image"], logits, {label: _yes(value) for label, value in each["decisions"].items()}
            )


def _csv_rows(path: Path) -> Iterator[_Row]:
    text = path.read_text(encoding="utf-8")
    header = next(csv.reader(io.StringIO(text)), [])
    ends = {" probability": "scores", " decision": "decisions"}
    columns: dict[str, dict[str, str]] = {"scores": {}, "decisions": {}}
    for cell in header:
        for end, kind in ends.items():
            if cell.endswith(end):
                columns[kind][restore(cell).removesuffix(end)] = cell
    for row in read_csv(path):
        if not row["error"]:
            scores = {label: _finite(row[cell]) for label, cell in columns["scores"].items()}
            decisions = {label: _yes(row[cell]) for label, cell in columns["decisions"].items()}
            yield _Row(restore(row["image"]), scores, decisions)


def _finite(value: Any) -> float:
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number


def _yes(value: Any) -> bool:
    known = {"0": False, "1": True, False: False, True: True}
    if value not in known:
        raise ValueError(f"{value!r} is not a decision")
    return known[value]


def _answers(
    truth: Truth,
    label: str,
    images: Sequence[str],
    scores: np.ndarray,
    decisions: np.ndarray,
    head: str,
    column: str | None,
) -> Answers:
    known = truth.labels(column)
    return Answers(
        label=label,
        head=head,
        images=tuple(images),
        pixels=tuple(truth.pixels(image) for image in images),
        truth=np.array([known.get(image, UNKNOWN) for image in images], np.int8),
        scores=scores.astype(np.float64),
        decisions=decisions,
    )


def _column(head: HeadEntry, truth: Truth) -> str | None:
    """Return the column of the label table that a head answers for: its text may have been renamed."""
    if head.label not in truth.dataset.table.labels and head.name in truth.workspace.head_names():
        return read_head_recipe(truth.workspace, head.name).label
    return head.label


def _trained_on(model: CombinedModel, workspace: Workspace) -> tuple[set[str], list[str]]:
    """Return the images that runs of these weights did not hold out for testing, and what is not known."""
    seen: set[str] = set()
    unknown = []
    for head in model.manifest.heads:
        runs = [run for run in all_runs(workspace, head.name) if run.finished]
        mine = [run for run in runs if run.read_record().weights_digest == head.weights_digest]
        for run in mine[:1]:
            seen |= {row["image"] for row in read_csv(run.rows) if row["part"] != TEST}
        unknown += [] if mine else [head.name]
    note = f"it is not known what {', '.join(unknown)} was trained on: no run here has these weights"
    return seen, [note] if unknown else []
