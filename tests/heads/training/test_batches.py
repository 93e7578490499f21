"""Rows and batches: an image and its label never part, whatever the order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ova.data.augment.draws import ORDER, draw, image_keys
from ova.data.files.image_files import FolderFiles
from ova.data.images.store import PixelStore, StoreSpec, prepare_stores
from ova.heads.rows import Rows, read_batch
from ova.heads.training.batches import plan_epoch, steps_per_epoch


def rows_of(count: int) -> Rows:
    images = tuple(f"{number:05d}.png" for number in range(count))
    return Rows(images, np.zeros(count, np.int8), np.arange(count), image_keys(images))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 300), st.integers(2, 40))
def test_every_row_comes_once_per_epoch_and_no_batch_has_one_image(count: int, batch_size: int) -> None:
    plan = plan_epoch(rows_of(count), batch_size, seed=1, epoch=1)
    assert sorted(np.concatenate(plan.batches).tolist()) == list(range(count))
    assert min(len(batch) for batch in plan.batches) >= 2
    assert len(plan.batches) == steps_per_epoch(count, batch_size)


def test_epochs_and_seeds_are_shuffled_differently_and_repeatably() -> None:
    rows = rows_of(64)
    orders = {
        (seed, epoch): tuple(np.concatenate(plan_epoch(rows, 8, seed, epoch).batches).tolist())
        for seed in (0, 1)
        for epoch in (1, 2)
    }
    assert len(set(orders.values())) == 4
    assert tuple(np.concatenate(plan_epoch(rows, 8, 0, 1).batches).tolist()) == orders[0, 1]


def test_repeated_rows_fill_the_epoch_and_keep_their_draws_when_batches_change() -> None:
    rows = rows_of(20)
    rows.labels[:3] = 1
    shown = {}
    for size in (4, 7):
        plan = plan_epoch(rows, size, seed=1, epoch=2, per_epoch=(10, 10))
        assert len(plan.batches) == steps_per_epoch(20, size)
        indices = np.concatenate(plan.batches)
        draws = np.concatenate([plan.draws(step) for step in range(len(plan.batches))])
        assert rows.labels[indices].sum() == 10
        shown[size] = [(index, draw.tobytes()) for index, draw in zip(indices.tolist(), draws, strict=True)]
    assert shown[4] == shown[7]
    assert len(set(shown[4])) == 20
    # The order is that of the views' own draws, and a first showing has the draws of its image.
    plain = draw(rows.keys, 1, 2)
    order = [np.frombuffer(each)[ORDER] for _, each in shown[4]]
    assert order == sorted(order)
    assert {(row, plain[row].tobytes()) for row, _ in shown[4]} <= set(shown[4])


@pytest.fixture
def canaries(tmp_path: Path) -> tuple[PixelStore, list[str]]:
    """Images whose grey value is 10 x their number."""
    names = [f"{number}.png" for number in range(20)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((4, 4), 10 * number, np.uint8)).save(tmp_path / name)
    spec = StoreSpec(4, 4, 1)
    _, stores = prepare_stores(FolderFiles(tmp_path), names[::-1], [spec], tmp_path / "store", known={})
    return stores[spec], names


def test_labels_travel_with_their_pixels(canaries: tuple[PixelStore, list[str]]) -> None:
    store, names = canaries
    shuffled = [names[index] for index in np.random.default_rng(0).permutation(20)]
    labels = np.array([int(name.split(".")[0]) % 2 for name in shuffled], np.int8)
    rows = Rows.of(shuffled, labels, store)
    assert list(rows.images) == sorted(names)
    for batch in plan_epoch(rows, 6, seed=3, epoch=1).batches:
        pixels = read_batch(store, rows.positions[batch], torch.device("cpu"))
        assert pixels.shape[1:] == (1, 4, 4)
        numbers = (pixels[:, 0, 0, 0] / 10).int().tolist()
        assert [rows.images[index] for index in batch] == [f"{number}.png" for number in numbers]
        assert [number % 2 for number in numbers] == rows.labels[batch].tolist()
