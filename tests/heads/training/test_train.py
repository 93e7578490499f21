"""One head from rows to a finished run: the same bits however often it was interrupted."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, confusion_matrix
from small import draw_images, head_recipe, write_table

from ova.data.dataset import open_dataset
from ova.errors import ArtefactError, EnvironmentFault
from ova.heads.load import load_head
from ova.heads.recipe import read_head_recipe
from ova.heads.runs import RunFolder, all_runs, current_run
from ova.heads.scores import read_scores
from ova.heads.training import loop as fit_module
from ova.heads.training.plan import HeadSkipped, store_spec
from ova.heads.training.train import HeadOutcome, TrainOptions, train_head
from ova.progress import Interrupted, Watch
from ova.storage import read_csv
from ova.workspace import Workspace


def train(workspace: Workspace, name: str = "spot", **options: Any) -> HeadOutcome:
    dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, name))])
    return train_head(workspace, dataset, name, TrainOptions(device="cpu", **options))


def history_without_time(run: RunFolder) -> list[dict[str, str]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in read_csv(run.history)]


class StopAfter:
    """Say stop at the n-th time it is asked, and at no other."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self) -> bool:
        self.left -= 1
        return self.left == 0


VARIANTS = {
    "average, dropout, mixup": {
        "backbone": {"dropout": 0.3},
        "training": {"ema": 0.9, "mixup": 0.3, "label_smoothing": 0.1, "clip": 1.0},
        "augment": {"flips": True, "quarter_turns": True, "shift": 0.1, "brightness": 0.1, "contrast": 0.1},
    },
    "frozen, then unfrozen": {
        "backbone": {"freeze": True, "unfreeze_epoch": 2},
        "training": {"schedule": "cosine", "warmup_epochs": 1, "optimizer": "adam"},
    },
    "momentum, plateau": {
        "training": {"optimizer": "sgd", "schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.01}
    },
    "balanced sampler, minority alone augmented": {
        "balance": {"sampler": "balanced", "max_negatives": 20, "augment_only": "minority"},
        "augment": {"flips": True, "brightness": 0.2},
    },
    "repeats, focal, one-cycle": {
        "balance": {"sampler": 1.4, "loss": "focal"},
        "training": {"batch_size": 13, "mixup": 0.2},
    },
    "prototypes, a cap of them, repeats": {
        "balance": {"prototypes": 24, "max_negatives": 20, "sampler": 1.3},
        "augment": {"flips": True},
    },
    "asymmetric, fixed cap": {
        "balance": {"loss": "asymmetric", "negatives_per_positive": 1.5, "rotate_negatives": False}
    },
    "steps, rmsprop, early stop": {
        "training": {
            "optimizer": "rmsprop",
            "schedule": "steps",
            "steps": {"1": 1e-3, "2-3": 1e-4},
            "early_stop": 1,
        }
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_interrupted_training_ends_with_the_same_bits(
    make_workspace: Callable[..., Workspace], variant: str
) -> None:
    recipe = head_recipe(**VARIANTS[variant])
    straight = make_workspace({"spot": recipe}, folder="straight")
    train(straight)
    expected = current_run(straight, "spot")
    broken = make_workspace({"spot": recipe}, folder="broken")
    for steps in (2, 1, 4):  # in the middle of an epoch, right after resuming, over the end of an epoch
        try:
            train(broken, watch=Watch(should_stop=StopAfter(steps)))
        except Interrupted:
            assert not all_runs(broken, "spot")[0].finished
        else:
            break
    assert train(broken).status in ("trained", "kept")
    resumed = current_run(broken, "spot")
    assert len(all_runs(broken, "spot")) == 1
    assert resumed.read_record().weights_digest == expected.read_record().weights_digest
    assert history_without_time(resumed) == history_without_time(expected)
    for file in ("scores", "test_scores", "calibration"):
        assert getattr(resumed, file).read_bytes() == getattr(expected, file).read_bytes()
    assert not list(resumed.path.glob("checkpoint-*"))


@pytest.mark.slow
def test_another_seed_or_a_lost_optimiser_state_gives_other_bits(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_workspace({"spot": head_recipe(), "other": head_recipe(training={"seed": 1})})
    train(workspace)
    train(workspace, "other")
    digest = current_run(workspace, "spot").read_record().weights_digest
    assert current_run(workspace, "other").read_record().weights_digest != digest
    forgetful = make_workspace({"spot": head_recipe()}, folder="forgetful")
    with pytest.raises(Interrupted):
        train(forgetful, watch=Watch(should_stop=StopAfter(4)))
    monkeypatch.setattr(torch.optim.AdamW, "load_state_dict", lambda self, state: None)
    train(forgetful)
    assert current_run(forgetful, "spot").read_record().weights_digest != digest


@pytest.mark.slow
def test_a_finished_head_is_kept_and_again_trains_it_to_the_same_weights(
    make_workspace: Callable[..., Workspace],
) -> None:
    workspace = make_workspace()
    first = train(workspace)
    assert (first.status, first.run) == ("trained", "0001")
    assert train(workspace).status == "kept"
    second = train(workspace, again=True)
    assert (second.status, second.run) == ("trained", "0002")
    one, other = (run.read_record().weights_digest for run in all_runs(workspace, "spot"))
    assert one == other
    assert current_run(workspace, "spot").path.name == "0002"


def test_history_counts_and_precision_are_those_of_scikit_learn(
    make_workspace: Callable[..., Workspace], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    original = fit_module.average_precision

    def spy(labels: np.ndarray, logits: np.ndarray) -> float | None:
        seen.append(np.stack([labels, logits]))
        return original(labels, logits)

    monkeypatch.setattr(fit_module, "average_precision", spy)
    workspace = make_workspace()
    train(workspace)
    run = current_run(workspace, "spot")
    for row, (labels, logits) in zip(read_csv(run.history), seen, strict=True):
        tn, fp, fn, tp = confusion_matrix(labels, logits >= 0, labels=[0, 1]).ravel()
        counted = [int(row[f"validation_{name}"]) for name in ("tn", "fp", "fn", "tp")]
        assert counted == [tn, fp, fn, tp]
        assert float(row["validation_average_precision"]) == pytest.approx(
            average_precision_score(labels, logits)
        )
        parts = run.read_record().rows
        assert sum(int(row[f"train_{name}"]) for name in ("tn", "fp", "fn", "tp")) == sum(parts["train"])
    best = max(seen, key=lambda pair: average_precision_score(*pair))
    scores = read_scores(run.scores)
    np.testing.assert_allclose(scores.logits, best[1], atol=1e-5)


def test_a_head_learns_and_can_be_loaded(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(
        {"spot": head_recipe(training={"epochs": 8}, scoring={"views": "dihedral"})}, count=120
    )
    train(workspace)
    run = current_run(workspace, "spot")
    scores = read_scores(run.test_scores)
    assert average_precision_score(scores.labels, scores.logits) > 0.9
    loaded = load_head(workspace, "spot")
    store = open_dataset(workspace, [store_spec(read_head_recipe(workspace, "spot"))]).stores
    pixels = next(iter(store.values()))
    batch = torch.from_numpy(pixels.read(pixels.rows(scores.images))).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        np.testing.assert_allclose(loaded.head(batch).numpy(), scores.logits, atol=1e-4)
    assert loaded.calibration.weights_digest == loaded.weights_digest


def test_the_callers_random_numbers_are_left_alone(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace({"spot": head_recipe(training={"epochs": 1}, backbone={"dropout": 0.5})})
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(workspace)
    load_head(workspace, "spot")
    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)


@pytest.mark.slow
def test_folds_score_every_row_by_a_network_that_did_not_see_it(
    make_workspace: Callable[..., Workspace],
) -> None:
    workspace = make_workspace(
        {"spot": head_recipe(training={"epochs": 2})}, dataset={"split": {"test": 0.25, "folds": 3}}
    )
    with pytest.raises(Interrupted):
        train(workspace, watch=Watch(should_stop=StopAfter(8)))  # in the second of three networks
    train(workspace)
    run = current_run(workspace, "spot")
    record = run.read_record()
    assert (record.members, len(record.best_epochs), len(record.pos_weight)) == (3, 3, 3)
    part_of = {row["image"]: row["part"] for row in read_csv(run.rows)}
    pooled = {image for image, part in part_of.items() if part != "test"}
    assert set(read_scores(run.scores).images) == pooled
    assert {row["member"] for row in read_csv(run.history)} == {"0", "1", "2"}
    straight = make_workspace(
        {"spot": head_recipe(training={"epochs": 2})},
        dataset={"split": {"test": 0.25, "folds": 3}},
        folder="straight",
    )
    train(straight)
    assert current_run(straight, "spot").read_record().weights_digest == record.weights_digest


def test_a_label_without_positives_in_training_is_skipped(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace({"none": head_recipe("none")}, count=30, columns={"none": [0] * 30})
    with pytest.raises(HeadSkipped, match="0 positives and"):
        train(workspace, "none")


def test_two_processes_do_not_train_one_run(make_workspace: Callable[..., Workspace]) -> None:
    from filelock import FileLock

    workspace = make_workspace()
    with pytest.raises(Interrupted):
        train(workspace, watch=Watch(should_stop=StopAfter(1)))
    with (
        FileLock(all_runs(workspace, "spot")[0].lock),
        pytest.raises(EnvironmentFault, match="another process"),
    ):
        train(workspace)
    assert train(workspace).status == "trained"


def test_a_damaged_checkpoint_is_named_and_never_loaded(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace()
    with pytest.raises(Interrupted):
        train(workspace, watch=Watch(should_stop=StopAfter(2)))
    checkpoint = all_runs(workspace, "spot")[0].checkpoint(0)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(ArtefactError, match="damaged"):
        train(workspace)


def test_a_divergent_training_says_so_and_keeps_no_nan(make_workspace: Callable[..., Workspace]) -> None:
    workspace = make_workspace(
        {"spot": head_recipe(training={"learning_rate": 1e30, "schedule": "constant", "optimizer": "sgd"})}
    )
    with pytest.raises(fit_module.Diverged, match="learning_rate"):
        train(workspace)
    assert not all_runs(workspace, "spot")[0].finished


def test_unknown_labels_are_left_out_of_their_head_alone(make_workspace: Callable[..., Workspace]) -> None:
    _, labels = draw_images(72)
    spot, bar = labels[:, 0].tolist(), labels[:, 1].tolist()
    heads = {"spot": head_recipe(), "bar": head_recipe("bar")}
    full = make_workspace(heads, columns={"spot": spot, "bar": bar}, folder="full")
    train(full)
    train(full, "bar")
    holes = [value if row % 2 else "" for row, value in enumerate(bar)]
    write_table(
        full.root / "data/images/data.csv", [f"{n:03d}.png" for n in range(72)], {"spot": spot, "bar": holes}
    )
    assert train(full).status == "kept"
    assert train(full, "bar").status == "trained"
    record = current_run(full, "bar").read_record()
    assert record.unknown == 36
    assert sum(sum(counts) for counts in record.rows.values()) == 36


def test_the_history_is_a_table_that_people_can_read(
    make_workspace: Callable[..., Workspace], tmp_path: Path
) -> None:
    workspace = make_workspace()
    train(workspace)
    with current_run(workspace, "spot").history.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert set(rows[0]) >= {
        "seconds",
        "learning_rate",
        "train_loss",
        "validation_loss",
        "train_tp",
        "validation_tn",
    }
