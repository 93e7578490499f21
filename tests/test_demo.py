"""The demo, smaller, through the command line: generated cells to a combined model and its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
from PIL import Image

import ova.demo
from ova.ensembles.runtime.manifest import read_manifest

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer cells and epochs than a user gets: the flow is tested here, the figures in a real run."""
    monkeypatch.setattr(ova.demo, "CELLS", 150)
    heads = {
        name: {**recipe, "training": {**recipe.get("training", {}), "epochs": 2}}
        for name, recipe in ova.demo.HEADS.items()
    }
    assert heads["crack"]["backbone"]["freeze"]
    heads["crack"]["backbone"] = {"name": "test_resnet", "freeze": True}
    monkeypatch.setattr(ova.demo, "HEADS", heads)


@pytest.mark.usefixtures("small_demo")
def test_the_demo_makes_an_ordinary_workspace(tmp_path: Path, run_cli: Run) -> None:
    folder = tmp_path / "demo"
    code, out, err = run_cli("demo", folder)
    assert code == 0, err
    assert all(
        text in out for text in ("crack", "inactive", "always yes F1", "chance F1", "macro F1", "model.onnx")
    )
    output = folder / "runs/ensembles/solar-cell"
    assert read_manifest(output / "manifest.json").parity.decision_flips == 0
    inputs = onnxruntime.InferenceSession(
        output / "model.onnx", providers=["CPUExecutionProvider"]
    ).get_inputs()
    assert [each.type for each in inputs] == ["tensor(uint8)"]
    with Image.open(folder / "data/cells/images/cell0001.png") as image:
        assert (image.mode, image.size) == ("L", (96, 96))
    listed = json.loads(run_cli("-C", folder, "list", "--json")[1])
    assert [each["state"] for each in listed["heads"]] == ["calibrated", "calibrated"]
    assert len({each["backbone"] for each in listed["heads"]}) == 2
    assert [each["state"] for each in listed["ensembles"]] == ["exported"]

    weights = {path: path.read_bytes() for path in folder.rglob("head.safetensors")}
    assert run_cli("demo", folder)[0] == 0  # again: everything is kept
    assert {path: path.read_bytes() for path in folder.rglob("head.safetensors")} == weights


@pytest.mark.usefixtures("small_demo")
def test_the_demo_never_writes_into_somebody_elses_folder(tmp_path: Path, run_cli: Run) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    code, _, err = run_cli("demo", tmp_path)
    assert code == 2
    assert "not empty" in err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
