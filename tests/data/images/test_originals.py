from __future__ import annotations

import zipfile

import numpy as np
import pytest
import tomli_w
from PIL import Image

from ova.data.images.originals import open_pictures
from ova.errors import DataError
from ova.workspace import Workspace


def workspace_of(folder, **dataset) -> Workspace:
    workspace = Workspace(folder)
    workspace.dataset_recipe.parent.mkdir()
    workspace.dataset_recipe.write_text(tomli_w.dumps({"labels": "labels.csv", **dataset}))
    return workspace


def test_images_are_read_alike_from_a_folder_and_from_a_zip(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    file = tmp_path / "one.png"
    Image.fromarray(pixels).save(file)
    (tmp_path / "folder").mkdir()
    (tmp_path / "zip").mkdir()
    folder = workspace_of(tmp_path / "folder", root="images")
    (folder.root / "data" / "images").mkdir()
    (folder.root / "data" / "images" / "one.png").write_bytes(file.read_bytes())
    packed = workspace_of(tmp_path / "zip", archive="photos.zip", prefix="images")
    with zipfile.ZipFile(packed.root / "data" / "photos.zip", "w") as archive:
        archive.write(file, "images/one.png")
    for workspace in (folder, packed):
        pictures = open_pictures(workspace)
        np.testing.assert_array_equal(pictures.decode("one.png", 3), pixels)
        assert pictures.decode("one.png", 1).shape == (5, 7, 1)
        with pytest.raises(DataError, match=r"two\.png"):
            pictures.decode("two.png", 3)


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(DataError, match="ova data locate"):
        open_pictures(workspace_of(tmp_path, root="gone"))
