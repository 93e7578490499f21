"""Real images that every machine has: scikit-learn's digits, ten heads, argmax mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, confusion_matrix

from ova.analysis import analyse as evidence
from ova.data.split.split import TEST
from ova.ensembles.export.export import export
from ova.ensembles.runtime.model import CombinedModel
from ova.ensembles.train import train_heads
from ova.storage import read_csv
from ova.workspace import Workspace

pytestmark = pytest.mark.slow

RECIPE = {
    "backbone": {"name": "test_resnet"},
    "input": {"size": 16, "channels": 1},
    "training": {"epochs": 3, "batch_size": 32, "learning_rate": 4e-3, "weight_decay": 0.05},
}


@pytest.fixture
def digits(tmp_path: Path) -> Workspace:
    """A workspace around a folder per class, 90 images each."""
    images, targets = load_digits(return_X_y=True)
    workspace = Workspace(tmp_path)
    for digit in range(10):
        folder = tmp_path / "data" / "digits" / str(digit)
        folder.mkdir(parents=True)
        for number, row in enumerate(np.flatnonzero(targets == digit)[:90]):
            pixels = (images[row].reshape(8, 8) * 255 / 16).round().astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    recipes = {workspace.dataset_recipe: {"root": "digits", "format": "folders"}}
    recipes |= {workspace.head_recipe(f"digit-{each}"): {"label": str(each), **RECIPE} for each in range(10)}
    recipes[workspace.ensemble_recipe("digits")] = {
        "heads": [f"digit-{each}" for each in range(10)],
        "mode": "argmax",
    }
    for path, recipe in recipes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tomli_w.dumps(recipe))
    return workspace


def test_ten_heads_recognise_held_out_digits(digits: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    # Seventy plots and ten sheets of thumbnails, which tests of the page draw for fewer heads.
    monkeypatch.setattr(evidence, "write_report", lambda *_, **__: ())
    assert torch.get_num_threads() == 1
    outcomes = train_heads(digits, device="cpu")
    assert {outcome.status for outcome in outcomes} == {"trained"}
    report = export(digits, "digits")
    assert report.parity.decision_flips == 0
    analysis = evidence.analyse(digits, "digits").analysis
    test = [row["image"] for row in read_csv(digits.split_table) if row["part"] == TEST]
    assert len(test) == 180
    model = CombinedModel.load(report.model)
    root = digits.root / "data" / "digits"
    answers = [prediction.label or "none" for prediction in model.predict([root / image for image in test])]
    truth = [image.split("/")[0] for image in test]
    accuracy = accuracy_score(truth, answers)
    assert accuracy >= 0.93
    assert analysis.choices is not None
    assert analysis.choices.accuracy == pytest.approx(accuracy)
    names = [*(str(digit) for digit in range(10)), "none"]
    np.testing.assert_array_equal(analysis.choices.matrix, confusion_matrix(truth, answers, labels=names))
