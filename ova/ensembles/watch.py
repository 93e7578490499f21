"""Heads that train in other processes: their progress, read from what they write, and the word to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

from ova.heads.history import epochs_done
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import all_runs
from ova.progress import Progress
from ova.storage import write_bytes
from ova.workspace import Workspace

SECONDS = 1.0


@contextmanager
def watching(
    workspace: Workspace,
    names: Sequence[str],
    progress: Progress,
    *,
    should_stop: Callable[[], bool],
    stop_file: Path,
) -> Iterator[None]:
    """While the block runs, tell the epochs of heads, and pass a request to stop on to their processes.

    Args:
        workspace: Where the runs are.
        names: Heads that are trained.
        progress: Told once a second.
        should_stop: Asked once a second.
        stop_file: Written when it says so; the workers look for it after every step.
    """
    over = Event()
    epochs = {name: read_head_recipe(workspace, name).training.epochs for name in names}

    def look() -> None:
        while not over.wait(SECONDS):
            for name in names:
                runs = [run for run in all_runs(workspace, name) if not run.finished]
                if runs:
                    progress.advance(name, epochs_done(runs[-1].history) % epochs[name])
            if should_stop() and not stop_file.exists():
                write_bytes(stop_file, b"")

    for name in names:
        progress.start(name, epochs[name])
    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
