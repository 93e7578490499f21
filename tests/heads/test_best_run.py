"""The choice among runs: by held-out rows that all share, never by test rows."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from small import head_recipe, write_workspace

from ova.ensembles.export.export import export
from ova.ensembles.train import train_heads
from ova.errors import ArtefactError
from ova.heads.runs import RunFolder, all_runs, current_run
from ova.heads.scores import Scores, read_scores, write_scores
from ova.heads.selection import best_run, use_best_runs
from ova.heads.status import head_statuses
from ova.storage import read_csv, read_json, write_csv, write_json

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A workspace with one trained head."""
    root = tmp_path_factory.mktemp("best") / "workspace"
    workspace = write_workspace(root, {"spot": head_recipe()}, ensembles={"all": {"heads": ["spot"]}})
    assert train_heads(workspace)[0].status == "trained"
    return workspace


@pytest.fixture
def workspace(once, tmp_path):
    """Run 0001 ranks perfectly, 0002 a little worse, 0003 (in use) is bad; test scores say the reverse."""
    shutil.copytree(once.root, tmp_path / "workspace")
    made = type(once)(tmp_path / "workspace")
    first = all_runs(made, "spot")[0]
    for number, missed in ((1, 0), (2, 1), (3, 3)):
        run = RunFolder(first.path.with_name(f"{number:04d}"))
        if run != first:
            shutil.copytree(first.path, run.path)
        with_scores(run, run.scores, missed)
        with_scores(run, run.test_scores, 3 - missed)
    write_json(made.current_run("spot"), {"run": "0003"})
    return made


def with_scores(run, path, missed):
    """Rank perfectly but for some positives, which come last."""
    scores = read_scores(path)
    logits = 4.0 * scores.labels - 2 + np.arange(len(scores.labels)) / 64
    logits[np.flatnonzero(scores.labels)[:missed]] = -3.0
    write_scores(path, Scores(scores.images, scores.labels, logits))


@pytest.mark.parametrize("criterion", ["average-precision", "log-loss"])
def test_the_best_on_held_out_rows_is_chosen(workspace, criterion):
    choice = best_run(workspace, "spot", criterion)
    assert [each.run.path.name for each in choice.ranked] == ["0001", "0002", "0003"]
    assert choice.run.path.name == "0001"
    assert choice.excluded == {}
    held_out = read_scores(choice.run.scores)
    assert choice.ranked[0].held_out.rows == len(held_out.images)
    line = choice.line()
    assert "spot: run 0001 is the best of 3 by" in line
    assert f"on {len(held_out.images)} held-out rows with {held_out.labels.sum()} positives" in line


def test_equal_runs_leave_the_newest(workspace):
    run = RunFolder(workspace.head_runs("spot") / "0004")
    shutil.copytree(run.path.with_name("0001"), run.path)
    assert best_run(workspace, "spot").run == run


def test_only_rows_that_all_runs_scored_alike_count(workspace):
    runs = all_runs(workspace, "spot")
    scores = read_scores(runs[1].scores)
    labels = scores.labels.copy()
    labels[4] = 1 - labels[4]
    write_scores(runs[1].scores, Scores(scores.images[3:], labels[3:], scores.logits[3:]))
    choice = best_run(workspace, "spot")
    assert {each.held_out.rows for each in choice.ranked} == {len(scores.images) - 4}
    negatives = scores.labels == 0
    kept = Scores(
        tuple(np.array(scores.images)[negatives]), scores.labels[negatives], scores.logits[negatives]
    )
    write_scores(runs[1].scores, kept)
    with pytest.raises(
        ArtefactError, match=r"runs 0001, 0002, 0003 of head 'spot' share .* with 0 positives"
    ):
        best_run(workspace, "spot")


def test_runs_that_cannot_be_chosen_are_named(workspace):
    runs = all_runs(workspace, "spot")
    rows = read_csv(runs[0].rows)
    tested = next(row["image"] for row in rows if row["part"] == "test")
    moved = [row | {"part": "train"} if row["image"] == tested else row for row in rows]
    write_csv(runs[0].rows, list(rows[0]), [list(row.values()) for row in moved])
    record = read_json(runs[1].record)
    write_json(runs[1].record, record | {"label": "bar"})
    choice = best_run(workspace, "spot")
    assert choice.run == runs[2]
    assert dict(choice.excluded) == {
        "0001": "trained or tuned on 1 images that are test rows now",
        "0002": "of the label 'bar'",
    }
    assert "not considered: 0001 (trained or tuned on 1 images" in choice.line()
    runs[2].record.unlink()
    with pytest.raises(ArtefactError, match="head 'spot' has no run to choose: run 0001: trained or tuned"):
        use_best_runs(workspace, ["spot"], "average-precision")
    assert read_json(workspace.current_run("spot")) == {"run": "0003"}


def test_export_best_puts_the_run_in_use_and_says_so_in_the_manifest(workspace, run_cli):
    before = export(workspace, "all").manifest.heads[0]
    assert (before.run.run, before.run.criterion) == ("0003", None)
    code, out, err = run_cli("-C", workspace.root, "export", "all", "--best", "--json")
    assert code == 0, err
    assert "spot: run 0001 is the best of 3 by average-precision" in err
    entry = json.loads(out)["heads"][0]["run"]
    assert (entry["run"], entry["criterion"], entry["figure"]) == ("0001", "average-precision", 1.0)
    assert [other["run"] for other in entry["others"]] == ["0002", "0003"]
    run = current_run(workspace, "spot")
    assert run.path.name == "0001"
    assert entry["digest"] == run.read_record().digest
    calibration = read_json(run.calibration)
    assert json.loads(out)["heads"][0]["threshold"] == calibration["threshold"]
    recipe = workspace.head_recipe("spot")
    recipe.write_text(recipe.read_text().replace("epochs = 3", "epochs = 4"))
    (status,) = head_statuses(workspace)
    assert (status.state, status.run) == ("calibrated", "0001")
    assert status.reason.startswith("the best of 3 runs by average-precision")
    assert run_cli("-C", workspace.root, "export", "all", "--best", "--by", "f1")[0] == 2
