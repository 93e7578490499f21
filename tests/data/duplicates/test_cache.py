from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ova.data.duplicates import cache as module
from ova.data.duplicates.cache import duplicate_clusters
from ova.data.files.image_files import FolderFiles
from ova.data.images.facts import Decoding
from ova.data.images.intake import examine_images
from ova.data.images.quality_cache import QualityCache
from ova.data.recipe import DuplicateRule
from ova.data.synthetic import draw_cells

COUNT = 8


@pytest.fixture
def files(tmp_path):
    images = draw_cells(COUNT, seed=3, size=96).images
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    first = Image.fromarray(images[0])
    first.save(tmp_path / "copy of 0.png", compress_level=1)
    first.resize((80, 80)).save(tmp_path / "small 0.png")
    first.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned 0.png")
    Image.fromarray(images[5]).save(tmp_path / "copy of 5.png")
    for name in ("flat.png", "flat too.png"):
        Image.new("L", (96, 96), 77).save(tmp_path / name)
    return FolderFiles(tmp_path)


@pytest.fixture
def find(files, tmp_path):
    def find(rule=None, names=None):
        names = names or sorted(path.name for path in files.root.glob("*.png"))
        facts = examine_images(files, names).facts
        cache = QualityCache(tmp_path / "runs" / "quality.safetensors")
        kept = tmp_path / "runs" / "duplicates.json"
        return duplicate_clusters(kept, cache, files, facts, rule or DuplicateRule(), Decoding())

    return find


NEAR = ("0.png", "copy of 0.png", "small 0.png")


def test_identical_and_near_images_are_together(find):
    found = find()
    assert found == [
        (*NEAR, "turned 0.png"),
        ("5.png", "copy of 5.png"),
        ("flat too.png", "flat.png"),
    ]


def test_settings_decide(find):
    assert find(DuplicateRule(turned=False))[0] == NEAR
    assert find(DuplicateRule(tolerance=0, likeness=1.0, turned=False))[0] == ("0.png", "copy of 0.png")


def test_neither_order_nor_names_decide(find, files):
    names = sorted(path.name for path in files.root.glob("*.png"))
    for seed in range(3):
        mixed = np.random.default_rng(seed).permutation(names).tolist()
        assert find(names=mixed) == find()


def test_clusters_are_kept_until_pixels_or_settings_change(find, files, monkeypatch):
    searched = []
    search = module.near_duplicates
    monkeypatch.setattr(
        module, "near_duplicates", lambda *given: searched.append(len(given[0].hashes)) or search(*given)
    )
    first = find()
    assert find() == first
    assert len(searched) == 1
    (files.root / "0.png").rename(files.root / "another name.png")  # the same pixels
    assert ("another name.png", *NEAR[1:], "turned 0.png") in find()
    assert len(searched) == 1
    find(DuplicateRule(tolerance=3))
    (files.root / "5.png").unlink()
    (files.root / "copy of 5.png").unlink()
    assert len(find(DuplicateRule(tolerance=3))) == len(first) - 1
    assert len(searched) == 3


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"origin": 1}', "{", "null"])
def test_damaged_clusters_are_found_again(find, tmp_path, damage):
    first = find()
    kept = tmp_path / "runs" / "duplicates.json"
    assert json.loads(kept.read_text())["clusters"]
    kept.write_text(damage)
    assert find() == first
    assert json.loads(kept.read_text())["clusters"]


def test_nothing_is_a_duplicate_of_nothing(find):
    assert find(names=["1.png"]) == []
    assert find(names=["1.png", "2.png"]) == []
