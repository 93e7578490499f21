from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from hypothesis import settings
from PIL import Image
from small import draw_images, head_recipe, write_table

from ova.workspace import Workspace

# A busy machine is no failure; and a change is judged on its own, not on the examples that chance drew.
settings.register_profile("ova", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("ova")

# Two test processes share two cores; more threads would only get in each other's way.
torch.set_num_threads(1)

# Worker processes find the work of a test by the name of its module. Last, so that the installed `ova` is tested.
sys.path.append(str(Path(__file__).parents[1]))


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
        root = tmp_path / folder
        images, labels = draw_images(count)
        pixels = root / "data" / "images"
        pixels.mkdir(parents=True)
        names = [f"{number:03d}.png" for number in range(count)]
        for name, image in zip(names, images, strict=True):
            Image.fromarray(image).save(pixels / name)
        write_table(
            pixels / "data.csv",
            names,
            columns or {"spot": labels[:, 0].tolist(), "bar": labels[:, 1].tolist()},
        )
        workspace = Workspace(root)
        recipes: dict[Path, Mapping[str, Any]] = {
            workspace.dataset_recipe: {"root": "images", "labels": "data.csv", **(dataset or {})}
        }
        for name, recipe in (heads or {"spot": head_recipe()}).items():
            recipes[workspace.head_recipe(name)] = recipe
        for name, recipe in (ensembles or {}).items():
            recipes[workspace.ensemble_recipe(name)] = recipe
        for path, recipe in recipes.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(tomli_w.dumps(recipe))
        return workspace

    return make


@pytest.fixture
def run_cli(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process and return (exit code, stdout, stderr)."""
    from ova.cli import main

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
