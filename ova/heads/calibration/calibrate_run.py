"""Calibrate a finished run from its scores, refusing rows that it must not see."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from ova.data.split.split import TEST, TRAIN
from ova.data.split.stored import read_split
from ova.errors import ArtefactError, DataError, first_few
from ova.heads.calibration.calibrate_scores import calibrate_for, check_disjoint
from ova.heads.calibration.calibration import Calibration
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask
from ova.heads.recipe import CalibrationSettings, read_head_recipe
from ova.heads.runs import HeadRecord, RunFolder, current_run
from ova.heads.scores import Scores, read_scores
from ova.storage import read_csv, read_json, write_json
from ova.workspace import Workspace


def calibrate_run(
    run: RunFolder, settings: CalibrationSettings, tested: Set[str] = frozenset()
) -> Calibration:
    """Fit, bind to the weights, and store the calibration of a finished run.

    Args:
        run: The run, whose own training and test rows are refused.
        settings: How to fit.
        tested: More images that are test rows.

    Raises:
        ArtefactError: Files of the run are damaged.
        DataError: Scores of rows that the head was trained on, or of test rows.
    """
    record = run.read_record()
    scores, training = calibration_inputs(run, record, tested)
    task = training.threshold_task(settings)
    calibration = calibrate_for(scores.logits, scores.labels, task).bound_to(record.weights_digest)
    write_json(run.calibration, calibration.to_json())
    return calibration


def calibration_inputs(
    run: RunFolder, record: HeadRecord, tested: Set[str] = frozenset()
) -> tuple[Scores, Training]:
    """Read the scores that calibrate a run, refusing those of rows that it must not see.

    Raises:
        ArtefactError: Files of the run are damaged.
        DataError: Scores of rows that the head was trained on, or of test rows.
    """
    scores = read_scores(run.scores)
    _refuse_seen(run, scores.images, tested)
    shift = float(np.mean(record.log_odds_shift))
    return scores, Training(shift, record.recipe.balance.proper)


@dataclass(frozen=True)
class Training:
    """What calibration must know of a training."""

    shift: float
    """How far weights and sampling moved the logits up."""
    proper: bool
    """Whether the loss has its minimum at the true probability."""

    def threshold_task(
        self,
        settings: CalibrationSettings = CalibrationSettings(),  # noqa: B008 (immutable)
        prior: float | None = None,
    ) -> ThresholdTask:
        """What a threshold for this training is chosen for, by the settings of a recipe."""
        return ThresholdTask(
            pos_weight=math.exp(self.shift),
            proper_loss=self.proper,
            objective=settings.objective,
            method=settings.method,
            confidence=settings.confidence,
            prior=prior,
        )


def _refuse_seen(run: RunFolder, images: Sequence[str], tested: Set[str]) -> None:
    """Refuse scores of rows that were trained on, are test rows, or are not of this run.

    With folds every row was scored by the network that did not see it.
    """
    part_of = {row["image"]: row["part"] for row in read_csv(run.rows)}
    check_disjoint(images, [image for image, part in part_of.items() if part == TRAIN])
    own = {image for image, part in part_of.items() if part == TEST}
    leaked = sorted(set(images) & (own | tested | set(read_scores(run.test_scores).images)))
    if leaked:
        raise DataError(
            f"{len(leaked)} calibration images are test rows, which choose nothing: {first_few(leaked, 5)}; "
            "train the head again"
        )
    if not set(images) <= part_of.keys():
        raise ArtefactError(
            f"{run.scores} holds images that are not in {run.rows.name}; train the head again"
        )


def calibrate_head(workspace: Workspace, name: str) -> Calibration:
    """Fit threshold and probability of the run in use, as its recipe says now; nothing is trained.

    Raises:
        ArtefactError: The head is not trained, or its files are damaged.
        DataError: Scores of rows that the head was trained on, or of test rows.

    Example:
        `workspace` has a trained head spot, with 14 rows held out of its training:

        >>> import ova
        >>> calibration = ova.calibrate_head(workspace, "spot")
        >>> calibration.objective, calibration.positives, calibration.negatives
        ('f1', 5, 9)
    """
    return _calibrate(workspace, name, test_rows(workspace))


def calibrate_heads(workspace: Workspace, names: Sequence[str] = ()) -> dict[str, Calibration]:
    """Calibrate heads by name, or all that are trained.

    Raises:
        ArtefactError: A named head, or none at all, is trained.
    """
    names = names or workspace.trained_heads()
    if not names:
        raise ArtefactError("no head is trained yet; run: ova train")
    tested = test_rows(workspace)
    return {name: _calibrate(workspace, name, tested) for name in names}


def _calibrate(workspace: Workspace, name: str, tested: Set[str]) -> Calibration:
    settings = read_head_recipe(workspace, name).calibration
    return calibrate_run(current_run(workspace, name), settings, tested)


def test_rows(workspace: Workspace) -> Set[str]:
    """Return the images that are test rows now; a run may be of an earlier split."""
    split = read_split(workspace)
    return {image for image, part in split.part_of.items() if part == TEST} if split is not None else set()


def read_calibration(run: RunFolder, record: HeadRecord) -> Calibration:
    """Read the calibration of a run.

    Raises:
        ArtefactError: Missing, damaged, or bound to other weights.
    """
    calibration = Calibration.from_json(read_json(run.calibration))
    if calibration.weights_digest != record.weights_digest:
        raise ArtefactError(
            f"{run.calibration} was fitted on other weights; run: ova calibrate {record.name}"
        )
    return calibration
