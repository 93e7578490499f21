"""What the command line shows, on terminals of any width and in pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from ova.cli.render import console

ROWS = [
    ("head", "note", "figure", "precision"),
    ("crack", "", "0.97 [0.92]", "0.9"),
    ("inactive", "", "0.96", "1.0"),
]


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    def make(width: int = columns, **more: bool) -> Console:
        return Console(width=width, force_terminal=True, no_color=True, **more)

    monkeypatch.setattr(console, "Console", make)


def test_a_table_leaves_out_empty_columns_and_takes_markup_as_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console.show_table("[b]heads", ROWS)
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == ["[b]heads"]
    assert lines[1] == ["head", "figure", "precision"]
    assert lines[3:] == [["crack", "0.97", "[0.92]", "0.9"], ["inactive", "0.96", "1.0"]]


def test_a_pipe_gets_long_rows_whole(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_table("t", [("a", "b"), ("x" * 100, "y" * 100)])
    assert f"{'x' * 100}   {'y' * 100}" in capsys.readouterr().out


@pytest.mark.parametrize(("columns", "headers"), [(60, 1), (30, 2)])
def test_a_narrow_terminal_gets_a_table_per_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int, headers: int
) -> None:
    terminal(monkeypatch, columns)
    console.show_table("heads", ROWS)
    out = capsys.readouterr().out
    assert out.count("figure") == headers
    assert "0.97 [0.92]" in out


def test_progress_goes_to_stderr_and_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        with console.Shown(quiet=quiet) as shown:
            shown.start("work", 2)
            shown.advance("work", 1, "note")
            shown.say("a [line] that is kept")
            shown.start("work", 3)
            shown.advance("work", 3)
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.strip() == ("" if quiet else "a [line] that is kept")


def test_a_bar_moves_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, 120)
    with console.Shown(quiet=False) as shown:
        shown.start("training", 7)
        shown.advance("training", 3, "validation AP 0.5")
        shown._bars.refresh()
    drawn = capsys.readouterr().err
    assert "training" in drawn
    assert "3/7" in drawn
    assert "validation AP 0.5" in drawn


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_the_first_signal_asks_and_the_second_acts(before: Any, capsys: pytest.CaptureFixture[str]) -> None:
    of_parent = signal.signal(signal.SIGINT, before)  # a shell without job control leaves it ignored
    try:
        with console.stop_on_signal() as stop:
            assert not stop()
            os.kill(os.getpid(), signal.SIGINT)
            assert stop()
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, of_parent)
    assert "once more" in capsys.readouterr().err


def test_the_second_sigterm_ends_a_process_whose_parent_ignores_signals() -> None:
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "from ova.cli.render import console\n"
        "with console.stop_on_signal() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    assert stop()\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert ended.returncode == -signal.SIGTERM
