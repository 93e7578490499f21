"""The rows that a network of a head is trained on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from small import head_recipe

from ova.data.dataset import open_dataset
from ova.errors import ArtefactError, OvaError
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import all_runs, current_run
from ova.heads.training import loop as fit_module
from ova.heads.training import members
from ova.heads.training.plan import store_spec
from ova.heads.training.train import HeadOutcome, TrainOptions, train_head
from ova.progress import Watch
from ova.storage import read_csv, write_tensors
from ova.workspace import Workspace

Make = Callable[..., Workspace]
PROTOTYPES = head_recipe(balance={"prototypes": 12}, training={"epochs": 1})


def train(workspace: Workspace, **options: Any) -> HeadOutcome:
    dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, "spot"))])
    return train_head(workspace, dataset, "spot", TrainOptions(device="cpu", **options))


def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], int]]:
    """Record (negative images, number of positives) of every training."""
    seen: list[tuple[set[str], int]] = []
    original = members.fit

    def spy(network: Any, material: Any, *rest: Any, **more: Any) -> Any:
        pairs = zip(material.train.images, material.train.labels, strict=True)
        seen.append(({image for image, label in pairs if label == 0}, material.train.positives))
        return original(network, material, *rest, **more)

    monkeypatch.setattr(members, "fit", spy)
    return seen


def test_prototypes_are_negatives_of_the_training_part_and_positives_all_stay(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trained_on(monkeypatch)
    workspace = make_workspace({"spot": PROTOTYPES})
    train(workspace)
    run = current_run(workspace, "spot")
    record = run.read_record()
    listed = {row["image"] for row in read_csv(run.prototypes(0))}
    training = {row["image"] for row in read_csv(run.rows) if row["part"] == "train"}
    assert seen == [(listed, record.rows["train"][0])]
    assert len(listed) == 12
    assert listed < training
    assert record.per_epoch == ((12, record.rows["train"][0]),)
    (row,) = read_csv(run.history)
    assert sum(int(row[f"train_{name}"]) for name in ("tn", "fp")) == 12


def test_every_fold_chooses_its_own_and_the_order_of_rows_is_of_no_consequence(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trained_on(monkeypatch)
    for folder in ("one", "other"):
        split = {"split": {"test": 0.25, "folds": 2}}
        workspace = make_workspace({"spot": PROTOTYPES}, dataset=split, folder=folder)
        if folder == "other":
            table = workspace.root / "data" / "images" / "data.csv"
            header, *lines = table.read_text().splitlines()
            table.write_text("\n".join([header, *reversed(lines)]) + "\n")
        train(workspace)
    assert seen[:2] == seen[2:]
    assert not seen[0][0] & seen[1][0]


def test_without_pretrained_weights_pixels_are_compared_and_with_them_features(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    seeds: list[int] = []
    original = members.choose_prototypes

    def spy(vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
        shapes.append(vectors.shape)
        seeds.append(seed)
        return original(vectors, count, seed)

    monkeypatch.setattr(members, "choose_prototypes", spy)
    train(make_workspace({"spot": PROTOTYPES | {"training": PROTOTYPES["training"] | {"seed": 5}}}))
    weights = {"backbone": {"name": "test_resnet", "weights": "trunk.safetensors"}}
    workspace = make_workspace({"spot": PROTOTYPES | weights}, folder="pretrained")
    from ova.heads.network.backbones import build_backbone

    network = build_backbone("test_resnet", channels=1, size=(24, 24))
    write_tensors(
        workspace.root / "trunk.safetensors",
        {name: tensor.numpy() for name, tensor in network.state_dict().items()},
    )
    train(workspace)
    assert [shape[1] for shape in shapes] == [256, network.num_features]
    assert seeds == [5, 0]


@pytest.mark.parametrize(
    ("balance", "told"),
    [
        ({"sampler": "balanced", "pos_weight": 3.0}, "twice"),
    ],
)
def test_what_cannot_be_done_is_told_before_there_is_a_run(
    make_workspace: Make, balance: dict[str, object], told: str
) -> None:
    workspace = make_workspace({"spot": head_recipe(balance=balance)})
    with pytest.raises(OvaError, match=told):
        train(workspace)
    assert not workspace.head_runs("spot").exists()


def test_as_many_prototypes_as_negatives_change_nothing(make_workspace: Make) -> None:
    plain, wide = (
        make_workspace(
            {"spot": head_recipe(balance=balance, training={"epochs": 1})}, folder=str(len(balance))
        )
        for balance in ({}, {"prototypes": 10_000})
    )
    for workspace in (plain, wide):
        train(workspace)
    digests = [current_run(workspace, "spot").read_record().weights_digest for workspace in (plain, wide)]
    assert digests[0] == digests[1]
    assert not current_run(wide, "spot").prototypes(0).exists()


def test_chosen_rows_are_read_back_and_a_changed_list_is_refused(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace({"spot": PROTOTYPES})
    with pytest.raises(fit_module.Interrupted):
        train(workspace, watch=Watch(should_stop=lambda: True))
    file = all_runs(workspace, "spot")[0].prototypes(0)
    lines = file.read_text().splitlines(keepends=True)
    monkeypatch.setattr(members, "choose_prototypes", None)  # nothing is chosen a second time
    file.write_text("".join(lines[:-1]))
    with pytest.raises(ArtefactError, match=r"prototypes-0\.csv is damaged"):
        train(workspace)
    file.write_text("".join([*lines[:-1], "elsewhere.png\n"]))
    with pytest.raises(ArtefactError, match=r"prototypes-0\.csv is damaged"):
        train(workspace)
    file.write_text("".join(lines))
    assert train(workspace).status == "trained"
