"""TensorBoard and MLflow are told what history.csv says, once per epoch, also after an interruption."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from small import head_recipe, write_workspace

from ova.ensembles.train import train_heads
from ova.errors import EnvironmentFault, RecipeError
from ova.heads.runs import all_runs
from ova.heads.training.trackers import check_trackers, readings
from ova.metrics import Counts
from ova.storage import read_csv

pytestmark = pytest.mark.slow

CURVES = {"train/loss": "train_loss", "validation/loss": "validation_loss", "learning_rate": "learning_rate",
          "validation/average_precision": "validation_average_precision"}  # fmt: skip


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    # MLflow's files instead of its database, whose first use takes seconds; the database is tried by hand.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    return write_workspace(tmp_path / "workspace", {"spot": head_recipe()})


def told_by_tensorboard(run) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard" / "network-1")).Reload()
    return {
        name: {each.step: each.value for each in events.Scalars(name)} for name in events.Tags()["scalars"]
    }


def told_by_mlflow() -> tuple[str, dict[str, dict[int, list[float]]], dict[str, str]]:
    from mlflow import MlflowClient

    client = MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("ova").experiment_id])
    curves: dict[str, dict[int, list[float]]] = {}
    for name in run.data.metrics:
        for each in client.get_metric_history(run.info.run_id, name):
            curves.setdefault(name.removeprefix("network-1/"), {}).setdefault(each.step, []).append(
                each.value
            )
    return run.info.status, curves, run.data.params


@pytest.mark.filterwarnings("ignore")  # of these libraries, about themselves
def test_both_are_told_the_history_once_even_if_the_training_is_interrupted(workspace):
    steps = iter(range(1000))
    both = ("tensorboard", "mlflow")
    first = train_heads(workspace, trackers=both, device="cpu", should_stop=lambda: next(steps) >= 3)
    assert first[0].status == "interrupted"
    assert told_by_mlflow()[0] == "KILLED"
    assert train_heads(workspace, trackers=both, device="cpu")[0].status == "trained"
    (run,) = all_runs(workspace, "spot")
    rows = read_csv(run.history)
    events = told_by_tensorboard(run)
    status, curves, parameters = told_by_mlflow()
    assert status == "FINISHED"
    assert (parameters["label"], parameters["training.epochs"]) == ("spot", "3")
    for name, column in CURVES.items():
        expected = {int(row["epoch"]): float(row[column]) for row in rows}
        assert events[name] == pytest.approx(expected, rel=1e-6)
        assert curves[name] == {epoch: [value] for epoch, value in expected.items()}
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_without_a_tracker_nothing_is_logged(workspace):
    train_heads(workspace, device="cpu")
    (run,) = all_runs(workspace, "spot")
    assert not (run.path / "tensorboard").exists()
    assert not workspace.mlflow_store.exists()


def test_readings_leave_out_what_is_undefined():
    row = {
        "epoch": 2,
        "seconds": 0.5,
        "train_loss": 0.1,
        "train_tp": 3,
        "train_fp": 1,
        "train_fn": 0,
        "train_tn": 5,
    }
    row |= {"validation_loss": float("nan"), "validation_tp": 0, "validation_fp": 0, "validation_fn": 0}
    row |= {"validation_tn": 4, "validation_average_precision": None}
    assert readings(row) == {"seconds": 0.5, "train/loss": 0.1, "train/f1": Counts(3, 1, 0, 5).f1}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_library_that_is_missing_is_one_line(workspace, run_cli, name, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EnvironmentFault, match="install it with"):
        check_trackers([name], workspace)
    code, out, err = run_cli("-C", workspace.root, "train", "--track", name)
    assert (code, out) == (6, "")
    assert err.strip() == f'ova: tracking needs {name}; install it with: pip install "ova[{name}]"'
    with pytest.raises(RecipeError, match="'wandb' is no tracker; choose from tensorboard, mlflow"):
        check_trackers(["wandb"], workspace)


def test_nothing_of_them_is_imported_without_being_asked_for():
    program = (
        "import sys, ova.heads.training.train; print({'mlflow', 'tensorboard', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
