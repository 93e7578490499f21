"""Train one head: plan -> network(s) -> weights, scores and record in a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

import ova
from ova.data.dataset import Dataset
from ova.data.files.location import labels_digest
from ova.heads.calibration.calibrate_run import calibrate_run
from ova.heads.network.pretrained import WeightsOrigin
from ova.heads.network.trunks_at_hand import is_non_commercial
from ova.heads.runs import RunFolder, new_run, only_one, run_of_digest, use_run
from ova.heads.scores import write_scores
from ova.heads.training.device import choose_device
from ova.heads.training.history import write_history
from ova.heads.training.members import Job, OnWeights, Trained, plan_balances, train_members
from ova.heads.training.plan import HeadPlan, plan_head
from ova.heads.training.pos_weight import Balance
from ova.heads.training.probe import fit_probe, is_probe, refuse_what_a_probe_cannot
from ova.heads.training.record import make_record
from ova.heads.training.trackers import tracking
from ova.progress import Watch
from ova.storage import write_csv, write_json, write_tensors
from ova.workspace import Workspace


@dataclass(frozen=True)
class HeadOutcome:
    """How the training of one head ended."""

    name: str
    status: str
    """trained, kept (nothing had changed), skipped, failed, or interrupted."""
    reason: str | None = None
    run: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """What a caller may say of a training; none of it is part of what identifies the result."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    again: bool = False
    """Train anew even if nothing has changed since the last run."""
    trackers: Sequence[str] = ()
    """What else is told of every epoch, see `ova.heads.training.trackers`."""
    watch: Watch = field(default_factory=Watch)
    """Told after every epoch, asked after every step."""


def train_head(
    workspace: Workspace,
    dataset: Dataset,
    name: str,
    options: TrainOptions = TrainOptions(),
) -> HeadOutcome:
    """Train, score and calibrate one head; go on with an interrupted training, keep a finished one.

    Args:
        workspace: Where recipes and runs lie.
        dataset: Opened with a pixel store in the form that this head reads.
        name: Name of the head's recipe.
        options: Where and how, and who follows it.

    Raises:
        OvaError: See its subclasses; what was reached so far is kept.
    """
    plan = plan_head(workspace, dataset, name)
    run = None if options.again else run_of_digest(workspace, name, plan.digest)
    if run is not None and run.finished:
        if not run.calibration.is_file():
            calibrate_run(run, plan.recipe.calibration)
        use_run(workspace, name, run)
        # The label table may have changed where other heads read it.
        _write_origin(workspace, run, dataset, plan)
        return HeadOutcome(name, "kept", run=run.path.name)
    refuse_what_a_probe_cannot(plan.recipe)
    balances = plan_balances(plan)
    run = run or _begin_run(workspace, dataset, plan)
    with (
        only_one(run.lock, f"{run.path} is being trained by another process; wait or stop it"),
        tracking(options.trackers, workspace, plan, run) as on_epoch,
    ):
        job = Job.of(plan, dataset, run, choose_device(options.device), on_epoch)
        _train(workspace, dataset, job, balances, options.watch)
        calibrate_run(run, plan.recipe.calibration)
        use_run(workspace, name, run)
    return HeadOutcome(name, "trained", run=run.path.name)


def _train(workspace: Workspace, dataset: Dataset, job: Job, balances: list[Balance], watch: Watch) -> None:
    plan, run, progress = job.plan, job.run, watch.progress
    for line in _describe(plan, balances):
        progress.say(f"{plan.name}: {line}")

    def on_weights(origin: WeightsOrigin) -> None:
        if origin.source != "scratch":
            progress.say(f"{plan.name}: {_describe_weights(origin)}")

    trained = train_networks(workspace, dataset, job, balances, watch, on_weights)
    write_history(run.history, [part.history for part in trained.fitted])
    write_scores(run.scores, trained.pooled)
    if trained.test is not None:
        write_scores(run.test_scores, trained.test)
    content = trained.head.tensors()
    digest = write_tensors(run.weights, content, {"name": plan.name, "label": plan.recipe.label})
    record = make_record(job, trained, balances, digest, dataset.recipe)
    write_json(run.record, record.model_dump(mode="json"))
    run.forget_members(len(balances))


def train_networks(
    workspace: Workspace,
    dataset: Dataset,
    job: Job,
    balances: Sequence[Balance],
    watch: Watch,
    on_weights: OnWeights = lambda origin: None,
) -> Trained:
    """Make the head of a job, by epochs or, where its trunk stays frozen, by fits on cached features.

    Raises:
        OvaError: See its subclasses; what was reached so far is kept.
    """
    if is_probe(job.recipe):
        return fit_probe(workspace, job, balances, dataset.belonging(), watch, on_weights)
    return train_members(workspace, job, balances, watch, on_weights)


def _begin_run(workspace: Workspace, dataset: Dataset, plan: HeadPlan) -> RunFolder:
    run = new_run(workspace, plan.name)
    rows = sorted(
        (image, name, dataset.facts[image].pixels_blake3)
        for name, part in plan.parts.items()
        for image in part.images
    )
    write_csv(run.rows, ("image", "part", "pixels_blake3"), rows)
    _write_origin(workspace, run, dataset, plan)
    return run


def _write_origin(workspace: Workspace, run: RunFolder, dataset: Dataset, plan: HeadPlan) -> None:
    """Say what a run is made from, so that `ova list` can tell without reading tables or pixels."""
    origin = {
        "digest": plan.digest,
        "recipe": plan.recipe.training_digest(),
        "labels": labels_digest(workspace, dataset.root, dataset.recipe),
        "ova_version": ova.__version__,
        "threads": torch.get_num_threads(),
    }
    write_json(run.origin, origin)


def _describe_weights(origin: WeightsOrigin) -> str:
    licence = origin.licence or "unknown"
    limit = " (not for commercial use)" if is_non_commercial(origin.licence) else ""
    return f"starts from {origin.source}, licence {licence}{limit}"


def _describe(plan: HeadPlan, balances: list[Balance]) -> list[str]:
    """Say what the first member is trained on; other folds differ by a few rows, and head.json tells all."""
    training = plan.join(plan.members[0][0])
    text = f"{training.positives} positives, {training.negatives} negatives in training"
    if len(balances) > 1:
        text += f" of the first of {len(balances)} folds"
    if plan.unknown:
        text += f", {plan.unknown} unknown left out"
    weight, *others = balances[0].lines
    return [f"{text}; {weight}", *others]
