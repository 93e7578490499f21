"""What the runs of heads left, gathered for analysis, and which images belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ova.analysis.head_result import HeadEvidence
from ova.data.dataset import open_dataset
from ova.errors import ArtefactError, OvaError
from ova.heads.calibration.calibrate_run import read_calibration
from ova.heads.calibration.calibration import Calibration
from ova.heads.runs import HeadRecord, RunFolder, current_run
from ova.heads.scores import Scores, read_scores
from ova.progress import Progress
from ova.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Tested:
    """One head with what its run left."""

    name: str
    run: RunFolder
    record: HeadRecord
    calibration: Calibration
    scores: Scores
    """Of the test rows."""
    by_rule: NDArray[np.int8] | None = None
    """(test rows,) answers of the exported ensemble: 1, 0, -1 not known; None where they are the head's."""

    @property
    def evidence(self) -> HeadEvidence:
        """Its answers on the test rows."""
        return HeadEvidence(
            name=self.name,
            label=self.record.label,
            threshold=self.calibration.threshold,
            labels=self.scores.labels,
            logits=self.scores.logits,
            images=self.scores.images,
            seconds=self.record.seconds,
            by_rule=self.by_rule,
        )


def read_tested(workspace: Workspace, name: str) -> Tested:
    """Read the run of a head that is in use.

    Raises:
        ArtefactError: It is not trained, or its files are damaged.
    """
    run = current_run(workspace, name)
    record = run.read_record()
    return Tested(name, run, record, read_calibration(run, record), read_scores(run.test_scores))


def trained_heads(workspace: Workspace) -> list[str]:
    """Return the names of all heads that are trained.

    Raises:
        ArtefactError: There is none.
    """
    names = workspace.trained_heads()
    if not names:
        raise ArtefactError("no head is trained yet; run: ova train")
    return names


def read_belonging(workspace: Workspace, progress: Progress) -> dict[str, str]:
    """Return image -> the first image of its cluster: of its group, its pixels or its near duplicates.

    Where labels or images cannot be read any more, that is told, and the answer is empty: scores of a run
    can be analysed without its images.
    """
    try:
        dataset = open_dataset(workspace, progress=progress)
    except OvaError as error:
        progress.say(f"which images belong together is not known, each is taken to stand alone: {error}")
        return {}
    return dataset.belonging()


def groups_of(images: Sequence[str], belonging: Mapping[str, str]) -> tuple[str, ...]:
    """Return the cluster of each image, which is the image itself where none is known."""
    return tuple(belonging.get(image, image) for image in images)
