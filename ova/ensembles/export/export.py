"""Export an ensemble of a workspace: its trained heads, its rule, and real images to compare on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ova.data.dataset import Dataset, open_dataset
from ova.data.images.facts import Decoding
from ova.data.split.split import TEST, TRAIN
from ova.ensembles.export.onnx_export import EnsembleSpec, ExportReport, export_combined
from ova.ensembles.recipe import read_ensemble_recipe
from ova.ensembles.rule.argmax import none_prior_of
from ova.ensembles.rule.fit_rule import fit_rule
from ova.ensembles.runtime.manifest import AbsentEntry, OtherRun, RunEntry
from ova.errors import ArtefactError, RecipeError
from ova.heads.calibration.calibrate_run import calibration_inputs, test_rows
from ova.heads.calibration.calibration import Calibration
from ova.heads.load import TrainedHead, load_head
from ova.heads.recipe import CalibrationSettings, read_head_recipe
from ova.heads.runs import current_run
from ova.heads.scores import Scores
from ova.heads.selection import BestRun, Criterion, use_best_runs
from ova.heads.training.plan import HeadSkipped, plan_head
from ova.progress import Progress, Silent
from ova.workspace import Workspace

_COMPARED_IMAGES = 64


def export(
    workspace: Workspace, name: str, *, best: Criterion | None = None, progress: Progress | None = None
) -> ExportReport:
    """Write the combined model of an ensemble, after comparing it with torch on the user's own images.

    A head whose label cannot be learnt on these data is left out, and the manifest says so.

    Args:
        workspace: Where recipes and trained heads lie.
        name: The ensemble.
        best: Put each head's best run by this criterion in use first, see `ova.heads.selection`; None takes
            the runs that are in use.
        progress: Told what is being done, and which runs were chosen.

    Raises:
        RecipeError: The ensemble's recipe is wrong.
        ArtefactError: A head that could be is not trained, or none is; a head is damaged, or was trained on
            images that were decoded otherwise; or the file differs from torch; or runs cannot be ranked. No
            model is written.
        DataError: Images cannot be read.

    Example:
        `workspace` has an ensemble "all" of the trained heads spot and bar:

        >>> import ova
        >>> report = ova.export(workspace, "all")
        >>> report.model.relative_to(workspace.root).as_posix()
        'runs/ensembles/all/model.onnx'
        >>> report.manifest.labels
        ('spot', 'bar')
        >>> report.parity.decision_flips  # on the user's own images, against torch
        0
    """
    progress = progress or Silent()
    recipe = read_ensemble_recipe(workspace, name)
    progress.start("exporting", 3)
    trained = [head for head in recipe.heads if workspace.current_run(head).is_file()] or recipe.heads
    choices = {} if best is None else use_best_runs(workspace, trained, best)
    for choice in choices.values():
        progress.say(choice.line())
    heads = [load_head(workspace, head) for head in trained]
    progress.advance("exporting", 1)
    dataset = open_dataset(workspace, progress=progress)
    absent = [_why_absent(workspace, dataset, head) for head in recipe.heads if head not in trained]
    _refuse_other_pixels(heads, dataset)
    calibration_rows = _calibration_rows(dataset)
    chosen = calibration_rows[:: max(1, len(calibration_rows) // _COMPARED_IMAGES)][:_COMPARED_IMAGES]
    none_prior = recipe.none_prior
    if recipe.mode == "argmax" and none_prior is None:
        none_prior = _none_prior(dataset, calibration_rows, heads)
    rule = fit_rule(recipe, _scored(workspace, heads), none_prior, progress=progress)
    progress.advance("exporting", 2)
    spec = EnsembleSpec(
        name=name,
        mode=recipe.mode,
        none_prior=none_prior,
        rule=rule,
        output_names=recipe.output_names,
        decoding=Decoding(dataset.recipe.white_level, dataset.recipe.draft_side),
        absent=absent,
        runs={head: _run_entry(workspace, head, choices.get(head)) for head in trained},
    )
    images = [dataset.files.read(dataset.table.images[row]) for row in chosen]
    report = export_combined(heads, spec, folder=workspace.ensemble_output(name), images=images)
    progress.advance("exporting", 3)
    return report


def _run_entry(workspace: Workspace, head: str, choice: BestRun | None) -> RunEntry:
    run = current_run(workspace, head)
    record = run.read_record()
    entry = RunEntry(run.path.name, record.digest, record.ova_version)
    if choice is None:
        return entry
    best, *others = choice.ranked
    return replace(
        entry,
        criterion=choice.criterion,
        figure=best.held_out.figure(choice.criterion),
        rows=best.held_out.rows,
        positives=best.held_out.positives,
        others=tuple(OtherRun(each.run.path.name, each.held_out.figure(choice.criterion)) for each in others),
    )


@dataclass(frozen=True, eq=False)
class _Scored:
    name: str
    calibration: Calibration
    settings: CalibrationSettings
    scores: Scores
    proper_loss: bool


def _scored(workspace: Workspace, heads: Sequence[TrainedHead]) -> list[_Scored]:
    tested, found = test_rows(workspace), []
    for head in heads:
        scores, training = calibration_inputs(current_run(workspace, head.name), head.record, tested)
        settings = read_head_recipe(workspace, head.name).calibration
        found.append(_Scored(head.name, head.calibration, settings, scores, training.proper))
    return found


def _why_absent(workspace: Workspace, dataset: Dataset, name: str) -> AbsentEntry:
    """Say why a head without a run is not in the model.

    Raises:
        ArtefactError: It could be trained.
    """
    try:
        plan_head(workspace, dataset, name)
    except HeadSkipped as reason:
        return AbsentEntry(name, read_head_recipe(workspace, name).label, str(reason))
    raise ArtefactError(f"head {name!r} is not trained yet; run: ova train {name}")


def _refuse_other_pixels(heads: Sequence[TrainedHead], dataset: Dataset) -> None:
    now = dataset.recipe.white_level, dataset.recipe.draft_side
    for head in heads:
        if (head.record.white_level, head.record.draft_side) != now:
            raise ArtefactError(
                f"head {head.name} was trained with another white_level or draft_side than data/dataset.toml"
                f" says now; run: ova train {head.name}"
            )


def _calibration_rows(dataset: Dataset) -> Sequence[int]:
    """Rows that no training saw and that are not test rows, in the order of their names."""
    used = (TRAIN, TEST)
    rows = [row for row, image in enumerate(dataset.table.images) if dataset.split.part_of[image] not in used]
    if not rows:
        raise RecipeError("the split has no validation rows to compare the exported model on")
    return sorted(rows, key=lambda row: dataset.table.images[row])


def _none_prior(dataset: Dataset, rows: Sequence[int], heads: Sequence[TrainedHead]) -> float:
    columns = [dataset.table.column(head.label)[rows] for head in heads]
    return none_prior_of(np.stack(columns, axis=1))
