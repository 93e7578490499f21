"""Optimisers and learning-rate schedules of a recipe, from torch and timm."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from ova.heads.recipe import TAIL_RATE, TrainingSettings, step_table


class Schedule:
    """One face for schedules that move every step, every epoch, or when the loss stalls."""

    def __init__(self, optimizer: Optimizer, settings: TrainingSettings, steps_per_epoch: int) -> None:
        self._optimizer = optimizer
        self._every_step: LRScheduler | None = None
        self._on_plateau: ReduceLROnPlateau | None = None
        if settings.schedule == "one-cycle":
            self._every_step = OneCycleLR(
                optimizer,
                max_lr=settings.learning_rate,
                total_steps=max(2, settings.epochs * steps_per_epoch),
            )
        elif settings.schedule == "plateau":
            self._on_plateau = ReduceLROnPlateau(
                optimizer,
                factor=settings.plateau_factor,
                patience=settings.plateau_patience,
                min_lr=settings.plateau_min,
            )
        else:
            self._every_step = LambdaLR(optimizer, _Factor(settings, steps_per_epoch))

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        """Move on by one optimiser step."""
        if self._every_step is not None:
            self._every_step.step()

    def after_epoch(self, validation_loss: float) -> None:
        """Move on by one epoch."""
        if self._on_plateau is not None:
            self._on_plateau.step(validation_loss)

    def state(self) -> dict[str, object]:
        """Return what `restore` needs, as JSON values."""
        scheduler = self._every_step or self._on_plateau
        assert scheduler is not None  # noqa: S101
        state = {key: value for key, value in scheduler.state_dict().items() if key != "lr_lambdas"}
        # JSON has no infinity, and "no loss seen yet" is stored as one.
        return {key: "inf" if value == math.inf else value for key, value in state.items()}

    def restore(self, state: dict[str, object]) -> None:
        """Go on from a stored state."""
        scheduler = self._every_step or self._on_plateau
        assert scheduler is not None  # noqa: S101
        parsed = {key: math.inf if value == "inf" else value for key, value in state.items()}
        if isinstance(scheduler, LambdaLR):
            parsed["lr_lambdas"] = [None] * len(scheduler.lr_lambdas)
        scheduler.load_state_dict(parsed)


class _Factor:
    """Multiple of the base rate at an optimiser step, for constant, cosine and step-table schedules."""

    def __init__(self, settings: TrainingSettings, steps_per_epoch: int) -> None:
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.table = step_table(settings.steps)

    def __call__(self, step: int) -> float:
        epoch = step / self.steps_per_epoch
        settings = self.settings
        if settings.schedule == "steps":
            number = int(epoch) + 1
            rates = (rate for first, last, rate in self.table if first <= number <= last)
            return next(rates, TAIL_RATE) / settings.learning_rate
        if epoch < settings.warmup_epochs:
            return (step + 1) / (settings.warmup_epochs * self.steps_per_epoch)
        if settings.schedule == "constant":
            return 1.0
        span = max(settings.epochs - settings.warmup_epochs, 1)
        return 0.5 * (1 + math.cos(math.pi * min((epoch - settings.warmup_epochs) / span, 1.0)))


def build_optimizer(network: nn.Module, settings: TrainingSettings) -> Optimizer:
    """Build the optimiser over all parameters, frozen ones included: they may be unfrozen later.

    Args:
        network: All of its parameters must require gradients while this is called.
        settings: Optimiser, rate, decay, momentum.
    """
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        return torch.optim.Adam(groups, lr=rate)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=settings.momentum, nesterov=settings.momentum > 0)
    return torch.optim.RMSprop(groups, lr=rate, momentum=settings.momentum)
