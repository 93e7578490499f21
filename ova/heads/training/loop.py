"""The training loop of one network, in the order in which things happen."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ova.data.images.store import PixelStore
from ova.heads.network.freezing import freeze_trunk, keep_frozen_in_eval, unfreeze
from ova.heads.network.head import Normalise
from ova.heads.recipe import HeadRecipe, TrainingSettings
from ova.heads.rows import Rows, read_batch
from ova.heads.scores import score_rows
from ova.heads.training.batches import EpochPlan, augment_batch, plan_epoch, steps_per_epoch
from ova.heads.training.checkpoint import CURE, Arrays, CheckpointSaver, Diverged, TrainingState
from ova.heads.training.device import reduced_precision
from ova.heads.training.history import History
from ova.heads.training.losses import mix_and_smooth, training_loss, validation_loss
from ova.heads.training.pos_weight import Balance
from ova.metrics import Counts, average_precision
from ova.progress import Interrupted, Watch


@dataclass(frozen=True, eq=False)
class Material:
    """What a network is trained on, and how its pixels are normalised."""

    store: PixelStore
    train: Rows
    validation: Rows
    normalise: Normalise
    balance: Balance
    device: torch.device


@dataclass(frozen=True, eq=False)
class Fitted:
    """The weights of the best epoch, and how it went."""

    weights: Arrays
    best_epoch: int
    validation_average_precision: float | None
    """None where validation has no positive: the last epoch is kept."""
    history: History


def fit(
    network: nn.Module,
    material: Material,
    recipe: HeadRecipe,
    *,
    classifier: Collection[str],
    checkpoint: Path,
    task: str,
    watch: Watch,
    on_epoch: Callable[[History], None],
) -> Fitted:
    """Train a network and return the weights of the epoch with the best validation average precision.

    Args:
        network: (B, C, H, W) normalised -> (B, 1), on `material.device`.
        material: Rows, pixels, normalisation, balance of the classes.
        recipe: Settings of the head.
        classifier: Names of the parameters that a frozen trunk leaves trainable.
        checkpoint: Where the state is kept while training; what is there is taken up again.
        task: Name under which progress is told.
        watch: Told after every epoch, asked after every step.
        on_epoch: Told the history after every epoch.

    Raises:
        Diverged: The loss became NaN or infinite; the state of the last good epoch is kept.
        Interrupted: `watch` said so; the state is kept.
        ArtefactError: The checkpoint is damaged.
    """
    settings = recipe.training
    steps = steps_per_epoch(material.balance.shown, settings.batch_size)
    state = TrainingState(network, settings, steps)
    if checkpoint.exists():
        state.restore(checkpoint)
    progress = watch.progress
    progress.start(task, settings.epochs)
    progress.advance(task, state.marks.epoch - 1)
    keep = CheckpointSaver(state, checkpoint)

    while state.marks.epoch <= settings.epochs and not _stale(state, settings):
        _set_trainable(network, recipe, classifier, state.marks.epoch)
        if not _train_epoch(state, material, recipe, keep, watch.should_stop):
            raise Interrupted(
                f"{task}: stopped in epoch {state.marks.epoch}; run the same command again to go on"
            )
        row = _finish_epoch(state, material, settings)
        on_epoch(state.marks.history)
        progress.advance(task, state.marks.epoch - 1, _note(row))
        keep.if_due()

    progress.advance(task, settings.epochs)
    return Fitted(state.best, state.marks.best_epoch, state.marks.best_precision, state.marks.history)


def _train_epoch(
    state: TrainingState,
    material: Material,
    recipe: HeadRecipe,
    keep: CheckpointSaver,
    should_stop: Callable[[], bool],
) -> bool:
    """Take the steps that are left of the epoch; False if asked to stop, with the state kept."""
    settings, marks = recipe.training, state.marks
    plan = plan_epoch(
        material.train,
        settings.batch_size,
        settings.seed,
        marks.epoch,
        per_epoch=material.balance.per_epoch,
        rotate=recipe.balance.rotate_negatives,
    )
    started = time.monotonic() - marks.seconds
    while marks.step < len(plan.batches):
        _train_step(state, material, recipe, plan)
        marks.seconds = time.monotonic() - started
        if should_stop():
            keep.now()
            return False
        keep.if_due()
    state.refuse_divergence()
    return True


def _train_step(state: TrainingState, material: Material, recipe: HeadRecipe, plan: EpochPlan) -> None:
    """Read, augment, forward, backward, update."""
    settings, marks, device = recipe.training, state.marks, material.device
    rows, draws = plan.batches[marks.step], plan.draws(marks.step)
    known = material.train.labels[rows]
    labels = torch.from_numpy(known).to(device, torch.float32)
    pixels = read_batch(material.store, material.train.positions[rows], device)
    pixels = augment_batch(pixels, draws, known, material.balance.rarer, recipe)
    pixels, targets = mix_and_smooth(material.normalise(pixels), labels, draws, settings)

    # Dropout draws from torch's generator: seeded at every step, it needs no place in a checkpoint.
    torch.manual_seed(_step_seed(settings.seed, marks.epoch, marks.step))
    with reduced_precision(settings.precision, device):
        logits = state.network(pixels).squeeze(1).float()
    loss = training_loss(logits, targets, material.balance.pos_weight, recipe.balance)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if settings.clip is not None:
        nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip)
    state.optimizer.step()
    state.schedule.after_step()
    marks.updates += 1
    if state.average is not None:
        state.average.update(state.network, step=marks.updates)

    state.loss_sum += loss.detach() * len(rows)
    state.count(labels, logits.detach() >= 0)
    marks.step += 1


def _finish_epoch(
    state: TrainingState, material: Material, settings: TrainingSettings
) -> dict[str, float | int | None]:
    """Validate, keep the weights if they are the best, write the epoch's row, move to the next epoch."""
    marks, started = state.marks, time.monotonic()
    logits = score_rows(
        lambda pixels: state.scored(material.normalise(pixels)).squeeze(1),
        state.scored,
        material.store,
        material.validation,
        device=material.device,
    )
    if not np.isfinite(logits).all():
        raise Diverged(f"a validation logit is no longer a number in epoch {marks.epoch}; {CURE}")
    labels = material.validation.labels
    # Validation rows are not sampled: what sampling did to the odds is a weight here, so that losses compare.
    loss = validation_loss(logits, labels, math.exp(material.balance.log_odds_shift))
    precision = average_precision(labels, logits)
    row: dict[str, float | int | None] = {
        "epoch": marks.epoch,
        "seconds": round(marks.seconds + time.monotonic() - started, 3),
        "learning_rate": state.schedule.rate,
        "train_loss": float(state.loss_sum) / material.balance.shown,
        **{f"train_{name}": count for name, count in asdict(state.counted()).items()},
        "validation_loss": loss,
        **{f"validation_{name}": count for name, count in asdict(Counts.of(labels, logits >= 0)).items()},
        "validation_average_precision": precision,
    }
    marks.history.append(row)
    if precision is None or precision > (marks.best_precision or 0.0):
        state.keep_as_best(precision)
    state.schedule.after_epoch(loss)
    marks.epoch, marks.step, marks.seconds = marks.epoch + 1, 0, 0.0
    state.loss_sum.zero_()
    state.counts.zero_()
    return row


def _note(row: dict[str, float | int | None]) -> str:
    precision = row["validation_average_precision"]
    return "" if precision is None else f"validation AP {precision:.3f}"


def _set_trainable(network: nn.Module, recipe: HeadRecipe, classifier: Collection[str], epoch: int) -> None:
    """Put the network in training mode, with what is frozen in this epoch in eval mode."""
    backbone = recipe.backbone
    network.train()
    if backbone.freeze:
        freeze_trunk(network, classifier)
        if backbone.unfreeze_epoch is not None and epoch >= backbone.unfreeze_epoch:
            unfreeze(network, backbone.unfreeze_from)
        keep_frozen_in_eval(network)


def _stale(state: TrainingState, settings: TrainingSettings) -> bool:
    """Tell whether early stopping ends the training."""
    done = state.marks.epoch - 1
    return settings.early_stop is not None and done - state.marks.best_epoch >= settings.early_stop


def _step_seed(seed: int, epoch: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
