from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from ova.data import intake
from ova.data.files import FolderFiles
from ova.data.images import decode_image
from ova.data.intake import examine_images
from ova.data.resize import resize_pixels
from ova.data.store import PixelStore, StoreSpec, prepare_stores, store_digest
from ova.errors import ArtefactError, DataError, EnvironmentFault

GREY, COLOUR = StoreSpec(8, 8, 1), StoreSpec(6, 10, 3)


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


@pytest.fixture
def decoded(monkeypatch):
    """Sizes of what the one decoder was given, in order."""
    calls = []

    def counting(source, **options):
        calls.append(len(source))
        return decode_image(source, **options)

    monkeypatch.setattr(intake, "decode_image", counting)
    return calls


def as_known(facts):
    return {fact.image: fact for fact in facts}


def stored(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def touch_later(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def test_pixels_are_those_of_decode_and_resize(images, tmp_path):
    root, names = images
    _, stores = prepare_stores(FolderFiles(root), names, [GREY, COLOUR], tmp_path / "store", known={})
    for spec in (GREY, COLOUR):
        store = stores[spec]
        assert store.spec == spec
        assert store.pixels.dtype == np.uint8
        assert store.pixels.shape == (7, spec.height, spec.width, spec.channels)
        for name in names:
            pixels = decode_image(root / name, channels=spec.channels)
            expected = resize_pixels(pixels, (spec.height, spec.width))
            np.testing.assert_array_equal(store.pixels[store.rows([name])[0]], expected)
        with pytest.raises(ValueError, match="read-only"):
            store.pixels[0] = 0


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
    before = (folder / store_digest(GREY, facts) / "pixels.bin").stat().st_mtime_ns
    decoded.clear()
    prepare_stores(FolderFiles(root), names, [GREY, COLOUR], folder, known=as_known(facts))
    assert len(decoded) == len(names)
    assert stored(folder) == sorted(store_digest(spec, facts) for spec in (GREY, COLOUR))
    assert (folder / store_digest(GREY, facts) / "pixels.bin").stat().st_mtime_ns == before


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
    assert (stores[GREY].pixels[stores[GREY].rows([names[1]])] == 255).all()


def test_digest_is_of_form_names_and_pixels_in_any_order(images):
    root, names = images
    facts = examine_images(FolderFiles(root), names)
    digest = store_digest(GREY, facts)
    assert store_digest(GREY, facts[::-1]) == digest
    assert store_digest(COLOUR, facts) != digest
    assert store_digest(GREY, facts[1:]) != digest
    renamed = [*facts[:-1], type(facts[0])(**{**vars(facts[-1]), "image": "other.png"})]
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
        np.testing.assert_array_equal(store.pixels[store.rows(wanted)], expected)
    with pytest.raises(KeyError):
        first[GREY].rows(["none.png"])


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, MemoryError])
@pytest.mark.parametrize("where", ["resize_pixels", "write_json"])
def test_crash_while_building_leaves_nothing(images, tmp_path, monkeypatch, error, where):
    root, names = images

    def crash(*arguments):
        raise error

    monkeypatch.setattr(f"ova.data.store.{where}", crash)
    with pytest.raises(EnvironmentFault if error is OSError else error):
        prepare_stores(FolderFiles(root), names, [GREY, COLOUR], tmp_path / "store", known={})
    assert stored(tmp_path / "store") == []


def test_nothing_is_visible_before_it_is_whole(images, tmp_path, monkeypatch):
    root, names = images
    seen = []

    def looking(pixels, size):
        seen.append([name for name in stored(tmp_path / "store") if not name.startswith(".")])
        return resize_pixels(pixels, size)

    monkeypatch.setattr("ova.data.store.resize_pixels", looking)
    prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    assert seen == [[]] * len(names)
    assert len(stored(tmp_path / "store")) == 1


def test_unreadable_images_leave_no_store(images, tmp_path):
    root, names = images
    (root / names[2]).write_bytes(b"no image")
    with pytest.raises(DataError, match="1 of 7 images"):
        prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    assert stored(tmp_path / "store") == []


@pytest.mark.parametrize("damage", ["short", "long", "missing", "no index"])
def test_damaged_store_is_refused(images, tmp_path, damage):
    root, names = images
    facts, _ = prepare_stores(FolderFiles(root), names, [GREY], tmp_path / "store", known={})
    folder = tmp_path / "store" / store_digest(GREY, facts)
    file = folder / "pixels.bin"
    if damage == "no index":
        (folder / "index.json").unlink()
    elif damage == "missing":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[:-1] if damage == "short" else content + b"0")
    with pytest.raises(ArtefactError):
        PixelStore(folder)
