"""What trained heads said of images that they were not trained on, for finding pairs that they confuse."""

from __future__ import annotations

from ova.analysis.statistics.pairs import Answers
from ova.errors import ArtefactError
from ova.progress import Progress
from ova.workspace import Workspace


def trained_answers(workspace: Workspace, progress: Progress) -> list[Answers]:
    """Read validation scores and thresholds of the heads in use; a damaged one is told and left out."""
    names = workspace.trained_heads()
    if len(names) < 2:
        return []
    found = []
    for name in names:
        try:
            found.append(_answers(workspace, name))
        except ArtefactError as error:
            progress.say(f"pairs are chosen without head {name}: {error}")
    return found


def _answers(workspace: Workspace, name: str) -> Answers:
    # They bring torch along, which counting does not need.
    from ova.heads.calibrated import read_calibration
    from ova.heads.runs import current_run
    from ova.heads.scores import read_scores

    run = current_run(workspace, name)
    record = run.read_record()
    scores = read_scores(run.scores)
    yes = read_calibration(run, record).decide(scores.logits)
    return Answers(record.label, scores.images, scores.labels, yes)
