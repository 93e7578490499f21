"""A label that has nothing to learn from: its head is skipped, the others go all the way, and the model says so."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from small import draw_images, head_recipe, write_table

from ova.ensembles.export.export import export
from ova.ensembles.runtime.manifest import METADATA_KEY, read_manifest
from ova.errors import ArtefactError

pytestmark = pytest.mark.slow

ROWS = 72


def columns(never: list[int]) -> dict[str, list[int]]:
    _, labels = draw_images(ROWS)
    return {"spot": labels[:, 0].tolist(), "bar": labels[:, 1].tolist(), "never": never}


@pytest.fixture
def workspace(make_workspace):
    heads = {name: head_recipe(name, training={"epochs": 1}) for name in ("spot", "bar", "never")}
    ensembles = {"all": {"heads": ["never", "spot", "bar"], "mode": "argmax"}}
    return make_workspace(heads, columns=columns([0] * ROWS), ensembles=ensembles)


def test_a_class_without_positives_is_skipped_everything_says_so_and_it_may_come_later(workspace, run_cli):
    def ova(*arguments):
        return run_cli("-C", workspace.root, *arguments)

    code, out, err = ova("train", "--json")
    assert code == 3
    assert {each["name"]: each["status"] for each in json.loads(out)} == {
        "bar": "trained",
        "never": "skipped",
        "spot": "trained",
    }
    reason = "head never is skipped: 0 positives and"
    assert reason in err.splitlines()[-1]

    code, out, err = ova("export", "all")
    assert code == 3
    assert err.splitlines()[-1].startswith(f"ova: the model is written without never: {reason}")
    assert "wrote" in out
    folder = workspace.ensemble_output("all")
    manifest = read_manifest(folder / "manifest.json")
    assert manifest.labels == ("spot", "bar")
    assert [(each.name, each.label) for each in manifest.absent] == [("never", "never")]
    assert manifest.absent[0].reason.startswith(reason)
    inside = {each.key: each.value for each in onnx.load(folder / "model.onnx").metadata_props}
    assert json.loads(inside[METADATA_KEY])["absent"][0]["name"] == "never"

    code, out, _ = ova("list", "--json")
    ensemble = json.loads(out)["ensembles"][0]
    assert (code, ensemble["state"], ensemble["reason"]) == (0, "exported", "without never")
    code, out, err = ova("analyse", "all", "--json")
    analysis = json.loads(out)
    assert (code, {each["name"] for each in analysis["heads"]}) == (0, {"bar", "spot"})
    assert 0 <= analysis["accuracy"] <= 1
    assert "all is without never: head never is skipped" in err
    image = workspace.root / "data" / "images" / "000.png"
    code, out, err = ova("predict", "all", image, "--json")
    assert code == 0
    assert set(json.loads(out)[0]["probabilities"]) == {"spot", "bar"}
    assert json.loads(out)[0]["label"] in {"spot", "bar", None}
    assert "the model is without never" in err
    _learn_it_after_all(workspace, run_cli)


def _learn_it_after_all(workspace, run_cli):
    positive = (np.arange(ROWS) % 4 == 0).astype(int).tolist()
    names = [f"{row:03d}.png" for row in range(ROWS)]
    write_table(workspace.root / "data/images/data.csv", names, columns(positive))
    assert run_cli("-C", workspace.root, "train")[0] == 0
    _, out, _ = run_cli("-C", workspace.root, "list", "--json")
    ensemble = json.loads(out)["ensembles"][0]
    assert (ensemble["state"], ensemble["reason"]) == (
        "stale",
        "head never is trained now; run: ova export all",
    )


def test_a_head_that_could_be_trained_is_not_left_out(workspace, run_cli):
    assert run_cli("-C", workspace.root, "train", "spot")[0] == 0
    with pytest.raises(ArtefactError, match="head 'bar' is not trained yet; run: ova train bar"):
        export(workspace, "all")
    assert not workspace.ensemble_output("all").exists()


def test_an_ensemble_of_absent_heads_only_is_refused(make_workspace, run_cli):
    workspace = make_workspace(
        {"never": head_recipe("never")},
        columns=columns([0] * ROWS),
        ensembles={"all": {"heads": ["never"]}},
    )
    assert run_cli("-C", workspace.root, "train")[0] == 3
    with pytest.raises(ArtefactError, match="head 'never' is not trained yet"):
        export(workspace, "all")
