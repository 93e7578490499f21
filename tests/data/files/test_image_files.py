from __future__ import annotations

import os
import pickle

import pytest

from ova.data.files.image_files import FolderFiles
from ova.errors import DataError


@pytest.fixture
def files(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"abc")
    (tmp_path / "secret.png").write_bytes(b"not yours")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    return FolderFiles(tmp_path / "images")


def test_bytes_size_and_time_are_those_of_the_file(files):
    status = (files.root / "a.png").stat()
    assert files.read("a.png") == b"abc"
    assert files.status("a.png") == (status.st_size, status.st_mtime_ns)
    assert files.where("a.png") == str(files.root / "a.png")
    assert (files.holds("a.png"), files.holds("b.png"), files.holds(".")) == (True, False, False)
    assert files.source == files.root


def test_a_missing_image_is_named(files):
    for look in (files.status, files.read):
        with pytest.raises(DataError, match=r"images/b\.png"):
            look("b.png")


@pytest.mark.parametrize("image", ["link.png", "../secret.png"])
def test_nothing_outside_the_root_is_read(files, image):
    with pytest.raises(DataError, match="image root"):
        files.read(image)


def test_all_images_are_listed_but_nothing_hidden_or_linked(tmp_path):
    for name in ("a.png", "b/c.JPG", "b/d/e.jpeg", "b/notes.txt", ".hidden.png", ".git/f.png", "b/.g/h.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "i.png").write_bytes(b"")
    (tmp_path / "images" / "link").symlink_to(tmp_path / "outside")
    assert sorted(FolderFiles(tmp_path / "images").images()) == ["a.png", "b/c.JPG", "b/d/e.jpeg"]
    with pytest.raises(OSError, match="nowhere"):
        list(FolderFiles(tmp_path / "nowhere").images())


def test_images_of_a_folder_are_listed(files):
    for name in ["b.JPG", "c.txt", ".d.png", "sub/e.jpeg", "ä.png"]:
        (files.root / name).parent.mkdir(exist_ok=True)
        (files.root / name).touch()
    (files.root / "link").symlink_to("sub")
    assert sorted(files.names("")) == ["a.png", "b.JPG", "link.png", "ä.png"]
    assert list(files.names("sub")) == ["sub/e.jpeg"]
    assert list(files.names("link")) == ["link/e.jpeg"]
    assert list(files.names("none")) == list(files.names("a.png")) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows names are Unicode")
def test_a_name_that_is_no_text_is_not_listed(files):
    (files.root / os.fsdecode(b"\xff.png")).touch()
    assert sorted(files.names("")) == ["a.png", "link.png"]


def test_links_are_followed_again_for_every_image(tmp_path):
    """What was found of a folder is kept, but not of the images in it."""
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "sub" / "a.png").write_bytes(b"inside")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "root" / "sub" / "b.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "root" / "sub" / "c.png").symlink_to("a.png")
    files = FolderFiles(tmp_path / "root")
    for _ in range(2):
        assert files.read("sub/a.png") == files.read("sub/c.png") == b"inside"
        with pytest.raises(DataError, match="link out of the image root"):
            files.read("sub/b.png")
    with pytest.raises(DataError, match="is missing"):
        files.read("none/a.png")
    (tmp_path / "root" / "none").mkdir()
    (tmp_path / "root" / "none" / "a.png").write_bytes(b"late")
    assert files.read("none/a.png") == b"late"
    copy = pickle.loads(pickle.dumps(files))  # noqa: S301
    assert (copy, copy.read("sub/a.png")) == (files, b"inside")
