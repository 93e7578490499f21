from __future__ import annotations

import copy
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from zips import Entry, write_zip

from ova.data.files.find import open_files
from ova.data.files.zip_files import ZipFiles
from ova.data.images.intake import examine_images
from ova.data.labels.read import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError


def test_images_of_an_archive_are_read_in_place(tmp_path):
    write_zip(tmp_path / "photos.zip", Entry("set/images/a.png", b"abc", deflate=True), Entry("b.png", b"d"))
    files = ZipFiles(tmp_path / "photos.zip", "set/")
    assert files.read("images/a.png") == b"abc"
    assert files.where("images/a.png") == f"{tmp_path / 'photos.zip'}: set/images/a.png"
    assert (files.holds("images/a.png"), files.holds("b.png"), files.holds("images")) == (True, False, False)
    assert files.source == tmp_path / "photos.zip"
    assert [path.name for path in tmp_path.rglob("*")] == ["photos.zip"]


def test_a_missing_image_of_an_archive_is_named_with_the_prefix_that_helps(tmp_path):
    write_zip(tmp_path / "photos.zip", Entry("set/new/a.png"), Entry("set/new/b.png"), Entry("set/new.csv"))
    files = ZipFiles(tmp_path / "photos.zip")
    for look in (files.status, files.read):
        with pytest.raises(DataError, match=r'photos\.zip: new/a\.png: is missing; set prefix = "set" in'):
            look("new/a.png")
        with pytest.raises(DataError, match=r'photos\.zip: a\.png: is missing; set prefix = "set/new" in'):
            look("a.png")
        with pytest.raises(DataError, match=r"c\.png: is missing; correct the path, archive or prefix in"):
            look("c.png")


def test_status_follows_the_content_and_not_the_copying(tmp_path):
    path = write_zip(tmp_path / "a.zip", Entry("a", b"12"), Entry("b", b"21"))
    before = ZipFiles(path)
    os.utime(path, (0, 0))
    assert ZipFiles(path).status("a") == before.status("a")
    assert before.status("a").bytes == before.status("b").bytes == 2
    assert before.status("a") != before.status("b")
    write_zip(path, Entry("a", b"13"), Entry("b", b"21"))
    after = ZipFiles(path)
    assert (after.status("a") == before.status("a"), after.status("b") == before.status("b")) == (False, True)


def test_files_travel_to_another_process_without_the_directory(tmp_path):
    path = write_zip(tmp_path / "a.zip", *(Entry(f"p/{number}", b"1") for number in range(1000)))
    files = ZipFiles(path, "p")
    assert files.read("7") == b"1"
    parcel = pickle.dumps(files)
    assert len(parcel) < 500
    for other in (pickle.loads(parcel), copy.copy(files)):  # noqa: S301
        assert (other.path, other.prefix, other.read("7")) == (path, "p", b"1")


def test_a_part_is_sent_with_what_it_needs_and_opens_nothing(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", *(Entry(f"p/{number}.png", b"1") for number in range(1000)))
    whole = ZipFiles(path)
    images = ["p/7.png", "8.png", "none.png"]
    parcel = pickle.dumps(whole.part(images))
    assert len(parcel) < 2000
    monkeypatch.setattr(zipfile, "ZipFile", None)
    part = pickle.loads(parcel)  # noqa: S301
    assert part.read("p/7.png") == b"1"
    assert part.status("p/7.png") == whole.status("p/7.png")
    for image in images[1:]:
        messages = set()
        for files in (whole, part):
            with pytest.raises(DataError, match="is missing") as caught:
                files.read(image)
            messages.add(str(caught.value))
        assert len(messages) == 1
    write_zip(path, Entry("p/7.png", b"2"))
    with pytest.raises(DataError, match="has changed while it was in use"):
        part.read("p/7.png")


def test_the_archive_is_opened_when_it_is_needed_and_once(tmp_path, monkeypatch):
    files = ZipFiles(tmp_path / "a.zip")
    with pytest.raises(DataError, match=r"a\.zip: is missing"):
        files.holds("a")
    write_zip(tmp_path / "a.zip", Entry("a", b"1"))
    assert files.holds("a")
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert files.read("a") == b"1"
    assert files.status("a").bytes == 1


def test_images_directly_in_a_folder_are_listed(tmp_path):
    names = ["p/b.png", "p/a.JPG", "p/d/c.png", "p/.d.png", "p/e.txt", "q.png", "p/", "__MACOSX/p/b.png"]
    files = ZipFiles(write_zip(tmp_path / "a.zip", *map(Entry, names)), "p")
    assert [list(files.names(folder)) for folder in ("", "d", "none")] == [
        ["b.png", "a.JPG"],
        ["d/c.png"],
        [],
    ]


def test_processes_read_an_archive_as_threads_do(tmp_path):
    images = [f"{number}.png" for number in range(40)]
    entries = [Entry(image, png(number), deflate=True) for number, image in enumerate(images)]
    files = ZipFiles(write_zip(tmp_path / "a.zip", *entries))
    threads, processes = (
        examine_images(files, images, processes=processes, workers=2).facts for processes in (False, True)
    )
    assert threads == processes


# A folder and an archive of it say the same


def png(seed: int) -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 4 + seed % 3, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


NAMES = st.text("abä裂 -", min_size=1, max_size=3).filter(lambda name: name.strip())
TREES = st.lists(
    st.tuples(st.sampled_from(["cat", "dog", "größe"]), st.lists(NAMES, max_size=2), NAMES),
    min_size=1,
    max_size=8,
    unique_by=lambda parts: tuple(part.casefold() for part in ("/".join(map(str, parts)),)),
)


@given(TREES, st.sampled_from(["", "photos", "a/b"]), st.booleans(), st.booleans(), st.randoms())
@settings(max_examples=40)
def test_archive_of_a_folder_gives_the_same_labels_facts_and_pixels(
    tmp_path_factory, tree, prefix, deflate, table, random
):
    base = tmp_path_factory.mktemp("same")
    content = {"zebra/z.png": png(99)}  # at least two classes, or the one folder is taken for the prefix
    for number, (label, folders, name) in enumerate(tree):
        content["/".join([label, *folders, f"{name}.png"])] = png(number)
    rows = "".join(f'"{image}",{number % 2}\n' for number, image in enumerate(content))
    content["labels.csv"] = f"file,crack\n{rows}".encode()
    for name, data in content.items():
        (base / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "photos" / name).write_bytes(data)
    names = list(content)
    random.shuffle(names)
    start = f"{prefix}/" if prefix else ""
    write_zip(base / "photos.zip", *(Entry(start + name, content[name], deflate=deflate) for name in names))
    form = {"labels": "labels.csv"} if table else {"format": "folders"}
    inside = {**form, "labels": f"{start}labels.csv"} if table else form
    plain = open_files(DatasetRecipe(**form), base / "photos")
    zipped = open_files(DatasetRecipe(**inside, archive="photos.zip", prefix=prefix), base)
    first = read_label_table(DatasetRecipe(**form), base / "photos", plain)
    second = read_label_table(DatasetRecipe(**inside, archive="photos.zip", prefix=prefix), base, zipped)
    assert (first.images, first.labels, first.groups) == (second.images, second.labels, second.groups)
    assert first.digest() == second.digest()
    pixels: list[dict[int, np.ndarray]] = [{}, {}]
    facts = [
        examine_images(files, first.images, pixel_measures=[seen.__setitem__], workers=2).facts
        for files, seen in zip((plain, zipped), pixels, strict=True)
    ]
    for one, other in zip(*facts, strict=True):
        assert one.pixels_blake3 == other.pixels_blake3
        assert (one.image, one.bytes, one.file_sha256) == (other.image, other.bytes, other.file_sha256)
    for row in range(len(first.images)):
        assert np.array_equal(pixels[0][row], pixels[1][row])


def test_all_images_are_listed_below_the_prefix(tmp_path):
    names = ("set/a.png", "set/b/c.jpg", "set/labels.csv", "set/.d.png", "__MACOSX/set/e.png", "other/f.png")
    write_zip(tmp_path / "a.zip", *(Entry(name, b"x") for name in names))
    assert sorted(ZipFiles(tmp_path / "a.zip", "set").images()) == ["a.png", "b/c.jpg"]
    assert sorted(ZipFiles(tmp_path / "a.zip").images()) == ["other/f.png", "set/a.png", "set/b/c.jpg"]
