"""What a search has found so far: trials as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ova.heads.selection import Criterion
from ova.heads.tune.space import Space


@dataclass(frozen=True)
class Trial:
    """One trial as far as it came."""

    number: int
    state: str
    """complete, pruned, failed, or unfinished."""
    choice: dict[str, Any]
    figure: float | None
    """Of the criterion."""
    measured: dict[str, Any]
    """What `Measured` says, flat; empty if it did not come to its end."""
    reason: str | None = None
    """Why it failed."""


@dataclass(frozen=True, eq=False)
class Found:
    """A study as far as it came."""

    folder: Path
    space: Space
    criterion: Criterion
    trials: tuple[Trial, ...]
    stopped: str | None = None
    """Why the search ended before its trials were done: time, or the user."""

    @property
    def best(self) -> Trial | None:
        """The best complete trial; of equal ones the first."""
        sign = 1 if self.criterion == "average-precision" else -1
        done = [trial for trial in self.trials if trial.state == "complete" and trial.figure is not None]
        return max(done, key=lambda trial: (sign * (trial.figure or 0.0), -trial.number), default=None)


def as_trial(found: Any) -> Trial:
    """Take what is of interest from an `optuna.trial.FrozenTrial`."""
    states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    return Trial(
        number=found.number,
        state=states.get(found.state.name, "unfinished"),
        choice=dict(found.params),
        figure=found.value,
        measured=dict(found.user_attrs.get("measured", {})),
        reason=found.user_attrs.get("reason"),
    )
