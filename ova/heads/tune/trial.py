"""One trial: train a recipe on every fold, and measure it on held-out rows. No test row is in reach."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import torch

from ova.data.dataset import Dataset
from ova.data.split.split import TEST
from ova.heads.network.head import Head
from ova.heads.runs import RunFolder
from ova.heads.scores import write_scores
from ova.heads.selection import HeldOut, measure_held_out
from ova.heads.training.members import Job, plan_balances
from ova.heads.training.plan import HeadPlan
from ova.heads.training.trackers import OnEpoch
from ova.heads.training.train import train_networks
from ova.progress import Watch
from ova.workspace import Workspace

_TIMED_BATCH, _TIMED = 8, 9


@dataclass(frozen=True)
class MeasuredTrial:
    """How good a recipe is, and what it costs."""

    held_out: HeldOut
    parameters: int
    """Of the head: all its networks."""
    megabytes: float
    """Of its weights, in float32."""
    milliseconds: float
    """Per image: median of 9 batches of 8 on the device that trained, all networks and views."""
    seconds: float
    """Time spent in epochs."""


def run_trial(
    workspace: Workspace,
    dataset: Dataset,
    plan: HeadPlan,
    run: RunFolder,
    *,
    folds: int | None,
    device: torch.device,
    watch: Watch,
    on_epoch: OnEpoch,
) -> MeasuredTrial:
    """Train and measure one recipe; an interrupted trial goes on where it was.

    Args:
        workspace: Where weights are.
        dataset: With a pixel store of the recipe's size.
        plan: Of the head, with the recipe that is tried; its test rows are taken out here.
        run: Where checkpoints, history and scores of the trial go.
        folds: How many of the folds to train; None for all.
        device: Where.
        watch: Told after every epoch, asked after every step.
        on_epoch: Told (network, its history so far) after every epoch; what it raises ends the trial.

    Raises:
        OvaError: See its subclasses.
    """
    parts = {name: part for name, part in plan.parts.items() if name != TEST}
    job = Job.of(replace(plan, parts=parts), dataset, run, device, on_epoch)
    balances = plan_balances(job.plan)[:folds]
    trained = train_networks(workspace, dataset, job, balances, watch)
    head, fitted, scores = trained.head, trained.fitted, trained.pooled
    write_scores(run.scores, scores)
    held_out = measure_held_out(
        scores.images,
        scores.labels,
        scores.logits,
        shift=statistics.fmean(balance.log_odds_shift for balance in balances),
        proper=plan.recipe.balance.proper,
    )
    run.forget_members(len(fitted))
    parameters = sum(parameter.numel() for parameter in head.parameters())
    seconds = sum(float(row["seconds"] or 0) for part in fitted for row in part.history)
    size = sum(tensor.nbytes for tensor in head.state_dict().values()) / 1e6
    return MeasuredTrial(held_out, parameters, round(size, 3), _milliseconds(head, device), round(seconds, 3))


def _milliseconds(head: Head, device: torch.device) -> float:
    """Time the head per image."""
    spec = head.input_spec
    pixels = torch.zeros(_TIMED_BATCH, spec.channels, spec.height, spec.width, device=device)
    times = []
    with torch.inference_mode():
        for _ in range(_TIMED + 1):  # the first one warms up
            started = time.perf_counter()
            head(pixels).cpu()
            times.append(time.perf_counter() - started)
    return round(1000 * statistics.median(times[1:]) / _TIMED_BATCH, 3)
