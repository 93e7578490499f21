"""The shipped workspace on real solar cells (OVA_CELLS names their folder; skipped where there are none)."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w

ROOT = Path(__file__).parents[1]
CELLS = Path(os.environ.get("OVA_CELLS", ROOT.parent / "shared" / "elpv"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CELLS / "data.csv").is_file(), reason="the real solar cells are not here"),
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A copy of the recipes of this repository, with the scratch heads made small and short."""
    for folder in ("data", "heads", "ensembles"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("[!dR]*") if folder == "data" else None,
        )
    for path in (tmp_path / "heads").glob("*-scratch.toml"):
        recipe = tomllib.loads(path.read_text())
        recipe["backbone"] = {"name": "test_resnet"}
        recipe["input"] = {"size": 32 if "crack" in path.stem else 24, "channels": 1}
        recipe["training"] |= {"epochs": 3}
        path.write_text(tomli_w.dumps(recipe))
    return tmp_path


def test_the_shipped_workspace_runs_on_real_cells(shipped: Path, run_cli: Run) -> None:
    code, _, err = run_cli("-C", shipped, "data", "check")
    assert code == 4
    assert "ova data locate" in err
    assert run_cli("-C", shipped, "data", "locate", CELLS)[0] == 0
    counts = json.loads(run_cli("-C", shipped, "data", "split", "--json")[1])
    assert counts["images"] == 1600
    totals = {
        label: sum(part["positives"] for part in parts.values()) for label, parts in counts["labels"].items()
    }
    assert totals == {"crack": 354, "inactive": 98}
    assert sorted(counts["parts"].values()) == [256, 256, 256, 256, 256, 320]
    assert counts["labels"]["inactive"]["test"]["positives"] == 20

    dataset = shipped / "data/dataset.toml"  # a quarter of the cells and one network per head do here
    text = dataset.read_text().replace("folds = 5", "validation = 0.2")
    dataset.write_text(f"fraction = 0.25\n{text}")

    assert run_cli("-C", shipped, "train", "crack-scratch", "inactive-scratch", "--device", "cpu")[0] == 0
    exported = json.loads(run_cli("-C", shipped, "export", "solar-cell-scratch", "--json")[1])
    assert exported["parity"] == {
        "images": 64,
        "max_logit_difference": pytest.approx(0, abs=1e-4),
        "decision_flips": 0,
    }
    result = json.loads(run_cli("-C", shipped, "analyse", "solar-cell-scratch", "--json")[1])
    assert [head["name"] for head in result["heads"]] == ["inactive-scratch", "crack-scratch"]
    images = [CELLS / "images" / name for name in ("cell0001.png", "cell0005.png")]
    predicted = json.loads(run_cli("-C", shipped, "predict", "solar-cell-scratch", *images, "--json")[1])
    assert [set(each["decisions"]) for each in predicted] == [{"crack", "inactive"}] * 2


def test_frozen_heads_learn_from_one_reading_and_share_their_trunk(shipped: Path, run_cli: Run) -> None:
    for name in ("crack", "inactive"):  # smaller than shipped, with the weights that always come along
        path = shipped / f"heads/{name}.toml"
        recipe = tomllib.loads(path.read_text())
        assert recipe["backbone"]["freeze"]
        recipe["backbone"]["name"], recipe["input"]["size"] = "tf_efficientnet_lite0", 96
        path.write_text(tomli_w.dumps(recipe))
    dataset = shipped / "data/dataset.toml"
    dataset.write_text(f"fraction = 0.25\n{dataset.read_text()}")
    assert run_cli("-C", shipped, "data", "locate", CELLS)[0] == 0
    code, _, err = run_cli("-C", shipped, "train", "crack", "inactive", "--device", "cpu")
    assert code == 0, err
    assert "apache-2.0" in err
    assert len(list((shipped / "runs/features").iterdir())) == 1
    exported = json.loads(run_cli("-C", shipped, "export", "solar-cell", "--json")[1])
    assert exported["parity"]["decision_flips"] == 0
    manifest = json.loads((shipped / "runs/ensembles/solar-cell/manifest.json").read_text())
    trunks = {head["trunk"] for head in manifest["heads"]}
    assert len(trunks) == 1
    result = json.loads(run_cli("-C", shipped, "analyse", "solar-cell", "--json")[1])
    (figure,) = [head["test"] for head in result["heads"] if head["name"] == "crack"]
    prior = figure["positives"] / (figure["positives"] + figure["negatives"])
    assert (
        figure["average_precision"] > 2 * prior
    )  # at 96 of 300 pixels: far from the shipped figure, and from chance


def test_pretrained_heads_without_a_network_name_both_ways_out(
    shipped: Path, run_cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-cache"))
    assert run_cli("-C", shipped, "data", "locate", CELLS)[0] == 0
    recipe = {"label": "crack", "backbone": {"name": "resnet18", "pretrained": True}, "input": {"size": 32}}
    (shipped / "heads/hub.toml").write_text(tomli_w.dumps(recipe))
    code, _, err = run_cli("-C", shipped, "train", "hub", "--device", "cpu")
    assert code == 3
    told = err.strip().splitlines()[-1]
    assert "pretrained = false" in told
    assert ".safetensors" in told
