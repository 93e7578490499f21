from __future__ import annotations

import pytest
from zips import Entry, write_zip

from ova.data.files.listing import class_root
from ova.data.labels.read import read_label_table
from ova.data.labels.table import LeftOut
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError


def test_folders(tmp_path):
    for name in [
        "dog/b.JPG",
        "dog/old/a.jpeg",
        "cat/x.png",
        "cat/notes.txt",
        "cat/._x.png",
        "cat/.old/z.png",
        ".git/y.png",
        "top.png",
    ]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    table = read_label_table(DatasetRecipe(format="folders"), tmp_path)
    assert table.images == ("cat/x.png", "dog/b.JPG", "dog/old/a.jpeg")
    assert table.labels == ("cat", "dog")
    assert table.values.tolist() == [[1, 0], [0, 1], [0, 1]]
    table = read_label_table(DatasetRecipe(format="folders", drop_classes=("cat",)), tmp_path)
    assert (table.labels, len(table.images)) == (("dog",), 2)
    assert table.left_out == (LeftOut("of dropped classes (cat)", 1, 3),)
    assert table.rows == 2
    (tmp_path / "emu").mkdir()
    with pytest.raises(DataError, match="no PNG or JPEG under emu"):
        read_label_table(DatasetRecipe(format="folders"), tmp_path)
    with pytest.raises(DataError, match="names 'dgo', which is no class; did you mean dog"):
        read_label_table(DatasetRecipe(format="folders", drop_classes=("dgo",)), tmp_path)
    with pytest.raises(DataError, match="cannot be listed"):
        read_label_table(DatasetRecipe(format="folders"), tmp_path / "none")


def test_no_class_folders(tmp_path):
    with pytest.raises(DataError, match="no labels are left"):
        read_label_table(DatasetRecipe(format="folders"), tmp_path)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_class_root(tmp_path):
    touch(tmp_path, "set/data/cat/a.png", "set/data/dog/b.png", ".cache/x/y.png", "README.txt")
    assert class_root(tmp_path) == tmp_path / "set/data"
    touch(tmp_path, "set/loose.JPG")
    assert class_root(tmp_path) == tmp_path, "set is a class of images in folders"
    (tmp_path / "set/loose.JPG").unlink()
    touch(tmp_path, "top.png")
    assert class_root(tmp_path) == tmp_path
    assert class_root(tmp_path / "set/data/cat") == tmp_path / "set/data/cat"
    with pytest.raises(DataError, match="cannot be listed"):
        class_root(tmp_path / "none")


def test_class_root_follows_no_links(tmp_path):
    touch(tmp_path, "real/cat/a.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "real")
    assert class_root(tmp_path / "here") == tmp_path / "here"
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/loop").symlink_to(tmp_path / "loop")
    assert class_root(tmp_path / "loop") == tmp_path / "loop"


# In an archive


def classes(path, *names, prefix="", **recipe):
    write_zip(path / "a.zip", *map(Entry, names))
    table = read_label_table(DatasetRecipe(format="folders", archive="a.zip", prefix=prefix, **recipe), path)
    return table.labels, table.images


def test_folders_of_an_archive(tmp_path):
    names = [
        "dog/b.JPG",
        "dog/old/a.jpeg",
        "cat/",
        "cat/x.png",
        "cat/notes.txt",
        "cat/._x.png",
        "cat/.old/z.png",
    ]
    names += [".git/y.png", "top.png", "__MACOSX/cat/x.png", "__MACOSX/._top.png"]
    assert classes(tmp_path, *names) == (("cat", "dog"), ("cat/x.png", "dog/b.JPG", "dog/old/a.jpeg"))
    assert classes(tmp_path, *names, drop_classes=("cat",)) == (("dog",), ("dog/b.JPG", "dog/old/a.jpeg"))
    with pytest.raises(DataError, match=r"a\.zip: drop_classes names 'dgo'.*did you mean dog"):
        classes(tmp_path, *names, drop_classes=("dgo",))
    with pytest.raises(DataError, match=r"a\.zip: no PNG or JPEG under emu"):
        classes(tmp_path, *names, "emu/")
    with pytest.raises(DataError, match=r"a\.zip: no labels are left"):
        classes(tmp_path, "a.png", "b.png")


def test_the_folder_that_an_archive_was_made_of_is_no_class(tmp_path):
    names = ["photos/cat/a.png", "photos/dog/b.png", "photos/", "photos/read me.txt", "__MACOSX/x"]
    with pytest.raises(DataError, match=r'all images lie below photos, .* set prefix = "photos" in dataset'):
        classes(tmp_path, *names)
    expected = (("cat", "dog"), ("cat/a.png", "dog/b.png"))
    assert classes(tmp_path, *names, prefix="photos") == expected
    deep = [f"data/{name}" for name in names]
    with pytest.raises(DataError, match='set prefix = "data" in'):
        classes(tmp_path, *deep)
    with pytest.raises(DataError, match='set prefix = "data/photos" in'):
        classes(tmp_path, *deep, prefix="data")
    assert classes(tmp_path, *deep, prefix="data/photos/") == expected
    assert classes(tmp_path, "cat/a.png", "cat/b/c.png") == (("cat",), ("cat/a.png", "cat/b/c.png"))
    with pytest.raises(DataError, match="no labels are left"):
        classes(tmp_path, *names, prefix="none")
