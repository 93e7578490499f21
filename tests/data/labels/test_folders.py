"""Class folders within train, test and the like."""

from __future__ import annotations

from pathlib import Path

import pytest
from zips import Entry, write_zip

from ova.data.labels.folders import provider_splits
from ova.data.labels.read import read_label_table
from ova.data.labels.table import LabelTable, LeftOut
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError

NAMES = ["train/cat/1.png", "train/dog/old/2.png", "test/cat/1.png", "test/emu/3.png", "test/emu/.3.png"]
POOLED = {"format": "folders", "pooled_folders": ("train", "test")}


def read(folder: Path, names: list[str], *, zipped: bool, **recipe: object) -> LabelTable:
    if zipped:
        write_zip(folder / "a.zip", *map(Entry, names))
        recipe["archive"] = "a.zip"
    else:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    return read_label_table(DatasetRecipe.model_validate({**POOLED, **recipe}), folder)


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_the_classes_of_several_folders_are_one_set(tmp_path: Path, zipped: bool) -> None:
    table = read(tmp_path, NAMES, zipped=zipped)
    assert table.labels == ("cat", "dog", "emu")
    values = dict(zip(table.images, table.values.tolist(), strict=True))
    assert values == {
        "train/cat/1.png": [1, 0, 0],
        "test/cat/1.png": [1, 0, 0],
        "train/dog/old/2.png": [0, 1, 0],
        "test/emu/3.png": [0, 0, 1],
    }
    assert table.left_out == ()


@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_what_lies_elsewhere_is_left_out_and_counted(tmp_path: Path, zipped: bool) -> None:
    names = [*NAMES, "unlabelled/a.png", "more/b/c.png"]
    table = read(tmp_path, names, zipped=zipped, drop_classes=("emu",))
    assert table.labels == ("cat", "dog")
    assert table.left_out == (
        LeftOut("in folders that are not pooled (more, unlabelled)", 2, 6),
        LeftOut("of dropped classes (emu)", 1, 4),
    )


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"2 images of pooled_folders lie in no class folder: test/x\.png, test/y"
    ):
        read(tmp_path, [*NAMES, "test/y.png", "test/x.png"], zipped=False)
    with pytest.raises(DataError, match="names 'tset', which is not there; did you mean test"):
        read(tmp_path, NAMES, zipped=False, pooled_folders="tset")
    for wrong in ({"format": "wide", "labels": "t.csv"}, {"pooled_folders": ("a", "a")}):
        with pytest.raises(ValueError, match="pooled_folders"):
            DatasetRecipe.model_validate({**POOLED, **wrong})


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (NAMES, ["test", "train"]),
        (["Training_Set/cat/a.png", "val/cat/b.png"], ["Training_Set", "val"]),
        (["train/cat/a.png", "test/b.png"], ["train"]),
        (["train/cat/a.png", "test/b.png", "test/cat/b.png"], ["train"]),
        (["train/a.png", "test/b.png"], []),
        (["train/cat/a.png", "cars/red/b.png"], []),
        (["trains/red/a.png", "cars/red/b.png"], []),
        ([], []),
    ],
)
def test_the_splits_of_providers_are_known_by_their_names(names: list[str], found: list[str]) -> None:
    folders: dict[str, list[str]] = {}
    for name in names:
        folders.setdefault(name.split("/")[0], []).append(name)
    assert provider_splits(folders) == found
