"""The preview shows training rows, and the pixels that training sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small import head_recipe

from ova.data.augment.draws import image_keys
from ova.data.dataset import open_dataset
from ova.data.split.split import TRAIN
from ova.errors import RecipeError
from ova.heads.preview import augmented_rows, choose_rows, preview_heads
from ova.heads.recipe import read_head_recipe
from ova.heads.rows import Rows
from ova.heads.training import batches as batches_module
from ova.heads.training import loop as fit_module
from ova.heads.training.batches import plan_epoch
from ova.heads.training.plan import plan_head, store_spec
from ova.heads.training.train import TrainOptions, train_head
from ova.workspace import Workspace

Make = Callable[..., Workspace]
Run = Callable[..., tuple[int, str, str]]
AUGMENT = {"flips": True, "rotation": 20, "noise": 0.05, "contrast": 0.3}


def rows_of(labels: list[int]) -> Rows:
    names = tuple(f"{number}.png" for number in range(len(labels)))
    return Rows(names, np.array(labels, np.int8), np.arange(len(labels)), image_keys(names))


def train_rows(workspace: Workspace, name: str) -> Rows:
    dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, name))])
    plan = plan_head(workspace, dataset, name)
    part = plan.join(plan.members[0][0])
    return Rows.of(part.images, part.labels, dataset.stores[store_spec(plan.recipe)])


def test_a_new_workspace_gives_a_picture_per_head(make_workspace: Make) -> None:
    heads = {
        "spot": head_recipe(augment=AUGMENT),
        "bar": head_recipe("bar", input={"size": [20, 30], "channels": 3}),
    }
    workspace = make_workspace(heads)
    previews, skipped = preview_heads(workspace, images=4, epochs=3)
    assert skipped == []
    assert [each.head for each in previews] == ["bar", "spot"]
    parts = open_dataset(workspace).split.part_of
    for each in previews:
        assert each.file == workspace.preview(each.head)
        with Image.open(each.file) as picture:
            assert picture.format == "PNG"
        assert len(each.images) == 4
        assert {parts[image] for image in each.images} == {TRAIN}
        labels = dict(
            zip((rows := train_rows(workspace, each.head)).images, rows.labels.tolist(), strict=True)
        )
        assert [labels[image] for image in each.images] == [1, 1, 0, 0]
    before = previews[0].file.read_bytes()
    assert [each.images for each in preview_heads(workspace, images=4, epochs=3)[0]] == [
        p.images for p in previews
    ]
    assert previews[0].file.read_bytes() == before


def test_the_picture_holds_the_pixels_of_training(
    make_workspace: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every batch that two epochs of training augment is compared with what the preview would show of it."""
    workspace = make_workspace({"spot": head_recipe(augment=AUGMENT, training={"epochs": 2})}, count=40)
    seen: list[torch.Tensor] = []

    def spy(*arguments):
        seen.append(batches_module.augment_batch(*arguments).clone())
        return seen[-1]

    monkeypatch.setattr(fit_module, "augment_batch", spy)
    dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, "spot"))])
    train_head(workspace, dataset, "spot", TrainOptions(device="cpu"))
    train, recipe = train_rows(workspace, "spot"), read_head_recipe(workspace, "spot")
    store = dataset.stores[store_spec(recipe)]
    per_epoch = len(seen) // 2
    for number, pixels in enumerate(seen):
        epoch = 1 + number // per_epoch
        plan = plan_epoch(train, recipe.training.batch_size, recipe.training.seed, epoch)
        rows = plan.batches[number % per_epoch]
        np.testing.assert_array_equal(augmented_rows(store, train, rows, recipe, epoch), pixels.numpy())
    assert per_epoch >= 1


def test_columns_are_the_store_and_the_epochs_from_1_on(make_workspace: Make) -> None:
    workspace = make_workspace({"spot": head_recipe(augment=AUGMENT)})
    [preview], _ = preview_heads(workspace, images=2, epochs=2)
    picture = np.asarray(Image.open(preview.file))
    train, recipe = train_rows(workspace, "spot"), read_head_recipe(workspace, "spot")
    store = open_dataset(workspace, [store_spec(recipe)]).stores[store_spec(recipe)]
    row = train.images.index(preview.images[0])
    stored = np.asarray(Image.open(workspace.root / "data/images" / preview.images[0]))
    shown = [augmented_rows(store, train, np.array([row]), recipe, epoch)[0, 0] for epoch in (1, 2)]
    line = np.concatenate([enlarged(pixels) for pixels in (stored, *shown)], axis=1)
    columns = np.r_[4:100, 104:200, 204:300]
    assert sum((picture[top : top + 96, columns] == line).all() for top in range(len(picture) - 95)) == 1


def enlarged(pixels: np.ndarray) -> np.ndarray:
    """To 96 pixels."""
    return np.rint(pixels).astype(np.uint8).repeat(4, 0).repeat(4, 1)


def test_only_the_rarer_class_is_augmented_where_the_recipe_says_so(make_workspace: Make) -> None:
    recipe = head_recipe(augment={"noise": 0.2}, balance={"augment_only": "minority"})
    workspace = make_workspace({"spot": recipe})
    dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, "spot"))])
    store, settings = (
        dataset.stores[store_spec(read_head_recipe(workspace, "spot"))],
        read_head_recipe(workspace, "spot"),
    )
    train = train_rows(workspace, "spot")
    chosen = choose_rows(train, 6)
    shown = augmented_rows(store, train, chosen, settings, 1).transpose(0, 2, 3, 1)
    changed = (shown != store.read(train.positions[chosen])).any((1, 2, 3))
    assert changed.tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("labels", "count", "expected"),
    [
        ([1] * 9 + [0] * 9, 6, [1, 1, 1, 0, 0, 0]),
        ([1] * 9 + [0] * 9, 5, [1, 1, 1, 0, 0]),
        ([1] + [0] * 9, 6, [1, 0, 0, 0, 0, 0]),
        ([1] * 9 + [0], 6, [1, 1, 1, 1, 1, 0]),
        ([1, 0], 6, [1, 0]),
        ([1, 1, 0], 1, [1]),
    ],
)
def test_rows_of_both_labels_are_chosen(labels: list[int], count: int, expected: list[int]) -> None:
    rows = rows_of(labels)
    chosen = choose_rows(rows, count)
    assert rows.labels[chosen].tolist() == expected
    assert len(set(chosen.tolist())) == len(chosen)


def test_the_choice_does_not_depend_on_the_order_of_rows() -> None:
    rows = rows_of([1, 0] * 20)
    order = np.random.default_rng(0).permutation(40)
    other = Rows(
        tuple(rows.images[row] for row in order), rows.labels[order], rows.positions, rows.keys[order]
    )
    chosen = [{table.images[row] for row in choose_rows(table, 8)} for table in (rows, other)]
    assert chosen[0] == chosen[1]


def test_folds_show_rows_of_the_first_network(make_workspace: Make) -> None:
    workspace = make_workspace(dataset={"split": {"folds": 3}})
    [preview], _ = preview_heads(workspace, images=20, epochs=1)
    parts = open_dataset(workspace).split.part_of
    assert {parts[image] for image in preview.images} == {"fold-1", "fold-2"} or {
        parts[image] for image in preview.images
    } == {"fold-2", "fold-3"}


def test_the_command(make_workspace: Make, run_cli: Run) -> None:
    workspace = make_workspace({"spot": head_recipe(augment=AUGMENT), "bar": head_recipe("bar")})
    code, out, _ = run_cli("-C", workspace.root, "data", "preview", "spot", "--images", 2, "--epochs", 1)
    assert (code, out) == (0, f"wrote {workspace.preview('spot')}\n")
    code, out, _ = run_cli("-C", workspace.root, "data", "preview", "--images", 2, "--json")
    files = json.loads(out)
    assert [Path(each["file"]).name for each in files] == ["bar.png", "spot.png"]
    assert {len(each["images"]) for each in files} == {2}
    assert {each["epochs"] for each in files} == {6}


def test_a_head_without_positives_leaves_the_others_drawn(make_workspace: Make, run_cli: Run) -> None:
    heads = {"spot": head_recipe(), "bar": head_recipe("bar")}
    workspace = make_workspace(heads, columns={"spot": [0] * 72, "bar": [0, 1] * 36})
    code, out, error = run_cli("-C", workspace.root, "data", "preview")
    assert (code, out) == (3, f"wrote {workspace.preview('bar')}\n")
    assert "1 of 2 heads were not drawn: head spot is skipped: 0 positives" in error
    assert error.count("\n") == 1
    code, out, _ = run_cli("-C", workspace.root, "data", "preview", "--json")
    assert code == 3
    assert [each["head"] for each in json.loads(out)] == ["bar"]


def test_what_is_not_there_is_one_line(make_workspace: Make, run_cli: Run) -> None:
    workspace = make_workspace(columns={"spot": [0] * 72, "bar": [0, 1] * 36})
    code, _, error = run_cli("-C", workspace.root, "data", "preview", "sopt")
    assert code == 2
    assert "did you mean spot" in error
    code, _, error = run_cli("-C", workspace.root, "data", "preview", "spot")
    assert code == 4
    assert "head spot is skipped: 0 positives" in error
    assert run_cli("-C", workspace.root, "data", "preview", "--images", "0")[0] == 2
    workspace.head_recipe("spot").unlink()
    with pytest.raises(RecipeError, match="no head to show"):
        preview_heads(workspace)
