from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from small import write_workspace

from ova.workspace import Workspace

# A busy machine is no failure; and a change is judged on its own, not on the examples that chance drew.
settings.register_profile("ova", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ova")

# Two test processes share two cores; more threads would only get in each other's way.
torch.set_num_threads(1)

# Worker processes find the work of a test by the name of its module. Last, so that the installed `ova` is tested.
sys.path.append(str(Path(__file__).parents[1]))


# The longest of those marked slow: the first to begin, so that no process waits for another at the end.
_LONG = (
    "test_onnx_export.py",
    "test_examples.py",
    "test_digits.py",
    "test_readme.py",
    "test_app.py",
    "test_real_cells.py",
    "test_demo.py",
    "test_flows.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[..., Workspace]:
    """Make a workspace of small images with the labels spot and bar."""

    def make(
        heads: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        count: int = 72,
        columns: Mapping[str, Sequence[object]] | None = None,
        dataset: Mapping[str, Any] | None = None,
        ensembles: Mapping[str, Mapping[str, Any]] | None = None,
        folder: str = "workspace",
    ) -> Workspace:
        return write_workspace(
            tmp_path / folder, heads, count=count, columns=columns, dataset=dataset, ensembles=ensembles
        )

    return make


@pytest.fixture
def run_cli(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process and return (exit code, stdout, stderr)."""
    from ova.cli.app import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ova", *map(str, arguments)])
        capfd.readouterr()
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run
