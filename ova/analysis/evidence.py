"""How good heads of a workspace are on their test rows: gather what runs left, measure, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ova.analysis.answers import answers_of, write_answers
from ova.analysis.baselines import trained_baselines
from ova.analysis.choices import Choices
from ova.analysis.measures.files import write_measures
from ova.analysis.measuring import with_measures
from ova.analysis.plots import write_plots
from ova.analysis.report.files import HeadSource, write_report
from ova.analysis.report.heat import require_captum
from ova.analysis.tables import Analysis, HeadEvidence, analyse_heads, write_tables
from ova.analysis.tested import Tested, read_tested, trained_heads
from ova.ensembles.decide import decide
from ova.ensembles.manifest import MANIFEST_FILE, Manifest, read_manifest
from ova.ensembles.recipe import read_ensemble_recipe
from ova.errors import ArtefactError, RecipeError
from ova.progress import Progress, Silent
from ova.recipes import nearest
from ova.storage import read_csv
from ova.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Report:
    """An analysis, and the files that were written of it."""

    analysis: Analysis
    files: tuple[Path, ...]


def analyse(
    workspace: Workspace,
    name: str | None = None,
    *,
    heads: Sequence[str] = (),
    heat_maps: bool = False,
    baselines: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Measure an ensemble, or chosen heads, on test rows, and write tables, curves and a page.

    Args:
        workspace: Where trained heads lie.
        name: An ensemble; its page, tables and curves go into `runs/ensembles/NAME/`.
        heads: Instead of an ensemble: heads, all trained ones if empty; nothing is written then but the
            curves into each head's run.
        heat_maps: Show on the page where the heads looked in their worst mistakes (extra `explain`).
        baselines: Train classical models on small grey images beside every head; takes a while.
        progress: Told after every head.

    Raises:
        RecipeError: There is no such ensemble or head, or heat maps are asked for without an ensemble.
        ArtefactError: A head is not trained, damaged, or the exported model is of other weights.
        EnvironmentFault: Heat maps are asked for and captum is missing.
    """
    progress = progress or Silent()
    if heat_maps:
        _check_heat_maps(name)
    mode, choices = "multilabel", None
    if name is not None:
        recipe = read_ensemble_recipe(workspace, name)
        heads, mode = _present(workspace, name, recipe.heads, progress), recipe.mode
    tested = [read_tested(workspace, head) for head in heads or trained_heads(workspace)]
    if name is not None and mode == "argmax":
        choices = _choices(workspace, name, tested)
    evidence = [head.evidence for head in tested]
    analysis = analyse_heads(evidence, ensemble=name, mode=mode, choices=choices)
    trained = trained_baselines(workspace, tested, progress) if baselines else {}
    analysis = with_measures(workspace, analysis, tested, progress, trained)
    folder = None if name is None else workspace.ensemble_output(name)
    if folder is None:
        files = _write_plots(analysis, tested, evidence, progress)
        return Report(analysis, (*files, *_write_measures_of_runs(analysis, tested)))
    answers = write_answers(
        folder, [answers_of(head.run, head.record, head.calibration, head.scores) for head in tested]
    )
    files = [
        *write_tables(folder, analysis),
        *write_measures(folder, analysis.measures, analysis.across, analysis.choices),
    ]
    sources = list(map(_source, tested, evidence))
    written = write_report(workspace, folder, analysis, sources, progress, heat_maps=heat_maps)
    return Report(analysis, (*written, *files, answers))


def _write_plots(
    analysis: Analysis, tested: Sequence[Tested], evidence: Sequence[HeadEvidence], progress: Progress
) -> list[Path]:
    """Draw the curves of heads that are analysed without an ensemble into their runs."""
    files: list[Path] = []
    progress.start("drawing curves", len(tested))
    for done, (head, own) in enumerate(zip(tested, evidence, strict=True), start=1):
        history = {head.name: read_csv(head.run.history)}
        best = {head.name: head.record.best_epochs}
        alone = replace(analysis, heads=tuple(each for each in analysis.heads if each.name == head.name))
        files += write_plots(head.run.path, [own], alone, history, best)
        progress.advance("drawing curves", done)
    return files


def _source(head: Tested, evidence: HeadEvidence) -> HeadSource:
    history = read_csv(head.run.history)
    return HeadSource(evidence, head.calibration, history, head.record.best_epochs)


def _check_heat_maps(ensemble: str | None) -> None:
    if ensemble is None:
        raise RecipeError("heat maps are shown on the page of an ensemble; name one: ova analyse ENSEMBLE")
    require_captum()


def analyse_any(
    workspace: Workspace,
    names: Sequence[str],
    progress: Progress | None = None,
    *,
    heat_maps: bool = False,
    baselines: bool = False,
) -> Report:
    """Measure what is named: one ensemble, or heads; without a name the only ensemble, or all heads.

    Raises:
        RecipeError: A name is neither, or several ensembles are named together.
    """
    ensembles = workspace.ensemble_names()
    if not names and len(ensembles) == 1:
        return analyse(workspace, ensembles[0], heat_maps=heat_maps, baselines=baselines, progress=progress)
    if len(names) == 1 and names[0] in ensembles:
        return analyse(workspace, names[0], heat_maps=heat_maps, baselines=baselines, progress=progress)
    known = workspace.head_names()
    for name in names:
        if name not in known:
            raise RecipeError(
                f"{name!r} is neither a head nor an ensemble{nearest(name, [*known, *ensembles])}"
                if name not in ensembles
                else f"{name!r} is an ensemble; analyse it alone"
            )
    return analyse(workspace, heads=names, heat_maps=heat_maps, baselines=baselines, progress=progress)


def _present(workspace: Workspace, name: str, heads: Sequence[str], progress: Progress) -> list[str]:
    """Leave out the heads that the exported model had to be made without, and tell so."""
    path = workspace.ensemble_output(name) / MANIFEST_FILE
    absent = read_manifest(path).absent if path.is_file() else ()
    left_out = {each.name: each for each in absent if not workspace.current_run(each.name).is_file()}
    for head in left_out.values():
        progress.say(f"{name} is without {head.name}: {head.reason}")
    return [head for head in heads if head not in left_out]


def _write_measures_of_runs(analysis: Analysis, tested: Sequence[Tested]) -> list[Path]:
    """Write the tables of heads that are analysed without an ensemble into their runs."""
    runs = {head.name: head.run.path for head in tested}
    return [path for each in analysis.measures for path in write_measures(runs[each.name], [each])]


def _choices(workspace: Workspace, name: str, tested: Sequence[Tested]) -> Choices:
    """Count the argmax choices on test rows that every head has scored."""
    manifest = _manifest_of(workspace, name, tested)
    common = sorted(set.intersection(*(set(head.scores.images) for head in tested)))
    logits, values = [], []
    for head in tested:
        row_of = {image: row for row, image in enumerate(head.scores.images)}
        rows = [row_of[image] for image in common]
        logits.append(head.scores.logits[rows])
        values.append(head.scores.labels[rows])
    names = [head.name for head in tested]
    calibrations = [head.calibration for head in tested]
    decided = decide(calibrations, names, manifest.rule, manifest.none_prior, np.stack(logits, axis=1))
    assert decided.choice is not None  # noqa: S101 (checked with the manifest)
    made = decided.choice <= len(names)  # the others are withheld: nothing was chosen
    return Choices.of(manifest.labels, np.stack(values, axis=1)[made], decided.choice[made])


def _manifest_of(workspace: Workspace, name: str, tested: Sequence[Tested]) -> Manifest:
    """Read the manifest of the exported ensemble, which must be of these very heads."""
    path = workspace.ensemble_output(name) / MANIFEST_FILE
    if not path.is_file():
        raise ArtefactError(f"argmax choices are measured on the exported model; run: ova export {name}")
    manifest = read_manifest(path)
    current = [(head.name, head.record.weights_digest, head.calibration.threshold) for head in tested]
    exported = [(head.name, head.weights_digest, head.threshold) for head in manifest.heads]
    if current != exported:
        raise ArtefactError(f"{path} is of other heads, weights or thresholds; run: ova export {name}")
    return manifest
