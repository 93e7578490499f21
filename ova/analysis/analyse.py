"""How good heads of a workspace are on their test rows: gather what runs left, measure, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ova.analysis.baselines import trained_baselines
from ova.analysis.compare.answers import answers_of, write_answers
from ova.analysis.exported_rule import Exported, apply_exported_rule
from ova.analysis.gather import Tested, groups_of, read_belonging, read_tested, trained_heads
from ova.analysis.head_plots import write_plots
from ova.analysis.head_result import HeadEvidence
from ova.analysis.measures.files import write_measures
from ova.analysis.measures.head import HeadRun, measure_head
from ova.analysis.measures.several_heads import measure_across
from ova.analysis.measures.values import Baseline, TrainingCost
from ova.analysis.report.files import HeadSource, write_report
from ova.analysis.report.heat import require_captum
from ova.analysis.result import Analysis, analyse_heads, write_tables
from ova.ensembles.recipe import read_ensemble_recipe
from ova.ensembles.runtime.manifest import MANIFEST_FILE, read_manifest
from ova.errors import RecipeError
from ova.heads.scores import read_scores
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

    An ensemble is measured by the decisions of its exported rule, see `ova.analysis.exported_rule`.

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
        ArtefactError: A head is not trained, damaged, or the ensemble has a rule of its own that was not
            exported, or not with these heads.
        EnvironmentFault: Heat maps are asked for and captum is missing.

    Example:
        `workspace` has an exported ensemble "all" of the heads spot and bar, of which bar is the scarcer:

        >>> import ova
        >>> report = ova.analyse(workspace, "all")
        >>> [(head.name, head.counts.positives) for head in report.analysis.heads]  # on test rows
        [('bar', 4), ('spot', 5)]
        >>> report.files[0].relative_to(workspace.root).as_posix()
        'runs/ensembles/all/report.html'
    """
    progress = progress or Silent()
    if heat_maps:
        _check_heat_maps(name)
    mode, exported = _gather(workspace, name, heads, progress)
    tested, evidence = exported.heads, [head.evidence for head in exported.heads]
    analysis = analyse_heads(evidence, ensemble=name, mode=mode, choices=exported.choices)
    trained = trained_baselines(workspace, tested, progress) if baselines else {}
    analysis = _with_measures(workspace, replace(analysis, rule=exported.told), tested, progress, trained)
    if name is None:
        files = _write_plots(analysis, tested, evidence, progress)
        return Report(analysis, (*files, *_write_measures_of_runs(analysis, tested)))
    folder = workspace.ensemble_output(name)
    answers = [
        answers_of(head.run, head.record, head.calibration, head.scores, head.by_rule) for head in tested
    ]
    files = [
        write_answers(folder, answers),
        *write_tables(folder, analysis),
        *write_measures(folder, analysis.measures, analysis.across, analysis.choices),
    ]
    sources = list(map(_source, tested, evidence))
    written = write_report(workspace, folder, analysis, sources, progress, heat_maps=heat_maps)
    return Report(analysis, (*written, *files))


def _check_heat_maps(ensemble: str | None) -> None:
    if ensemble is None:
        raise RecipeError("heat maps are shown on the page of an ensemble; name one: ova analyse ENSEMBLE")
    require_captum()


def _gather(
    workspace: Workspace, name: str | None, heads: Sequence[str], progress: Progress
) -> tuple[str, Exported]:
    """Read the runs of an ensemble's heads, or of heads; return the mode and what is answered."""
    if name is None:
        names = heads or trained_heads(workspace)
        return "multilabel", Exported(tuple(read_tested(workspace, head) for head in names))
    recipe = read_ensemble_recipe(workspace, name)
    names = _present_heads(workspace, name, recipe.heads, progress)
    tested = [read_tested(workspace, head) for head in names]
    return recipe.mode, apply_exported_rule(workspace, name, recipe, tested, progress)


def _present_heads(workspace: Workspace, name: str, heads: Sequence[str], progress: Progress) -> list[str]:
    """Leave out the heads that the exported model had to be made without, and tell so."""
    path = workspace.ensemble_output(name) / MANIFEST_FILE
    absent = read_manifest(path).absent if path.is_file() else ()
    left_out = {each.name: each for each in absent if not workspace.current_run(each.name).is_file()}
    for head in left_out.values():
        progress.say(f"{name} is without {head.name}: {head.reason}")
    return [head for head in heads if head not in left_out]


def _with_measures(
    workspace: Workspace,
    analysis: Analysis,
    tested: Sequence[Tested],
    progress: Progress,
    baselines: Mapping[str, tuple[Baseline, ...]],
) -> Analysis:
    """Return the analysis with all figures of its heads, in its order, and of the heads together.

    Args:
        workspace: Where the data are named.
        analysis: What to add to.
        tested: Its heads.
        progress: Told after every head.
        baselines: Trained ones by name of their head.

    Raises:
        ArtefactError: Files of a run are damaged.
    """
    belonging = read_belonging(workspace, progress)
    by_name = {head.name: head for head in tested}
    progress.start("measuring heads", len(tested))
    measures = []
    for result in analysis.heads:
        found = measure_head(_head_run(by_name[result.name], belonging))
        measures.append(replace(found, baselines=(*found.baselines, *baselines.get(found.name, ()))))
        progress.advance("measuring heads", len(measures))
    across = measure_across([by_name[result.name].evidence for result in analysis.heads], belonging)
    return replace(analysis, measures=tuple(measures), across=across)


def _head_run(head: Tested, belonging: Mapping[str, str]) -> HeadRun:
    record, held_out = head.record, read_scores(head.run.scores)
    megabytes = head.run.weights.stat().st_size / 1e6 if head.run.weights.is_file() else None
    return HeadRun(
        test=head.evidence,
        calibration=head.calibration,
        held_out=held_out,
        groups=groups_of(held_out.images, belonging),
        history=_epochs(head),
        proper_loss=record.recipe.balance.proper,
        cost=TrainingCost(record.seconds, megabytes, record.members, record.device),
    )


def _write_plots(
    analysis: Analysis, tested: Sequence[Tested], evidence: Sequence[HeadEvidence], progress: Progress
) -> list[Path]:
    """Draw the curves of heads that are analysed without an ensemble into their runs."""
    files: list[Path] = []
    progress.start("drawing curves", len(tested))
    for done, (head, own) in enumerate(zip(tested, evidence, strict=True), start=1):
        epochs = _epochs(head)
        history = {head.name: epochs} if epochs else {}
        best = {head.name: head.record.best_epochs}
        alone = replace(analysis, heads=tuple(each for each in analysis.heads if each.name == head.name))
        files += write_plots(head.run.path, [own], alone, history, best)
        progress.advance("drawing curves", done)
    return files


def _write_measures_of_runs(analysis: Analysis, tested: Sequence[Tested]) -> list[Path]:
    """Write the tables of heads that are analysed without an ensemble into their runs."""
    runs = {head.name: head.run.path for head in tested}
    return [path for each in analysis.measures for path in write_measures(runs[each.name], [each])]


def _source(head: Tested, evidence: HeadEvidence) -> HeadSource:
    return HeadSource(evidence, head.calibration, _epochs(head), head.record.best_epochs)


def _epochs(head: Tested) -> list[dict[str, str]]:
    """Return the epochs of a training; none where classifiers were fitted on a frozen trunk."""
    return [] if head.record.strengths else read_csv(head.run.history)


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
