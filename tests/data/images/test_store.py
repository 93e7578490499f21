from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ova.data.files.image_files import FolderFiles
from ova.data.images import intake
from ova.data.images.crop import middle
from ova.data.images.decode import decode_image
from ova.data.images.facts import Decoding
from ova.data.images.intake import examine_images
from ova.data.images.resize import resize_pixels
from ova.data.images.store import PixelStore, StoreSpec, prepare_stores, store_digest
from ova.errors import ArtefactError, DataError, EnvironmentFault

GREY, COLOUR = StoreSpec(8, 8, 1), StoreSpec(6, 10, 3)
MIDDLE = StoreSpec(8, 8, 1, 700)


@pytest.fixture
def images(tmp_path):
    """Seven images of unlike sizes and kinds; returns the root and their ids."""
    generator = np.random.default_rng(3)
    names = []
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for number in range(7):
        shape = (9 + number, 12, 3) if number % 2 else (12, 9 + number)
        name = f"sub/{number}.png" if number % 3 else f"{number}.jpg"
        Image.fromarray(generator.integers(0, 256, shape).astype(np.uint8)).save(tmp_path / "images" / name)
        names.append(name)
    return tmp_path / "images", names


def as_known(facts):
    return {fact.image: fact for fact in facts}


def stored(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def touch_later(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_pixels_are_those_of_decode_and_resize(images, tmp_path):
    root, names = images
    wanted = [GREY, COLOUR, MIDDLE]
    _, stores = prepare_stores(FolderFiles(root), names, wanted, tmp_path / "store", known={})
    for spec in wanted:
        store = stores[spec]
        assert store.spec == spec
        assert len(store) == 7
        assert store.read([]).shape == (0, spec.height, spec.width, spec.channels)
        for name in names:
            pixels = decode_image(root / name, channels=spec.channels)
            if spec is MIDDLE:
                pixels = pixels[middle(pixels.shape[0], 700), middle(pixels.shape[1], 700)]
            expected = resize_pixels(pixels, (spec.height, spec.width))
            np.testing.assert_array_equal(store.read(store.rows([name]))[0], expected)
        for row in (-1, 7):
            with pytest.raises(IndexError, match="of a store of 7 images"):
                store.read([0, row])


def test_each_image_is_decoded_once_for_all_specs_and_then_never_again(images, tmp_path, decoded):
    root, names = images
    folder = tmp_path / "store"
    facts, _ = prepare_stores(FolderFiles(root), names, [GREY, COLOUR, GREY], folder, known={})
    assert sorted(decoded) == sorted((root / name).stat().st_size for name in names)
    assert len(stored(folder)) == 2
    decoded.clear()
    again, stores = prepare_stores(FolderFiles(root), names, [GREY, COLOUR], folder, known=as_known(facts))
    assert decoded == []
    assert again == facts
    assert set(stores) == {GREY, COLOUR}


def test_only_a_store_that_is_missing_is_made(images, tmp_path, decoded):
    root, names = images
    folder = tmp_path / "store"
    facts, _ = prepare_stores(FolderFiles(root), names, [GREY], folder, known={})
    before = (folder / store_digest(GREY, facts) / "pixels-000.bin").stat().st_mtime_ns
    decoded.clear()
    prepare_stores(FolderFiles(root), names, [GREY, COLOUR], folder, known=as_known(facts))
    assert len(decoded) == len(names)
    assert stored(folder) == sorted(store_digest(spec, facts) for spec in (GREY, COLOUR))
    assert (folder / store_digest(GREY, facts) / "pixels-000.bin").stat().st_mtime_ns == before


def test_images_without_a_spec_are_only_looked_at(images, tmp_path, decoded):
    root, names = images
    facts, stores = prepare_stores(FolderFiles(root), names, [], tmp_path / "store", known={})
    assert [fact.image for fact in facts] == names
    assert (stores, stored(tmp_path / "store")) == ({}, [])
    decoded.clear()
    prepare_stores(FolderFiles(root), names, [], tmp_path / "store", known=as_known(facts))
    assert decoded == []


def test_changed_file_makes_a_new_store_and_a_touched_one_does_not(images, tmp_path, decoded):
    root, names = images
    folder = tmp_path / "store"
    facts, _ = prepare_stores(FolderFiles(root), names, [GREY], folder, known={})
    touch_later(root / names[1])
    decoded.clear()
    touched, _ = prepare_stores(FolderFiles(root), names, [GREY], folder, known=as_known(facts))
    assert len(decoded) == len(names)
    assert stored(folder) == [store_digest(GREY, facts)]

    white = np.full((5, 5), 255, np.uint8)
    Image.fromarray(white).save(root / names[1])
    touch_later(root / names[1])
    changed, stores = prepare_stores(FolderFiles(root), names, [GREY], folder, known=as_known(touched))
    assert stored(folder) == sorted(store_digest(GREY, each) for each in (facts, changed))
    assert (stores[GREY].read(stores[GREY].rows([names[1]])) == 255).all()


def test_digest_is_of_form_names_and_pixels_in_any_order(images):
    root, names = images
    facts = examine_images(FolderFiles(root), names).facts
    digest = store_digest(GREY, facts)
    assert store_digest(GREY, facts[::-1]) == digest
    assert store_digest(COLOUR, facts) != digest
    assert store_digest(GREY, facts[1:]) != digest
    renamed = [*facts[:-1], replace(facts[-1], image="other.png")]
    assert store_digest(GREY, renamed) != digest


def test_rows_are_found_by_name_whatever_the_order(images, tmp_path):
    root, names = images
    facts, first = prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    turned, second = prepare_stores(
        FolderFiles(root), names[::-1], [GREY], tmp_path / "store", known=as_known(facts)
    )
    assert [fact.image for fact in turned] == names[::-1]
    assert first[GREY].rows(names).tolist() == list(range(7))
    for store in (first[GREY], second[GREY]):
        wanted = [names[4], names[0], names[4]]
        expected = [resize_pixels(decode_image(root / name, channels=1), (8, 8)) for name in wanted]
        np.testing.assert_array_equal(store.read(store.rows(wanted)), expected)
    with pytest.raises(KeyError, match=r"none\.png"):
        first[GREY].rows([names[0], "none.png"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("where", ["resize_pixels", "write_json"])
def test_crash_while_building_leaves_nothing(images, tmp_path, monkeypatch, error, where):
    root, names = images

    def crash(*arguments):
        raise error

    monkeypatch.setattr(f"ova.data.images.store.{where}", crash)
    with pytest.raises(EnvironmentFault if error is OSError else error):
        prepare_stores(FolderFiles(root), names, [GREY, COLOUR], tmp_path / "store", known={})
    assert stored(tmp_path / "store") == []


def test_nothing_is_visible_before_it_is_whole(images, tmp_path, monkeypatch):
    root, names = images
    seen = []

    def looking(pixels, size, crop):
        seen.append([name for name in stored(tmp_path / "store") if not name.startswith(".")])
        return resize_pixels(pixels, size, crop)

    monkeypatch.setattr("ova.data.images.store.resize_pixels", looking)
    prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    assert seen == [[]] * len(names)
    assert len(stored(tmp_path / "store")) == 1


def test_unreadable_images_leave_no_store(images, tmp_path):
    root, names = images
    (root / names[2]).write_bytes(b"no image")
    with pytest.raises(DataError, match="1 of 7 images"):
        prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    assert stored(tmp_path / "store") == []


@pytest.mark.parametrize("damage", ["short", "long", "missing", "no index", "no rows"])
def test_damaged_store_is_refused(images, tmp_path, damage):
    root, names = images
    facts, _ = prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    folder = tmp_path / "store" / store_digest(GREY, facts)
    file = folder / "pixels-000.bin"
    if damage == "no index":
        (folder / "index.json").unlink()
    elif damage == "no rows":
        (folder / "rows.safetensors").unlink()
    elif damage == "missing":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:-1] if damage == "short" else content + b"0")
    with pytest.raises(ArtefactError):
        PixelStore(folder)


@pytest.mark.parametrize("rows_per_shard", [1, 2, 3, 7, 100])
def test_a_large_store_is_cut_into_files_and_reads_as_one(images, tmp_path, rows_per_shard):
    root, names = images
    (_, whole), (_, cut) = (
        prepare_stores(
            FolderFiles(root), names, [COLOUR], tmp_path / folder, known={}, shard_bytes=size * 180 + 179
        )
        for folder, size in (("whole", 7), ("cut", rows_per_shard))
    )
    files = sorted(path.name for path in cut[COLOUR].folder.glob("pixels-*.bin"))
    assert files == [f"pixels-{number:03d}.bin" for number in range(-(-7 // rows_per_shard))]
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(7), 3))
    np.testing.assert_array_equal(cut[COLOUR].read(order), whole[COLOUR].read(order))


def test_a_shard_holds_at_least_one_image(images, tmp_path):
    root, names = images
    _, stores = prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={}, shard_bytes=5)
    assert len(list(stores[GREY].folder.glob("pixels-*.bin"))) == 7


def test_a_missing_shard_is_told(images, tmp_path):
    root, names = images
    _, stores = prepare_stores(
        FolderFiles(root), names, [GREY], tmp_path / "store", known={}, shard_bytes=128
    )
    (stores[GREY].folder / "pixels-002.bin").unlink()
    with pytest.raises(ArtefactError, match=r"pixels-002\.bin"):
        PixelStore(stores[GREY].folder)


def test_a_store_travels_to_other_processes(images, tmp_path):
    root, names = images
    _, stores = prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    copy = pickle.loads(pickle.dumps(stores[GREY]))  # noqa: S301
    np.testing.assert_array_equal(copy.read(copy.rows(names)), stores[GREY].read(range(7)))


def test_pixels_are_the_same_from_processes(images, tmp_path, monkeypatch):
    root, names = images
    _, alone = prepare_stores(FolderFiles(root), names, [GREY, COLOUR], tmp_path / "alone", known={})
    monkeypatch.setattr(intake, "PROCESSES_FROM", 0)
    facts, several = prepare_stores(FolderFiles(root), names, [GREY, COLOUR], tmp_path / "several", known={})
    assert [fact.image for fact in facts] == names
    for spec in (GREY, COLOUR):
        assert several[spec].folder.name == alone[spec].folder.name
        np.testing.assert_array_equal(several[spec].read(range(7)), alone[spec].read(range(7)))


def test_a_disk_without_room_is_told_before_anything_is_read(images, tmp_path, monkeypatch, decoded):
    root, names = images
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("ova.storage.shutil.disk_usage", lambda path: usage._replace(free=7 * 64 - 1))
    with pytest.raises(EnvironmentFault, match=r"GiB are needed"):
        prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    assert (decoded, stored(tmp_path / "store")) == ([], [])


def test_a_disk_that_fails_while_reading_is_not_taken_for_pixels(images, tmp_path):
    root, names = images
    _, stores = prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    os.truncate(stores[GREY].folder / "pixels-000.bin", 64 * 6 + 1)
    assert stores[GREY].read([0, 5]).shape == (2, 8, 8, 1)
    with pytest.raises(OSError, match="ended early"):
        stores[GREY].read([6])


def test_drafts_are_in_the_digest_where_they_change_pixels(images, tmp_path):
    root, _ = images
    large = np.random.default_rng(0).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    Image.fromarray(large).save(root / "large.jpg")
    Image.fromarray(large).save(root / "large.png")
    digests = {}
    for name in ("large.jpg", "large.png"):
        for draft in (None, 49, 48, 16):
            (fact,), stores = prepare_stores(
                FolderFiles(root),
                [name],
                [GREY],
                tmp_path / "store",
                known={},
                decoding=Decoding(None, draft),
            )
            assert (fact.height, fact.width, fact.draft_side) == (64, 48, draft or 0)
            expected = resize_pixels(decode_image(root / name, channels=1, draft_side=draft), (8, 8))
            np.testing.assert_array_equal(stores[GREY].read([0])[0], expected)
            digests.setdefault(name, []).append(stores[GREY].folder.name)
    assert len(set(digests["large.png"])) == 1
    assert len(set(digests["large.jpg"][:3])) == 1
    assert digests["large.jpg"][3] != digests["large.jpg"][0]
