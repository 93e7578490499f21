"""Calibration of a run: never on rows it must not see, never with other weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve
from small import head_recipe

from ova.data.dataset import open_dataset
from ova.ensembles.train import train_heads
from ova.errors import ArtefactError, DataError
from ova.heads.calibration import calibrate_run as calibrated
from ova.heads.calibration.calibrate_run import calibrate_head, calibrate_heads, calibrate_run
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask
from ova.heads.load import load_head
from ova.heads.recipe import CalibrationSettings
from ova.heads.runs import RunFolder, current_run
from ova.heads.scores import Scores, read_scores, write_scores
from ova.storage import read_csv
from ova.workspace import Workspace


@pytest.fixture
def trained(make_workspace: Callable[..., Workspace]) -> Workspace:
    workspace = make_workspace({"spot": head_recipe(training={"epochs": 2})}, count=140)
    train_heads(workspace, device="cpu")
    return workspace


def images_of(run: RunFolder, part: str) -> list[str]:
    return [row["image"] for row in read_csv(run.rows) if row["part"] == part]


def test_argmax_reaches_the_best_f1_of_the_stored_scores(trained: Workspace) -> None:
    run = current_run(trained, "spot")
    calibration = calibrate_run(run, CalibrationSettings(method="argmax"))
    scores = read_scores(run.scores)
    precision, recall, _ = precision_recall_curve(scores.labels, scores.logits)
    with np.errstate(invalid="ignore"):
        best = np.nanmax(2 * precision * recall / (precision + recall))
    assert calibration.f1 == pytest.approx(best)
    assert calibration.positives == int(scores.labels.sum())


@pytest.mark.parametrize(
    ("balance", "proper"), [({}, True), ({"loss": "focal"}, False), ({"prototypes": 40}, False)]
)
def test_the_shift_is_trusted_where_theory_gives_it(
    make_workspace: Callable[..., Workspace],
    monkeypatch: pytest.MonkeyPatch,
    balance: dict[str, object],
    proper: bool,
) -> None:
    given: list[ThresholdTask] = []
    original = calibrated.calibrate_for

    def spy(logits: Any, labels: Any, task: ThresholdTask) -> object:
        given.append(task)
        return original(logits, labels, task)

    monkeypatch.setattr(calibrated, "calibrate_for", spy)
    head = head_recipe(training={"epochs": 1}, balance=balance)
    workspace = make_workspace({"spot": head}, count=140)
    train_heads(workspace, device="cpu")
    (task,) = given
    record = current_run(workspace, "spot").read_record()
    assert task.proper_loss is proper
    assert task.pos_weight == pytest.approx(np.exp(record.log_odds_shift[0]))


def leak(run: RunFolder, image: str) -> None:
    """Put an image among those whose scores calibrate."""
    scores = read_scores(run.scores)
    write_scores(run.scores, Scores((*scores.images[1:], image), scores.labels, scores.logits))


@pytest.mark.parametrize(
    ("part", "message"), [("train", "1 calibration images were trained on"), ("test", "are test rows")]
)
def test_rows_that_were_trained_on_or_are_kept_for_the_test_are_refused(
    trained: Workspace, part: str, message: str
) -> None:
    run = current_run(trained, "spot")
    image = images_of(run, part)[0]
    leak(run, image)
    before = run.calibration.read_bytes()
    for calibrate in (
        lambda: calibrate_head(trained, "spot"),
        lambda: calibrate_heads(trained),
        lambda: calibrate_run(run, CalibrationSettings()),
    ):
        with pytest.raises(DataError, match=message) as caught:
            calibrate()
        assert image in str(caught.value)
    assert run.calibration.read_bytes() == before


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_commands_refuse_them_too(
    trained: Workspace, part: str, run_cli: Callable[..., tuple[int, str, str]]
) -> None:
    run = current_run(trained, "spot")
    leak(run, images_of(run, part)[0])
    code, _, err = run_cli("-C", trained.root, "calibrate")
    assert (code, len(err.splitlines())) == (4, 1)
    run.calibration.unlink()  # training calibrates a finished run that has lost its calibration
    code, _, err = run_cli("-q", "-C", trained.root, "train")
    assert code == 3
    assert "1 calibration images" in err
    assert not run.calibration.is_file()


def test_a_test_row_is_refused_although_the_rows_of_the_run_were_edited(trained: Workspace) -> None:
    run = current_run(trained, "spot")
    image = images_of(run, "test")[0]
    leak(run, image)
    run.rows.write_text(run.rows.read_text().replace(f"{image},test", f"{image},validation"))
    with pytest.raises(DataError, match="are test rows"):
        calibrate_run(run, CalibrationSettings())


def test_rows_that_another_split_keeps_for_the_test_are_refused(trained: Workspace) -> None:
    run = current_run(trained, "spot")
    text = trained.dataset_recipe.read_text()
    trained.dataset_recipe.write_text(text + "\n[split]\nseed = 5\n")
    tested = {image for image, part in open_dataset(trained).split.part_of.items() if part == "test"}
    assert tested & set(read_scores(run.scores).images)
    calibrate_run(run, CalibrationSettings())  # the run by itself is sound
    with pytest.raises(DataError, match="are test rows"):
        calibrate_head(trained, "spot")


def test_rows_that_nobody_knows_are_refused(trained: Workspace) -> None:
    run = current_run(trained, "spot")
    scores = read_scores(run.scores)
    write_scores(run.scores, Scores(("foreign.png", *scores.images[1:]), scores.labels, scores.logits))
    with pytest.raises(ArtefactError, match="not in"):
        calibrate_head(trained, "spot")


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_threshold_of_other_weights_is_refused(trained: Workspace) -> None:
    run = current_run(trained, "spot")
    load_head(trained, "spot")
    edit(run.calibration, weights_digest="0" * 64)
    with pytest.raises(ArtefactError, match="other weights"):
        load_head(trained, "spot")


def test_changed_weights_are_refused(trained: Workspace) -> None:
    run = current_run(trained, "spot")
    content = bytearray(run.weights.read_bytes())
    content[-1] ^= 1
    run.weights.write_bytes(content)
    with pytest.raises(ArtefactError, match="damaged"):
        load_head(trained, "spot")


@pytest.mark.parametrize("change", [{"format": 2}, {"members": "1"}, {"surprise": 1}, {"name": "other"}])
def test_a_record_that_was_edited_is_refused(trained: Workspace, change: dict[str, object]) -> None:
    edit(current_run(trained, "spot").record, **change)
    with pytest.raises(ArtefactError):
        load_head(trained, "spot")


@pytest.mark.parametrize("cell", ["2", "x", ""])
def test_a_damaged_score_table_is_refused(trained: Workspace, cell: str) -> None:
    run = current_run(trained, "spot")
    lines = run.scores.read_text().splitlines()
    image, _, logit = lines[1].split(",")
    run.scores.write_text("\n".join([lines[0], f"{image},{cell},{logit}", *lines[2:]]) + "\n")
    with pytest.raises(ArtefactError, match="damaged"):
        calibrate_head(trained, "spot")
