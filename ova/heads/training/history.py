"""`history.csv`: one row per epoch and network of a head, written anew after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ova.errors import ArtefactError
from ova.storage import read_csv, write_csv

HistoryRow = dict[str, float | int | None]
History = list[HistoryRow]


def write_history(path: Path, histories: Sequence[History]) -> None:
    """Write the epochs of all networks so far; `member` says which network a row is of."""
    columns = next(list(history[0]) for history in histories if history)
    rows = (
        [member, *(row[column] for column in columns)]
        for member, history in enumerate(histories)
        for row in history
    )
    write_csv(path, ("member", *columns), rows)


def epochs_done(path: Path) -> int:
    """Return how many epochs a history tells of; 0 if there is none yet."""
    try:
        return len(read_csv(path))
    except ArtefactError:
        return 0
