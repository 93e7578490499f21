from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ova.data.files.image_files import FolderFiles
from ova.data.images import quality_cache
from ova.data.images.facts import Decoding
from ova.data.images.intake import examine_images
from ova.data.images.quality import gather_qualities, measure_image
from ova.data.images.quality_cache import QualityCache
from ova.errors import DataError

NAMES = [f"{number}.png" for number in range(6)]


@pytest.fixture
def files(tmp_path):
    for number, name in enumerate(NAMES):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 30), np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "same.png").write_bytes((tmp_path / "0.png").read_bytes())
    return FolderFiles(tmp_path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "quality.safetensors"


def facts_of(files, names):
    return examine_images(files, names).facts


def measured(path, files, facts):
    return QualityCache(path).measure(files, facts, Decoding(), None)


def direct(files, names):
    images = (np.asarray(Image.open(files.root / name))[:, :, None] for name in names)
    return gather_qualities([measure_image(image) for image in images])


def assert_same(one, other):
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)


def test_measures_are_those_of_the_images_in_any_order(files, path, decoded):
    names = [*NAMES, "same.png"]
    facts = facts_of(files, names)
    decoded.clear()
    assert_same(measured(path, files, facts), direct(files, names))
    assert len(decoded) == len(NAMES)  # the same pixels are measured once
    assert_same(measured(path, files, facts[::-1]), direct(files, names[::-1]))
    assert_same(measured(path, files, facts[2:4]), direct(files, names[2:4]))
    assert len(decoded) == len(NAMES)


def test_what_was_taken_is_not_decoded_again(files, path, decoded):
    cache = QualityCache(path)
    examined = examine_images(files, NAMES[:4], pixel_measures=[cache.pixel_measure])
    cache.add(examined.facts, examined.seen[0])
    assert all(map(cache.knows, examined.facts))
    decoded.clear()
    facts = [*examined.facts, *facts_of(files, NAMES[4:])]
    assert [cache.knows(fact) for fact in facts] == [True] * 4 + [False] * 2
    decoded.clear()
    assert_same(cache.measure(files, facts, Decoding(), None), direct(files, NAMES))
    assert len(decoded) == 2


def test_the_file_forgets_what_nobody_wants_once_that_is_most_of_it(files, path):
    facts = facts_of(files, NAMES)
    measured(path, files, facts[:4])
    measured(path, files, facts[3:])
    assert all(map(QualityCache(path).knows, facts))
    measured(path, files, facts[:2])  # nothing new, nothing written
    assert all(map(QualityCache(path).knows, facts))
    Image.fromarray(np.eye(20, dtype=np.uint8) * 200).save(files.root / "new.png")
    [new] = facts_of(files, ["new.png"])
    assert_same(measured(path, files, [new, facts[0]]), direct(files, ["new.png", "0.png"]))
    assert [QualityCache(path).knows(fact) for fact in facts] == [True] + [False] * 5


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "older", "other"])
def test_a_damaged_or_older_file_is_made_again(files, path, damage, monkeypatch):
    facts = facts_of(files, NAMES)
    if damage == "older":
        monkeypatch.setattr(quality_cache, "QUALITY_FORMAT", "0")
    measured(path, files, facts)
    monkeypatch.undo()
    content = path.read_bytes()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "flipped":
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif damage == "other":
        quality_cache.write_tensors(path, {"digests": np.zeros((2, 3), np.uint8)}, {"format": "1"})
    assert not QualityCache(path).knows(facts[0])
    assert_same(measured(path, files, facts), direct(files, NAMES))
    assert QualityCache(path).knows(facts[0])


def test_an_image_that_changes_meanwhile_is_named(files, path):
    facts = facts_of(files, NAMES)
    Image.fromarray(np.eye(20, dtype=np.uint8) * 200).save(files.root / "2.png")
    with pytest.raises(DataError, match=r"2\.png: changed while it was read; run it again"):
        measured(path, files, facts)
    assert not path.exists()


def test_no_image_at_all(files, path):
    assert len(measured(path, files, []).hashes) == 0
    assert not path.exists()
