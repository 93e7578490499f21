"""Which training a head of a combined model comes from, and why that one; part of the manifest, and light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OtherRun:
    """A run that was not chosen, and its figure by the same criterion."""

    run: str
    figure: float | None


@dataclass(frozen=True)
class RunEntry:
    """Which training a head is of, and why that one."""

    run: str
    """Its number in the workspace that exported."""
    digest: str
    """Of its recipe, rows, labels and pixels."""
    ova_version: str
    """Which trained it."""
    criterion: str | None = None
    """By which it was chosen among runs; None where it was simply the one in use."""
    figure: float | None = None
    """Of that criterion, on held-out rows."""
    rows: int | None = None
    """Held-out rows that all runs of the choice share."""
    positives: int | None = None
    others: tuple[OtherRun, ...] = ()
