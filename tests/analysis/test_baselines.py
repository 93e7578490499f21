from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from small import head_recipe

from ova.analysis import baselines as classical
from ova.analysis.baselines import trained_baselines
from ova.analysis.gather import read_tested
from ova.data.dataset import open_dataset
from ova.data.images.store import StoreSpec
from ova.ensembles.train import train_heads
from ova.errors import DataError
from ova.progress import Silent

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(make_workspace, monkeypatch):
    monkeypatch.setattr(classical, "_TREES", 20)

    def make(**split):
        workspace = make_workspace(
            {"spot": head_recipe(training={"epochs": 1})}, dataset={"split": split} if split else None
        )
        train_heads(workspace, device="cpu")
        return workspace

    return make


@pytest.mark.parametrize("folds", [0, 3])
def test_baselines_learn_from_the_rows_of_the_run(trained, folds):
    workspace = trained(folds=folds) if folds else trained()
    head = read_tested(workspace, "spot")
    machine, *others = trained_baselines(workspace, [head], Silent())["spot"]
    assert [each.name for each in (machine, *others)] == list(classical.BASELINE_KINDS)
    # The same by hand: every fold's machine, averaged on the test rows.
    dataset = open_dataset(workspace, [StoreSpec(24, 24, 1)])
    store, spot = dataset.stores[StoreSpec(24, 24, 1)], dataset.table.column("spot")
    label_of = dict(zip(dataset.table.images, spot.tolist(), strict=True))

    def pixels(images):
        return store.read(store.rows(images)).reshape(len(images), -1) / np.float32(255)

    part_of = dataset.split.part_of
    test = sorted(image for image in part_of if part_of[image] == "test")
    scores = np.zeros(len(test))
    for fold in [f"fold-{number}" for number in range(1, folds + 1)] or ["validation"]:
        images = sorted(image for image, part in part_of.items() if part not in (fold, "test"))
        # Rows of folds are joined fold by fold.
        images.sort(key=lambda image: (part_of[image], image))
        model = make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
        model.fit(pixels(images), [label_of[image] for image in images])
        scores += model.decision_function(pixels(test))
    truth = [label_of[image] for image in test]
    assert machine.average_precision.value == pytest.approx(average_precision_score(truth, scores))
    assert machine.seconds is not None


def test_analysis_shows_them_if_asked_and_rows_that_are_gone_are_told(trained, run_cli):
    workspace = trained()
    code, out, err = run_cli("-C", workspace.root, "analyse", "spot", "--baselines", "--json")
    assert code == 0, err
    names = [each["name"] for each in json.loads(out)["heads"][0]["baselines"]]
    assert names == ["always yes", "chance at the prior", *classical.BASELINE_KINDS]
    code, out, _ = run_cli("-C", workspace.root, "analyse", "spot", "--json")
    assert len(json.loads(out)["heads"][0]["baselines"]) == 2
    table = workspace.root / "data" / "images" / "data.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-20]) + "\n")
    with pytest.raises(DataError, match=r"baselines of head spot need the rows of its run, but .* are gone"):
        trained_baselines(workspace, [read_tested(workspace, "spot")], Silent())
