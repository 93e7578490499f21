"""Every figure of the heads of an analysis, from what their runs left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ova.analysis.belonging import groups_of, read_belonging
from ova.analysis.measures.across import measure_across
from ova.analysis.measures.head import HeadMaterial, measure_head
from ova.analysis.measures.values import Baseline, Cost
from ova.analysis.tables import Analysis
from ova.analysis.tested import Tested
from ova.heads.scores import read_scores
from ova.progress import Progress
from ova.storage import read_csv
from ova.workspace import Workspace


def with_measures(
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
        found = measure_head(_material(by_name[result.name], belonging))
        measures.append(replace(found, baselines=(*found.baselines, *baselines.get(found.name, ()))))
        progress.advance("measuring heads", len(measures))
    across = measure_across([by_name[result.name].evidence for result in analysis.heads], belonging)
    return replace(analysis, measures=tuple(measures), across=across)


def _material(head: Tested, belonging: Mapping[str, str]) -> HeadMaterial:
    record, held_out = head.record, read_scores(head.run.scores)
    megabytes = head.run.weights.stat().st_size / 1e6 if head.run.weights.is_file() else None
    return HeadMaterial(
        test=head.evidence,
        calibration=head.calibration,
        held_out=held_out,
        groups=groups_of(held_out.images, belonging),
        history=read_csv(head.run.history),
        proper_loss=record.recipe.balance.proper,
        cost=Cost(record.seconds, megabytes, record.members, record.device),
    )
