"""An analysis of made-up heads on small images, with names that try to be more than text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image
from small import draw_images

from ova.analysis.choices import Choices
from ova.analysis.report.files import HeadSource, write_report
from ova.analysis.tables import Analysis, HeadEvidence, analyse_heads
from ova.heads.calibrate import calibrate_scores
from ova.progress import Silent
from ova.workspace import Workspace

HOSTILE = "<script>alert(1)</script>"
LABELS = {
    "bar": "bar",
    "spot": HOSTILE,
    "never": "a rather long name of a label \N{SNOWMAN} that never holds",
}


@dataclass(frozen=True)
class Made:
    """A page and what it was made of."""

    workspace: Workspace
    folder: Path
    analysis: Analysis
    sources: tuple[HeadSource, ...]
    files: tuple[Path, ...]


def source_of(name, labels, images) -> HeadSource:
    """A head that is a little wrong, and has learnt for five epochs."""
    generator = np.random.default_rng(len(name))
    logits = (generator.normal(0, 1.5, len(labels)) + 3 * labels - 1).astype(np.float32).astype(float)
    calibration = calibrate_scores(logits, labels, pos_weight=1.0)
    evidence = HeadEvidence(name, LABELS[name], calibration.threshold, labels.astype(np.int8), logits, images)
    history = [
        {
            "member": "0",
            "epoch": str(epoch),
            "train_loss": str(1 / epoch),
            "validation_loss": str(1.1 / epoch),
            "validation_average_precision": str(epoch / 6),
        }
        for epoch in range(1, 6)
    ]
    return HeadSource(evidence, calibration, history, (5,))


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    """The page of three heads on 72 images: one is scarce and badly named, one has no positive."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    workspace.dataset_recipe.parent.mkdir()
    drawn, truth = draw_images(72)
    images = tuple(f"cell <u>{number:02d}.png" for number in range(72))
    for image, pixels in zip(images, drawn, strict=True):
        Image.fromarray(pixels).save(workspace.root / "data" / image)
    workspace.dataset_recipe.write_text(tomli_w.dumps({"labels": "labels.csv"}))
    columns = {"spot": truth[:, 0], "bar": truth[:, 1], "never": np.zeros(72, int)}
    sources = tuple(source_of(name, column, images) for name, column in columns.items())
    values = np.stack(list(columns.values()), axis=1)
    choices = Choices.of([LABELS[name] for name in columns], values, np.arange(72) % 4)
    analysis = analyse_heads(
        [source.evidence for source in sources], ensemble="cells", mode="argmax", choices=choices
    )
    folder = workspace.ensemble_output("cells")
    files = write_report(workspace, folder, analysis, sources, Silent())
    return Made(workspace, folder, analysis, sources, tuple(files))
