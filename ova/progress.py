"""How long work tells of itself without printing: the library reports, the command line shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ova.errors import OvaError


class Progress(Protocol):
    """What the library calls while it works; `ova.cli.app` draws bars from it."""

    def start(self, task: str, total: int) -> None:
        """Begin a task of `total` steps; an unfinished task of the same name starts again."""

    def advance(self, task: str, done: int, note: str = "") -> None:
        """Say that `done` steps of the task are finished, with a short note on how it goes."""

    def say(self, text: str) -> None:
        """Tell the user one line that is worth keeping."""


class Silent:
    """A `Progress` that shows nothing."""

    def start(self, task: str, total: int) -> None:
        """Do nothing."""

    def advance(self, task: str, done: int, note: str = "") -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""


class Interrupted(OvaError):
    """Work that was asked to stop; it goes on from there when it is run again."""

    exit_code = 130


def never() -> bool:
    """Let the work go on to its end."""
    return False


@dataclass(frozen=True)
class Watch:
    """Whoever follows long work: is told how it goes, and may stop it."""

    progress: Progress = field(default_factory=Silent)
    should_stop: Callable[[], bool] = never
    """Asked after every step."""
