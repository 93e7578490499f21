"""What a person may name to `ova compare`: a run of a head, an analysis, a combined model, predictions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ova.analysis.compare.answers import ANSWER_COLUMNS, ANSWERS_FILE, Answers, read_answers, run_answers
from ova.analysis.compare.predicted import Truth, model_answers, read_predictions
from ova.ensembles.runtime.manifest import MODEL_FILE
from ova.ensembles.runtime.model import CombinedModel
from ova.errors import ArtefactError, RecipeError
from ova.heads.runs import RunFolder, all_runs, current_run
from ova.recipes import nearest
from ova.workspace import Workspace

_RUN = re.compile(r"(?P<head>[a-z0-9][a-z0-9_-]*)@(?P<run>\d{1,9})")


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two that are compared."""

    name: str
    """As it was named."""
    what: str
    """What it was found to be."""
    answers: tuple[Answers, ...]
    """One per label."""
    notes: tuple[str, ...] = ()
    """What is to be known of it."""


def find_side(truth: Truth, name: str) -> Side:
    """Find out what a name means, and read or make its answers.

    `HEAD` (the run in use), `HEAD@RUN`, `ENSEMBLE`, or a path: a folder with the answers of an analysis or
    with a combined model, a model, or what `ova predict` printed as CSV or JSON. An ensemble, or a folder, is
    its analysis if it has one, and else its model.

    Raises:
        RecipeError: It is none of these.
        ArtefactError: It is damaged, not trained, or not exported.
        DataError: A model was named, and images cannot be read.
    """
    workspace = truth.workspace
    if run := _RUN.fullmatch(name):
        return _run_side(name, _numbered_run(workspace, run["head"], run["run"]))
    if name in workspace.ensemble_names():
        return _folder_side(truth, name, workspace.ensemble_output(name))
    if name in workspace.head_names():
        return _run_side(name, current_run(workspace, name))
    path = Path(name)
    if path.is_dir():
        return _folder_side(truth, name, path)
    if path.suffix.lower() == ".onnx":
        return _model_side(truth, name, path)
    if path.is_file() and path.suffix.lower() in (".csv", ".json"):
        return _file_side(truth, name, path)
    known = [*workspace.head_names(), *workspace.ensemble_names()]
    raise RecipeError(
        f"{name!r} is no head, HEAD@RUN, ensemble, folder, model, or prediction file (.csv, .json)"
        f"{nearest(name.partition('@')[0], known)}"
    )


def _numbered_run(workspace: Workspace, head: str, number: str) -> RunFolder:
    runs = {int(run.path.name): run for run in all_runs(workspace, head) if run.finished}
    if int(number) not in runs:
        there = ", ".join(run.path.name for run in runs.values()) or "none"
        raise RecipeError(f"head {head!r} has no finished run {number}; there are: {there}")
    return runs[int(number)]


def _run_side(name: str, run: RunFolder) -> Side:
    return Side(name, f"run {run.path.name} of head {run.path.parent.name}", (run_answers(run),))


def _folder_side(truth: Truth, name: str, folder: Path) -> Side:
    if (folder / ANSWERS_FILE).is_file():
        return Side(name, f"analysis {folder / ANSWERS_FILE}", tuple(read_answers(folder / ANSWERS_FILE)))
    if (folder / MODEL_FILE).is_file():
        return _model_side(truth, name, folder)
    raise ArtefactError(
        f"{folder} holds neither {ANSWERS_FILE} nor {MODEL_FILE}; run: ova analyse, or ova export"
    )


def _model_side(truth: Truth, name: str, path: Path) -> Side:
    model = CombinedModel.load(path)
    answers, notes = model_answers(model, truth)
    return Side(name, f"model of {model.manifest.ensemble}, on the test rows", tuple(answers), tuple(notes))


def _file_side(truth: Truth, name: str, path: Path) -> Side:
    if path.suffix.lower() == ".csv":
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline().strip()
        if first == ",".join(ANSWER_COLUMNS):
            return Side(name, f"analysis {path}", tuple(read_answers(path)))
    note = "it is not known what its model was trained on; only test rows of this workspace count for F1"
    return Side(name, f"predictions {path}", tuple(read_predictions(path, truth)), (note,))
