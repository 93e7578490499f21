"""An analysis of made-up heads on small images, with names that try to be more than text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from PIL import Image
from small import draw_images

from ova.analysis.argmax_result import Choices
from ova.analysis.head_result import HeadEvidence
from ova.analysis.measures.head import HeadRun, measure_head
from ova.analysis.measures.values import Across, CoOccurrence, MeasuredValue, Slice, TrainingCost
from ova.analysis.report.files import HeadSource, write_report
from ova.analysis.result import Analysis, analyse_heads
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.scores import Scores
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

    def alone(self, name) -> tuple[Analysis, list[HeadSource]]:
        """One head of it: drawing all takes its time."""
        results = zip(self.analysis.heads, self.analysis.measures, strict=True)
        heads, measures = zip(*(each for each in results if each[0].name == name), strict=True)
        sources = [source for source in self.sources if source.evidence.name == name]
        return replace(self.analysis, heads=heads, measures=measures, across=None), sources


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


def measures_of(source):
    """All figures, as if the test rows had also been the rows of the calibration."""
    evidence = source.evidence
    held_out = Scores(evidence.images, evidence.labels, evidence.logits)
    cost = TrainingCost(12.3, 0.4, 1, "cpu")
    material = HeadRun(evidence, source.calibration, held_out, evidence.images, source.history, True, cost)
    return measure_head(material)


FIGURE = MeasuredValue(0.5, 0.4, 0.6)
ACROSS = Across(
    MeasuredValue(0.7, 0.6, 0.8),
    MeasuredValue(0.6, 0.5, 0.7),
    CoOccurrence(("spot", "bar"), ((72, 72), (72, 72)), ((24, 6), (6, 18)), ((20, 11), (11, 19))),
    (Slice("spot", "bar", True, 6, 12, FIGURE, FIGURE), Slice("spot", "bar", False, 18, 36, FIGURE, FIGURE)),
)


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
    by_name = {source.evidence.name: source for source in sources}
    measures = tuple(measures_of(by_name[head.name]) for head in analysis.heads)
    analysis = replace(analysis, measures=measures, across=ACROSS)
    folder = workspace.ensemble_output("cells")
    files = write_report(workspace, folder, analysis, sources, Silent())
    return Made(workspace, folder, analysis, sources, tuple(files))
