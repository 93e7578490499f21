"""A progress that keeps what it is told."""

from __future__ import annotations

from ova.progress import Silent


class Told(Silent):
    """Shows nothing; `lines` holds what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)
