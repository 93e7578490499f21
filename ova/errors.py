"""The errors of `ova`, and the exit code that the command line gives to each.

OvaError                 1   a bug, unless a subclass says otherwise
├── RecipeError          2   a recipe or an argument is wrong
├── PartialError         3   some heads or files failed, the rest is done and kept
├── DataError            4   labels or images are refused
├── ArtefactError        5   a stored head, model or split is damaged, foreign or out of date
└── EnvironmentFault     6   disk, memory, network or a library is missing

Every message is one line: what, where, what to do.
"""

from __future__ import annotations

from typing import ClassVar


class OvaError(Exception):
    """Base of every error that `ova` raises on purpose."""

    exit_code: ClassVar[int] = 1


class RecipeError(OvaError):
    """A recipe or an argument is wrong."""

    exit_code = 2


class PartialError(OvaError):
    """Some heads or files failed; the rest is done and kept."""

    exit_code = 3


class DataError(OvaError):
    """Labels or images are refused."""

    exit_code = 4


class ArtefactError(OvaError):
    """A stored head, model or split is damaged, foreign or out of date."""

    exit_code = 5


class EnvironmentFault(OvaError):
    """Disk, memory, network or a library is missing."""

    exit_code = 6


def first_few(items: list[str], limit: int = 10) -> str:
    """Join at most `limit` items for an error line and say how many were left out."""
    shown = ", ".join(items[:limit])
    return shown if len(items) <= limit else f"{shown} and {len(items) - limit} more"
