from __future__ import annotations

import pytest

from ova.data.read_labels import read_label_table
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
