"""What follows a training from outside: TensorBoard and MLflow, told every epoch by the history.

The training loop knows nothing of them. Both libraries write their own files, of which `ova` makes nothing:
TensorBoard events below the run, and MLflow's database `runs/mlflow.db`, unless MLFLOW_TRACKING_URI names
another place. MLflow's telemetry is off unless the user has set it.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from ova.errors import EnvironmentFault, RecipeError
from ova.heads.runs import RunFolder
from ova.heads.training.history import History
from ova.heads.training.plan import HeadPlan
from ova.metrics import Counts
from ova.progress import Interrupted
from ova.workspace import Workspace

_TRACKERS = ("tensorboard", "mlflow")
_EXPERIMENT = "ova"
_COUNTS = ("tp", "fp", "fn", "tn")
_LONGEST_PARAMETER = 500
OnEpoch = Callable[[int, History], None]


class _Tracker(Protocol):
    def epoch(self, member: int, history: History) -> None:
        """Take note of a network's history, whose last row is new."""

    def close(self, status: str) -> None:
        """End with FINISHED, or KILLED or FAILED."""


def check_trackers(names: Sequence[str], workspace: Workspace) -> None:
    """Refuse, before anything is read, what cannot be used; and make MLflow's database ready.

    Raises:
        RecipeError: A name is unknown.
        EnvironmentFault: A library is not installed, or MLflow cannot open its store.
    """
    for name in names:
        if name not in _TRACKERS:
            raise RecipeError(f"{name!r} is no tracker; choose from {', '.join(_TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise EnvironmentFault(f'tracking needs {name}; install it with: pip install "ova[{name}]"')
    if "mlflow" in names:
        _experiment(workspace)


@contextmanager
def tracking(
    names: Sequence[str], workspace: Workspace, plan: HeadPlan, run: RunFolder
) -> Iterator[OnEpoch | None]:
    """Give the function that tells trackers of every epoch of a run, or None without any."""
    opened: list[_Tracker] = [
        _TensorBoard(run) if name == "tensorboard" else _MLflow(workspace, plan, run) for name in names
    ]

    def on_epoch(member: int, history: History) -> None:
        for tracker in opened:
            tracker.epoch(member, history)

    status = "FAILED"
    try:
        yield on_epoch if opened else None
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        for tracker in opened:
            tracker.close(status)


def readings(row: dict[str, float | int | None]) -> dict[str, float]:
    """Name what an epoch showed as curves, such as `validation/f1`; what is undefined is left out."""
    found: dict[str, float | None] = {}
    for name, value in row.items():
        part, _, what = name.partition("_")
        if part in ("train", "validation") and what not in _COUNTS:
            found[f"{part}/{what}"] = value
        elif part not in ("train", "validation", "epoch"):
            found[name] = value
    for part in ("train", "validation"):
        counts = Counts(**{name: int(row[f"{part}_{name}"] or 0) for name in _COUNTS})
        found[f"{part}/f1"] = counts.f1
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}


class _TensorBoard:
    """A log per network below the run; epochs that are told again replace what was told."""

    def __init__(self, run: RunFolder) -> None:
        self._folder = run.path / "tensorboard"
        self._writers: dict[int, Any] = {}

    def epoch(self, member: int, history: History) -> None:
        fresh = member not in self._writers
        if fresh:
            from torch.utils.tensorboard import SummaryWriter

            place = self._folder / f"network-{member + 1}"
            self._writers[member] = SummaryWriter(str(place), purge_step=1)
        for row in history if fresh else history[-1:]:
            for name, value in readings(row).items():
                self._writers[member].add_scalar(name, value, int(row["epoch"] or 0))
        self._writers[member].flush()

    def close(self, status: str) -> None:
        for writer in self._writers.values():
            writer.close()


class _MLflow:
    """One MLflow run per run of a head, taken up again when the training is."""

    def __init__(self, workspace: Workspace, plan: HeadPlan, run: RunFolder) -> None:
        self._client, experiment = _experiment(workspace)
        name = f"{plan.name}/{run.path.name}"
        tags = {"ova.run": name, "ova.digest": plan.digest}
        known = self._client.search_runs([experiment], f"tags.`ova.run` = '{name}'")
        same = [each for each in known if each.data.tags.get("ova.digest") == plan.digest]
        made = same[0] if same else self._client.create_run(experiment, tags=tags, run_name=name)
        self._run = made.info.run_id
        self._told: dict[int, set[int]] = {}
        if same:
            self._client.update_run(self._run, status="RUNNING")
        else:
            self._log_parameters(plan)

    def _log_parameters(self, plan: HeadPlan) -> None:
        from mlflow.entities import Param

        recipe = plan.recipe.as_toml()
        flat = {"label": recipe["label"]}
        for section, values in recipe.items():
            if isinstance(values, dict):
                flat |= {f"{section}.{key}": str(value)[:_LONGEST_PARAMETER] for key, value in values.items()}
        self._client.log_batch(self._run, params=[Param(key, value) for key, value in flat.items()])

    def epoch(self, member: int, history: History) -> None:
        from mlflow.entities import Metric

        key = f"network-{member + 1}"
        if member not in self._told:
            told = self._client.get_metric_history(self._run, f"{key}/seconds")
            self._told[member] = {metric.step for metric in told}
        now = int(time.time() * 1000)
        rows = [row for row in history if int(row["epoch"] or 0) not in self._told[member]]
        for row in rows:
            epoch = int(row["epoch"] or 0)
            found = [Metric(f"{key}/{name}", value, now, epoch) for name, value in readings(row).items()]
            self._client.log_batch(self._run, metrics=found)
            self._told[member].add(epoch)

    def close(self, status: str) -> None:
        self._client.set_terminated(self._run, status)


def _experiment(workspace: Workspace) -> tuple[Any, str]:
    """Return MLflow's client and the id of the experiment, which is made if there is none.

    Raises:
        EnvironmentFault: The store cannot be opened.
    """
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it tells of the tables that it makes
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.mlflow_store.resolve().as_posix()}"
    try:
        workspace.mlflow_store.parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(_EXPERIMENT)
        if known is not None:
            return client, known.experiment_id
        files = workspace.mlflow_store.with_suffix("").resolve().as_uri()
        return client, client.create_experiment(_EXPERIMENT, artifact_location=files)
    except (MlflowException, OSError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise EnvironmentFault(f"MLflow cannot open {uri}: {reason}; train without --track mlflow") from error
