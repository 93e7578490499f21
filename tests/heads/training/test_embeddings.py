"""Vectors of images: what a classifier reads, or a small grey picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from ova.data.files.image_files import FolderFiles
from ova.data.images.store import PixelStore, StoreSpec, prepare_stores
from ova.heads.network.backbones import build_backbone, classifier_keys
from ova.heads.rows import Rows
from ova.heads.training.prototypes import embed, pooled_features, thumbnails


def test_features_are_timms_own_and_the_network_is_left_as_it_was() -> None:
    network = build_backbone("test_resnet", channels=1, size=(24, 24))
    network.train()
    keys = classifier_keys("test_resnet", channels=1, size=(24, 24))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = torch.rand(3, 1, 24, 24)
    found = pooled_features(network, keys, nn.Identity())(pixels)
    network.eval()
    assert isinstance(network, timm.models.ResNet)
    expected = network.forward_head(network.forward_features(pixels), pre_logits=True)
    torch.testing.assert_close(found, expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize(
    ("name", "size"), [("test_vit", 160), ("test_convnext", 32), ("torchvision/squeezenet1_0", 64)]
)
def test_every_kind_of_classifier_reads_one_vector_per_image(name: str, size: int) -> None:
    network = build_backbone(name, channels=1, size=(size, size))
    keys = classifier_keys(name, channels=1, size=(size, size))
    found = pooled_features(network, keys, nn.Identity())(torch.rand(2, 1, size, size))
    assert found.shape[0] == 2
    assert found.ndim == 2
    assert found.shape[1] >= 32


@pytest.fixture
def stored(tmp_path: Path) -> tuple[PixelStore, Rows]:
    generator = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(70)]
    for name in names:
        Image.fromarray(generator.integers(0, 256, (32, 48, 3), dtype=np.uint8)).save(tmp_path / name)
    spec = StoreSpec(32, 48, 3)
    _, stores = prepare_stores(FolderFiles(tmp_path), names, [spec], tmp_path / "store", known={})
    return stores[spec], Rows.of(names, np.zeros(70, np.int8), stores[spec])


def test_thumbnails_are_means_of_blocks_in_the_order_of_the_rows(stored: tuple[PixelStore, Rows]) -> None:
    store, rows = stored
    told: list[int] = []
    found = embed(thumbnails, store, rows, device=torch.device("cpu"), progress=told.append)
    grey = store.read(rows.positions).astype(np.float64).mean(3)
    blocks = grey.reshape(70, 16, 2, 16, 3).mean((2, 4))
    np.testing.assert_allclose(found, blocks.reshape(70, 256), rtol=1e-5)
    assert told == [64, 70]
