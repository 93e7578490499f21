"""The state of one training, complete: stopped anywhere and restored, it goes on bit for bit."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3  # pyright: ignore[reportPrivateImportUsage]
from torch import Tensor, nn
from torch.optim import Optimizer

from ova.errors import ArtefactError, OvaError
from ova.heads.recipe import TrainingSettings
from ova.heads.training.history import History
from ova.heads.training.optimizer import Schedule, build_optimizer
from ova.metrics import Counts
from ova.storage import read_tensors, write_tensors

Arrays = dict[str, np.ndarray]
_SAVE_EVERY_SECONDS = 60.0
CURE = "lower training.learning_rate or set training.clip = 1.0"


class Diverged(OvaError):
    """A training whose loss is no longer a number."""

    exit_code = 3


@dataclass
class Marks:
    """The plain numbers of a training: where it is, and what it has seen."""

    epoch: int = 1
    """The epoch under way, counted from 1."""
    step: int = 0
    """Steps done in this epoch."""
    updates: int = 0
    """Steps done in all."""
    seconds: float = 0.0
    """Time spent in this epoch so far."""
    best_epoch: int = 0
    """0 as long as there is none."""
    best_precision: float | None = None
    """Validation average precision of the best epoch; None where validation has no positive."""
    history: History = field(default_factory=list)
    """One row per finished epoch."""


class TrainingState:
    """Network, moving average, optimiser, schedule, best weights so far, and `marks`."""

    def __init__(self, network: nn.Module, settings: TrainingSettings, steps_per_epoch: int) -> None:
        self.network = network
        self.optimizer: Optimizer = build_optimizer(network, settings)
        self.schedule = Schedule(self.optimizer, settings, steps_per_epoch)
        self.average = ModelEmaV3(network, settings.ema, use_warmup=True) if settings.ema else None
        device = next(network.parameters()).device
        # Sums of the epoch so far stay on the device: reading them would stop it at every step.
        self.loss_sum = torch.zeros((), device=device)
        self.counts = torch.zeros(4, dtype=torch.int64, device=device)
        self.marks = Marks()
        self.best: Arrays = {}

    @property
    def scored(self) -> nn.Module:
        """The network that is validated and kept: the moving average if there is one."""
        return self.network if self.average is None else self.average.module

    def count(self, labels: Tensor, decisions: Tensor) -> None:
        """Add a batch to the 2x2 table: labels 0 or 1 (B,), decisions bool (B,)."""
        self.counts += torch.bincount(2 * labels.long() + decisions.long(), minlength=4)

    def counted(self) -> Counts:
        """Return the training decisions of this epoch so far."""
        tn, fp, fn, tp = self.counts.tolist()
        return Counts(tp=tp, fp=fp, fn=fn, tn=tn)

    def refuse_divergence(self) -> None:
        """Look whether the loss of this epoch is still a number.

        Raises:
            Diverged: It is not.
        """
        if not torch.isfinite(self.loss_sum):
            raise Diverged(
                f"the loss is no longer a number in epoch {self.marks.epoch} "
                f"at learning rate {self.schedule.rate:.2g}; {CURE}"
            )

    def keep_as_best(self, precision: float | None) -> None:
        """Remember the current weights as the best so far."""
        self.marks.best_epoch, self.marks.best_precision = self.marks.epoch, precision
        self.best = _arrays(self.scored.state_dict())

    def save(self, path: Path) -> None:
        """Write everything to one file, at once.

        Raises:
            EnvironmentFault: It cannot be written; the previous file is still there.
        """
        optimizer = self.optimizer.state_dict()
        tensors: dict[str, Tensor] = {"loss_sum": self.loss_sum, "counts": self.counts}
        tensors |= {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{n}": value for n, value in self.average.module.state_dict().items()}
        for index, slots in optimizer["state"].items():
            tensors |= {
                f"optimizer.{index}.{slot}": value for slot, value in slots.items() if value is not None
            }
        arrays = _arrays(tensors) | {f"best.{name}": value for name, value in self.best.items()}
        values = {
            "marks": asdict(self.marks),
            "schedule": self.schedule.state(),
            "groups": optimizer["param_groups"],
        }
        write_tensors(path, arrays, {"state": json.dumps(values, allow_nan=False)})

    def restore(self, path: Path) -> None:
        """Take over a state written by `save` for the same recipe and rows.

        Raises:
            ArtefactError: The file is missing, damaged, or of another training.
        """
        arrays, metadata = read_tensors(path)
        try:
            values: dict[str, Any] = json.loads(metadata["state"])
            parts = _by_prefix(arrays)
            self.network.load_state_dict(_tensors(parts["network"]))
            if self.average is not None:
                self.average.module.load_state_dict(_tensors(parts["average"]))
            slots: dict[int, dict[str, Tensor]] = {}
            for name, value in _tensors(parts.get("optimizer", {})).items():
                index, slot = name.split(".", 1)
                slots.setdefault(int(index), {})[slot] = value
            self.optimizer.load_state_dict({"state": slots, "param_groups": values["groups"]})
            self.schedule.restore(values["schedule"])
            self.loss_sum.copy_(torch.from_numpy(arrays["loss_sum"]))
            self.counts.copy_(torch.from_numpy(arrays["counts"]))
            self.best = parts.get("best", {})
            self.marks = Marks(**values["marks"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise ArtefactError(f"{path} is not a state of this training: {error}") from error


class CheckpointSaver:
    """Saves a training once a minute, and never one that has diverged."""

    def __init__(self, state: TrainingState, checkpoint: Path) -> None:
        self._state = state
        self._checkpoint = checkpoint
        self._saved_at = time.monotonic()

    def if_due(self) -> None:
        """Save if the last time is a minute ago."""
        if time.monotonic() - self._saved_at > _SAVE_EVERY_SECONDS:
            self.now()

    def now(self) -> None:
        """Save."""
        state = self._state
        state.refuse_divergence()
        state.save(self._checkpoint)
        self._saved_at = time.monotonic()


def _arrays(tensors: dict[str, Tensor]) -> Arrays:
    """Copy tensors to the CPU; the copy does not follow later updates."""
    return {name: copy.copy(tensor.detach().cpu().contiguous().numpy()) for name, tensor in tensors.items()}


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}


def _by_prefix(arrays: Arrays) -> dict[str, Arrays]:
    parts: dict[str, Arrays] = {}
    for name, array in arrays.items():
        prefix, _, rest = name.partition(".")
        parts.setdefault(prefix, {})[rest] = array
    return parts
