"""What a recipe says about training is what happens to the weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small import draw_images, head_recipe
from told import Told

from ova.data.dataset import open_dataset
from ova.errors import ArtefactError, RecipeError
from ova.heads.load import load_head
from ova.heads.network.backbones import build_backbone, classifier_keys
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import current_run
from ova.heads.scores import read_scores
from ova.heads.training import batches as batches_module
from ova.heads.training import loop as fit_module
from ova.heads.training import members
from ova.heads.training.losses import validation_loss
from ova.heads.training.plan import store_spec
from ova.heads.training.train import HeadOutcome, TrainOptions, train_head
from ova.progress import Watch
from ova.storage import read_csv, read_tensors, write_tensors
from ova.workspace import Workspace

Make = Callable[..., Workspace]


def train(workspace: Workspace, name: str = "spot", **options: Any) -> HeadOutcome:
    dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, name))])
    return train_head(workspace, dataset, name, TrainOptions(device="cpu", **options))


def weights(workspace: Workspace) -> dict[str, np.ndarray]:
    arrays, _ = read_tensors(current_run(workspace, "spot").weights)
    prefix = "members.0."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def first_weights(seed: int = 0) -> dict[str, np.ndarray]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_backbone("test_resnet", channels=1, size=(24, 24))
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def moved(after: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> set[str]:
    assert after.keys() == before.keys()
    return {name for name in after if not np.array_equal(after[name], before[name])}


@pytest.fixture(scope="module")
def classifier() -> set[str]:
    return set(classifier_keys("test_resnet", channels=1, size=(24, 24)))


def test_a_frozen_trunk_stays_what_it_was_batch_norm_included(
    make_workspace: Make, classifier: set[str]
) -> None:
    workspace = make_workspace({"spot": head_recipe(backbone={"freeze": True})})
    train(workspace)
    assert moved(weights(workspace), first_weights()) == classifier


def test_from_a_layer_on_the_trunk_is_trained_from_that_epoch_on(
    make_workspace: Make, classifier: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainable: dict[int, set[str]] = {}
    original = fit_module._train_epoch

    def spy(state: Any, *rest: Any) -> bool:
        names = {name for name, each in state.network.named_parameters() if each.requires_grad}
        trainable[state.marks.epoch] = names
        return original(state, *rest)

    monkeypatch.setattr(fit_module, "_train_epoch", spy)
    backbone = {"freeze": True, "unfreeze_epoch": 2, "unfreeze_from": "layer4"}
    workspace = make_workspace({"spot": head_recipe(backbone=backbone)})
    train(workspace)
    assert trainable[1] == classifier
    assert trainable[2] == trainable[3] > classifier
    for names in (trainable[3], moved(weights(workspace), first_weights())):
        assert all(name.startswith("layer4.") or name in classifier for name in names)


def test_training_starts_from_a_local_file_and_its_content_counts(
    make_workspace: Make, classifier: set[str]
) -> None:
    recipe = head_recipe(backbone={"freeze": True, "weights": "trunk.safetensors"})
    workspace = make_workspace({"spot": recipe})
    with pytest.raises(RecipeError, match=r"trunk\.safetensors does not exist"):
        train(workspace)
    trunk = first_weights(seed=7)
    write_tensors(workspace.root / "trunk.safetensors", trunk)
    assert train(workspace).status == "trained"
    assert moved(weights(workspace), trunk) == classifier
    record = current_run(workspace, "spot").read_record()
    assert record.initial_weights == "file:trunk.safetensors"
    assert train(workspace).status == "kept"
    write_tensors(workspace.root / "trunk.safetensors", first_weights(seed=8))
    assert train(workspace).run == "0002"
    write_tensors(workspace.root / "trunk.safetensors", {"other": np.zeros(1)})
    with pytest.raises(ArtefactError, match=r"trunk\.safetensors"):
        train(workspace)


def test_the_moving_average_is_what_is_kept(make_workspace: Make) -> None:
    plain = make_workspace({"spot": head_recipe()}, folder="plain")
    averaged = make_workspace({"spot": head_recipe(training={"ema": 0.5})}, folder="averaged")
    for workspace in (plain, averaged):
        train(workspace)
    parameters = {name for name in first_weights() if name.endswith("conv1.weight")}
    assert moved(weights(averaged), weights(plain)) >= parameters


def test_early_stop_ends_after_so_many_epochs_without_a_better_precision(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.5, 0.7, 0.6, 0.7, 0.9, 0.9])
    monkeypatch.setattr(fit_module, "average_precision", lambda labels, logits: next(values))
    workspace = make_workspace({"spot": head_recipe(training={"epochs": 6, "early_stop": 2})})
    train(workspace)
    run = current_run(workspace, "spot")
    assert len(read_csv(run.history)) == 4
    assert run.read_record().best_epochs == (2,)


def test_bfloat16_trains_and_is_scored_in_float32(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    original = fit_module.score_rows

    def spy(*arguments: Any, **more: Any) -> np.ndarray:
        seen.append(torch.is_autocast_enabled("cpu"))
        return original(*arguments, **more)

    monkeypatch.setattr(fit_module, "score_rows", spy)
    low = make_workspace({"spot": head_recipe(training={"precision": "bfloat16", "epochs": 1})})
    plain = make_workspace({"spot": head_recipe(training={"epochs": 1})}, folder="plain")
    for workspace in (low, plain):
        train(workspace)
    assert seen == [False, False]
    assert moved(weights(low), weights(plain))
    assert {each.dtype for each in weights(low).values()} == {np.dtype("float32"), np.dtype("int64")}


def test_validation_without_a_positive_keeps_the_last_epoch(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = members.fit

    def without_positives(network: Any, material: Any, *rest: Any, **more: Any) -> Any:
        blank = dataclasses.replace(material.validation, labels=np.zeros_like(material.validation.labels))
        return original(network, dataclasses.replace(material, validation=blank), *rest, **more)

    monkeypatch.setattr(members, "fit", without_positives)
    workspace = make_workspace({"spot": head_recipe()})
    train(workspace)
    record = current_run(workspace, "spot").read_record()
    assert (record.best_epochs, record.validation_average_precision) == ((3,), (None,))


def test_the_weight_of_positives_is_told_and_stored(make_workspace: Make) -> None:
    told = Told()
    workspace = make_workspace({"spot": head_recipe(training={"epochs": 1})})
    train(workspace, watch=Watch(told))
    record = current_run(workspace, "spot").read_record()
    positives, negatives = record.rows["train"]
    assert record.pos_weight == (negatives / positives,)
    assert told.lines == [
        f"spot: {positives} positives, {negatives} negatives in training; "
        f"pos_weight {negatives / positives:.3g} (auto)"
    ]


def test_the_balance_is_told_recorded_counted_and_taken_back_by_the_calibration(make_workspace: Make) -> None:
    told = Told()
    settings = {"sampler": "balanced", "max_negatives": 25}
    workspace = make_workspace({"spot": head_recipe(balance=settings)})
    train(workspace, watch=Watch(told))
    run = current_run(workspace, "spot")
    record = run.read_record()
    positives, negatives = record.rows["train"]
    assert (record.pos_weight, record.per_epoch) == ((1.0,), ((25, 25),))
    assert record.log_odds_shift == pytest.approx((math.log(negatives / positives),))
    assert told.lines[0].endswith(record.balance[0])
    assert told.lines[1:] == [f"spot: {line}" for line in record.balance[1:]]
    assert len(record.balance) == 3
    scores = read_scores(run.scores)
    best = read_csv(run.history)[record.best_epochs[0] - 1]
    expected = validation_loss(
        scores.logits, scores.labels, negatives / positives
    )  # not 1: rows are not sampled
    assert float(best["validation_loss"]) == pytest.approx(expected, rel=1e-5)
    for row in read_csv(run.history):
        counted = {name: int(row[f"train_{name}"]) for name in ("tn", "fp", "fn", "tp")}
        assert (counted["tn"] + counted["fp"], counted["fn"] + counted["tp"]) == (25, 25)
    assert load_head(workspace, "spot").calibration.pos_weight == pytest.approx(negatives / positives)


def test_schedules_have_as_many_steps_as_epochs_show_batches(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[list[float]] = []
    original = fit_module._train_step

    def spy(state: Any, *rest: Any) -> None:
        rates[-1].append(state.schedule.rate)
        original(state, *rest)

    monkeypatch.setattr(fit_module, "_train_step", spy)
    for balance in ({"sampler": "balanced"}, {"max_negatives": 10}):
        rates.append([])
        train(make_workspace({"spot": head_recipe(balance=balance)}, folder=str(len(rates))))
    # The last step of one-cycle has 1 / 10,000 of its first rate, which is 1 / 25 of the peak.
    assert [each[-1] for each in rates] == pytest.approx([3e-3 / 25 / 1e4] * 2)
    assert len(rates[0]) > len(rates[1])


@pytest.mark.parametrize("rotate", [True, False])
def test_capped_negatives_rotate_unless_the_recipe_says_no(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch, rotate: bool
) -> None:
    shown: list[set[int]] = []
    original = fit_module.plan_epoch

    def spy(rows: Any, *rest: Any, **more: Any) -> Any:
        plan = original(rows, *rest, **more)
        indices = np.concatenate(plan.batches)
        shown.append(set(indices[rows.labels[indices] == 0].tolist()))
        return plan

    monkeypatch.setattr(fit_module, "plan_epoch", spy)
    balance = {"max_negatives": 10, "rotate_negatives": rotate}
    workspace = make_workspace({"spot": head_recipe(balance=balance)})
    train(workspace)
    assert [len(each) for each in shown] == [10, 10, 10]
    _, negatives = current_run(workspace, "spot").read_record().rows["train"]
    assert len(set.union(*shown)) == (min(30, negatives) if rotate else 10)


def test_only_the_minority_is_augmented(make_workspace: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    original = fit_module.mix_and_smooth

    def spy(pixels: Any, labels: Any, *rest: Any) -> Any:
        seen.append((pixels.numpy().copy(), labels.numpy().copy()))
        return original(pixels, labels, *rest)

    monkeypatch.setattr(fit_module, "mix_and_smooth", spy)
    monkeypatch.setattr(batches_module, "augment", lambda pixels, draws, settings: pixels * 0 + 99)
    balance = {"augment_only": "minority", "sampler": "balanced"}
    head = head_recipe(
        augment={"flips": True},
        balance=balance,
        training={"epochs": 1},
        input={"mean": [0.0], "std": [1 / 255]},
    )
    train(make_workspace({"spot": head}))
    for pixels, labels in seen:
        plain = (np.abs(pixels - 99) < 1e-3).all((1, 2, 3))
        assert plain.tolist() == (labels == 1).tolist()
    assert sum(labels.sum() for _, labels in seen) > 24


def test_every_head_of_a_table_gets_its_own_weight_whatever_the_order_of_rows_and_columns(
    make_workspace: Make,
) -> None:
    _, labels = draw_images(72)
    columns = {"spot": labels[:, 0].tolist(), "bar": labels[:, 1].tolist()}
    heads = {"spot": head_recipe(training={"epochs": 1}), "bar": head_recipe("bar", training={"epochs": 1})}
    records = []
    for folder, order in (("one", ["spot", "bar"]), ("other", ["bar", "spot"])):
        workspace = make_workspace(heads, columns={name: columns[name] for name in order}, folder=folder)
        if folder == "other":
            table = workspace.root / "data" / "images" / "data.csv"
            header, *lines = table.read_text().splitlines()
            table.write_text("\n".join([header, *reversed(lines)]) + "\n")
        for name in order:
            train(workspace, name)
        records.append({name: current_run(workspace, name).read_record() for name in heads})
    for name in heads:
        positives, negatives = records[0][name].rows["train"]
        assert records[0][name].pos_weight == records[1][name].pos_weight == (negatives / positives,)
        assert records[0][name].weights_digest == records[1][name].weights_digest
    assert records[0]["spot"].pos_weight != records[0]["bar"].pos_weight


def test_a_sampled_training_does_not_depend_on_the_order_of_rows(make_workspace: Make) -> None:
    heads = {"spot": head_recipe(balance={"sampler": 2.5, "max_negatives": 30}, augment={"flips": True})}
    digests = []
    for folder in ("one", "other"):
        workspace = make_workspace(heads, folder=folder)
        if folder == "other":
            table = workspace.root / "data" / "images" / "data.csv"
            header, *lines = table.read_text().splitlines()
            table.write_text("\n".join([header, *reversed(lines)]) + "\n")
        torch.manual_seed(len(digests))
        train(workspace)
        digests.append(current_run(workspace, "spot").read_record().weights_digest)
    assert digests[0] == digests[1]


def test_no_temporary_file_is_left(make_workspace: Make) -> None:
    workspace = make_workspace({"spot": head_recipe(training={"epochs": 1})})
    train(workspace)
    assert [path for path in workspace.root.rglob("*") if path.name.endswith(".tmp")] == []
