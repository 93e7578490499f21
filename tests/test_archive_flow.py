"""From a zip to a combined model: no step needs the images anywhere else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from small import head_recipe

from ova.workspace import Workspace

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]


def test_a_zip_with_its_table_becomes_a_combined_model(
    make_workspace: Callable[..., Workspace], run_cli: Run, tmp_path: Path
) -> None:
    recipe = head_recipe(training={"epochs": 1})
    plain = make_workspace({"spot": recipe})
    assert run_cli("-C", plain.root, "train", "--device", "cpu")[0] == 0
    trained = json.loads((plain.head_runs("spot") / "0001/run.json").read_text())
    shutil.copytree(plain.root / "data/images", tmp_path / "pack/photos")
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "pack")
    shutil.rmtree(tmp_path / "pack")

    zipped = Workspace(tmp_path / "zipped")
    table = "inside:photos/data.csv"
    assert run_cli("init", zipped.root, "--images", tmp_path / "photos.zip", "--labels", table)[0] == 0
    assert zipped.head_names() == ["bar", "spot"]
    zipped.head_recipe("spot").write_text(tomli_w.dumps(recipe))
    zipped.head_recipe("bar").unlink()
    zipped.ensemble_recipe("all").write_text(tomli_w.dumps({"heads": ["spot"]}))

    def ova(*arguments: object) -> object:
        code, out, err = run_cli("-C", zipped.root, *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    assert ova("data", "check")["images"] == 72
    assert ova("train", "--device", "cpu")[0]["status"] == "trained"
    same = json.loads((zipped.head_runs("spot") / "0001/run.json").read_text())
    assert same["digest"] == trained["digest"], "rows and pixels are those of the folder"
    assert ova("export", "all")["parity"]["decision_flips"] == 0
    assert ova("analyse", "all")["heads"]
    assert not [
        path for path in tmp_path.rglob("*.png") if zipped.root in path.parents and path.parent.name != "all"
    ]

    # The archive moves to another disk; then it is made anew with another table.
    (tmp_path / "disk").mkdir()
    shutil.move(tmp_path / "photos.zip", tmp_path / "disk/photos.zip")
    code, _, err = run_cli("-C", zipped.root, "data", "check")
    assert (code, "photos.zip: is missing" in err) == (4, True)
    assert run_cli("-C", zipped.root, "data", "locate", tmp_path)[0] == 4
    assert run_cli("-C", zipped.root, "data", "locate", tmp_path / "disk")[0] == 0
    assert [head["state"] for head in ova("list")["heads"]] == ["calibrated"]
    assert ova("train", "--device", "cpu")[0]["status"] == "kept"
