from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ova.data.files import FolderFiles
from ova.data.store import StoreSpec, prepare_stores
from ova.heads.inputs import pixel_statistics, pos_weight
from ova.heads.plan import Part
from ova.heads.recipe import BackboneSettings, BalanceSettings, HeadRecipe


@pytest.mark.parametrize(("chosen", "expected"), [("auto", 4.0), ("sqrt", 2.0), (2.5, 2.5)])
def test_the_weight_of_positives_comes_from_training_rows(chosen: float, expected: float) -> None:
    recipe = HeadRecipe(
        label="x", backbone=BackboneSettings(name="resnet18"), balance=BalanceSettings(pos_weight=chosen)
    )
    part = Part(tuple("abcdefghij"), np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0], np.int8))
    assert pos_weight(part, recipe) == expected


def test_statistics_are_numpys_over_the_named_rows_only(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8)
    names = [f"{number}.png" for number in range(9)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    spec = StoreSpec(6, 5, 3)
    _, stores = prepare_stores(FolderFiles(tmp_path), names, [spec], tmp_path / "store", known={})
    chosen = stores[spec].rows(names[2:7])
    mean, std = pixel_statistics(stores[spec], chosen)
    np.testing.assert_allclose(mean, images[2:7].mean((0, 1, 2)) / 255, atol=1e-6)
    np.testing.assert_allclose(std, images[2:7].std((0, 1, 2)) / 255, atol=1e-6)
