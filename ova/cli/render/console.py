"""What the command line shows, notes on stderr and results on stdout, and how a person stops it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from types import FrameType

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from ova.errors import OvaError


class Shown:
    """A `Progress` drawn with rich; bars appear only on a terminal, lines always but with `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self._tasks: dict[str, int] = {}

    def start(self, task: str, total: int) -> None:
        """Show a bar of `total` steps."""
        if task in self._tasks:
            self._bars.remove_task(self._tasks.pop(task))  # pyright: ignore[reportArgumentType]
        self._tasks[task] = self._bars.add_task(escape(task), total=total, note="")

    def advance(self, task: str, done: int, note: str = "") -> None:
        """Move a bar; a finished one disappears."""
        bar = self._tasks[task]
        self._bars.update(bar, completed=done, note=escape(note))  # pyright: ignore[reportArgumentType]
        if self._bars.tasks and all(each.finished for each in self._bars.tasks if each.id == bar):
            self._bars.update(bar, visible=False)  # pyright: ignore[reportArgumentType]

    def say(self, text: str) -> None:
        """Print one line above the bars."""
        self.console.print(escape(text), highlight=False, soft_wrap=True)

    def __enter__(self) -> Shown:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def show_json(value: object) -> None:
    """Print one JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def show_table(title: str, rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout; the first row is the header, and columns without any content are left out.

    On a terminal that is too narrow for it, every row becomes a small table of its own instead. A pipe gets
    the whole width.
    """
    kept = [column for column in range(len(rows[0])) if any(row[column] for row in rows[1:])]
    rows = [[escape(row[column]) for column in kept] for row in rows] if kept else rows
    console = Console()
    if not console.is_terminal:
        console = Console(width=250)
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD)
    for cell in rows[0]:
        table.add_column(cell, overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    if Console(width=10_000).measure(table).maximum <= console.width:
        console.print(table, highlight=False)
        return
    for row in rows[1:]:
        record = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, show_header=False)
        for name, cell in zip(rows[0], row, strict=True):
            record.add_row(name, cell)
        console.print(record, highlight=False)


def show_lines(lines: Sequence[str]) -> None:
    """Print plain lines on stdout."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))


class Stopped(OvaError):
    """The user asked to stop."""

    exit_code = 130


@contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; the second acts at once.

    A shell without job control has a command in the background ignore Ctrl-C. Whoever sends it one all the
    same means it, so that the second acts there, too.
    """
    asked = Event()
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.getsignal(number) for number in usual}

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        sys.stderr.write("\nstopping after this step; once more to stop at once\n")
        for each, handler in before.items():
            signal.signal(each, usual[each] if handler == signal.SIG_IGN else handler)

    for number in usual:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
