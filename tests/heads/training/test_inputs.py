from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ova.data.files.image_files import FolderFiles
from ova.data.images.store import StoreSpec, prepare_stores
from ova.heads.training.members import pixel_statistics


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
