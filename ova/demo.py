"""`ova demo`: the whole flow on generated solar cells, through the functions that a user's own data takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ova.analysis.analyse import Report, analyse
from ova.data.split.split import TEST
from ova.data.synthetic import draw_cells, write_cells
from ova.ensembles.export.export import export
from ova.ensembles.export.onnx_export import ExportReport
from ova.ensembles.runtime.model import CombinedModel, Prediction
from ova.ensembles.train import train_heads
from ova.errors import RecipeError
from ova.heads.training.train import HeadOutcome
from ova.progress import Progress, Silent, never
from ova.scaffold.scaffold import write_recipes
from ova.storage import read_csv, read_json, write_json
from ova.workspace import Workspace

ENSEMBLE = "solar-cell"
CELLS = 1200
CELL_SIDE = 96
DATASET: dict[str, Any] = {"root": "cells", "labels": "data.csv"}
# One on a pretrained trunk that stays frozen, with weights that pip has installed; one from scratch.
HEADS: dict[str, dict[str, Any]] = {
    "crack": {
        "label": "crack",
        "backbone": {
            "name": "tf_efficientnet_lite0",
            "pretrained": True,
            "freeze": True,
            "pooling": "mean+max",
        },
        "input": {"size": 96, "channels": 1},
        "scoring": {"views": "flips"},
    },
    "inactive": {
        "label": "inactive",
        "backbone": {"name": "test_efficientnet"},
        "input": {"size": 64, "channels": 1},
        "training": {"epochs": 35, "batch_size": 32, "learning_rate": 5e-3, "weight_decay": 0.02},
        "augment": {"flips": True},
        "scoring": {"views": "flips"},
    },
}


@dataclass(frozen=True, eq=False)
class DemoResult:
    """What the demo made."""

    folder: Path
    outcomes: Sequence[HeadOutcome]
    report: Report
    exported: ExportReport
    predictions: Sequence[Prediction]
    seconds: float

    def lines(self) -> list[str]:
        """Return what to tell at the end: examples, paths, what to try next."""
        examples = [
            f"{Path(each.image).name}: "
            + ", ".join(f"{label} {value:.3f}" for label, value in each.probabilities.items())
            for each in self.predictions
        ]
        return [
            "probabilities of three test images: " + "; ".join(examples),
            f"workspace  {self.folder}",
            f"model      {self.exported.model} ({self.exported.size / 1e6:.1f} MB, thresholds inside)",
            f"figures    {self.report.files[0]}",
            f"try        ova -C {self.folder} predict {ENSEMBLE} {self.folder / 'data' / 'cells' / 'images'}",
            f"done in {self.seconds:.0f} s",
        ]


def run_demo(
    folder: Path,
    *,
    cells: int | None = None,
    heads: dict[str, dict[str, Any]] | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> DemoResult:
    """Generate cells, train two heads, calibrate, export, analyse and predict.

    Running it again in the same folder goes on where it was interrupted.

    Args:
        folder: The demo's workspace; made here, or by an earlier demo.
        cells: How many images to generate; `CELLS` if not given.
        heads: Other head recipes, by name.
        progress: Told of every step.
        should_stop: Asked after every training step.

    Raises:
        RecipeError: The folder holds something else.
        OvaError: Whatever the flow raises.
    """
    started = time.monotonic()
    progress = progress or Silent()
    workspace = Workspace(folder)
    _make_workspace(workspace, cells or CELLS, heads or HEADS, progress)
    outcomes = train_heads(workspace, progress=progress, should_stop=should_stop)
    exported = export(workspace, ENSEMBLE, progress=progress)
    report = analyse(workspace, ENSEMBLE, progress=progress)
    images = folder / "data" / DATASET["root"]
    shown = sorted(_test_images(workspace))[:3]
    model = CombinedModel.load(exported.model)
    predictions = list(model.predict([images / image for image in shown]))
    return DemoResult(folder, outcomes, report, exported, predictions, time.monotonic() - started)


def _make_workspace(
    workspace: Workspace, cells: int, heads: dict[str, dict[str, Any]], progress: Progress
) -> None:
    """Write images, labels and recipes, unless an earlier demo has done so."""
    marker = workspace.root / "data" / "demo.json"
    if marker.is_file():
        if read_json(marker).get("cells") != cells:
            raise RecipeError(
                f"{workspace.root} holds a demo of another size; remove it or name another folder"
            )
        return
    if workspace.root.exists() and any(workspace.root.iterdir()):
        raise RecipeError(f"{workspace.root} is not empty and no demo; name another folder: ova demo DIR")
    progress.start("generating cells", 2)
    drawn = draw_cells(cells, size=CELL_SIDE)
    progress.advance("generating cells", 1)
    write_cells(workspace.root / "data" / DATASET["root"], drawn)
    progress.advance("generating cells", 2)
    recipes: dict[Path, dict[str, Any]] = {workspace.dataset_recipe: DATASET}
    recipes |= {workspace.head_recipe(name): recipe for name, recipe in heads.items()}
    recipes[workspace.ensemble_recipe(ENSEMBLE)] = {"heads": list(heads), "mode": "multilabel"}
    write_recipes(recipes)
    write_json(marker, {"cells": cells})


def _test_images(workspace: Workspace) -> list[str]:
    return [row["image"] for row in read_csv(workspace.split_table) if row["part"] == TEST]
