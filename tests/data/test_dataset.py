from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from told import Told

from ova.data.dataset import open_dataset
from ova.data.images.decode import decode_image
from ova.data.images.resize import resize_pixels
from ova.data.images.store import StoreSpec
from ova.data.source import locate
from ova.errors import ArtefactError, DataError, RecipeError
from ova.workspace import Workspace

SPEC = StoreSpec(8, 8, 1)
COUNT = 20


def write_image(path, number):
    pixels = np.random.default_rng(number).integers(0, 256, (10, 12)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_data(folder):
    rows = ["filename;crack;inactive"]
    for number in range(COUNT):
        write_image(folder / "images" / f"{number:02d}.png", number)
        rows.append(
            f"images/{number:02d}.png;{int(number % 4 == 0)};{'' if number == 3 else int(number % 8 == 0)}"
        )
    (folder / "data.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "project")
    workspace.dataset_recipe.parent.mkdir(parents=True)
    workspace.dataset_recipe.write_text('labels = "data.csv"\n')
    write_data(workspace.root / "data")
    return workspace


def test_dataset_is_one_value(workspace):
    dataset = open_dataset(workspace, [SPEC])
    assert dataset.table.labels == ("crack", "inactive")
    assert len(dataset.table.images) == COUNT
    assert dataset.facts.keys() == dataset.split.part_of.keys() == set(dataset.table.images)
    store = dataset.stores[SPEC]
    for image in dataset.table.images:
        pixels = resize_pixels(decode_image(dataset.root / image, channels=1), (8, 8))
        np.testing.assert_array_equal(store.read(store.rows([image]))[0], pixels)
    runs = workspace.root / "runs"
    assert sorted(path.name for path in runs.iterdir()) == ["images.csv", "split.csv", "split.json", "store"]
    assert not [path for path in runs.rglob("*") if path.name.startswith(".")]


def test_second_opening_decodes_and_writes_nothing(workspace, decoded):
    first = open_dataset(workspace, [SPEC])
    files = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")}
    assert len(decoded) == COUNT
    second = open_dataset(workspace, [SPEC])
    assert len(decoded) == COUNT
    assert {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")} == files
    assert second.split == first.split
    assert second.facts == first.facts


def test_new_label_column_reads_no_image_and_keeps_the_split(workspace, decoded):
    first = open_dataset(workspace, [SPEC])
    table = workspace.root / "data" / "data.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0] + ";any", *(line + ";1" for line in lines[1:])]))
    second = open_dataset(workspace, [SPEC])
    assert second.table.labels == ("crack", "inactive", "any")
    assert len(decoded) == COUNT
    assert second.split == first.split


def test_unreadable_images_are_all_listed(workspace):
    bad = [f"images/{number:02d}.png" for number in range(0, COUNT, 2)]
    for image in bad:
        (workspace.root / "data" / image).write_bytes(b"=1+1")
    with pytest.raises(DataError, match="10 of 20 images") as caught:
        open_dataset(workspace, [SPEC])
    assert str(workspace.intake_problems) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4
    with workspace.intake_problems.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == bad
    assert "neither JPEG nor PNG" in rows[1]["problem"]
    assert rows[1]["where"] == str(workspace.root / "data" / bad[1])
    assert not workspace.split_table.exists()


def test_link_out_of_the_image_root_is_refused(workspace, tmp_path):
    write_image(tmp_path / "elsewhere.png", 99)
    image = workspace.root / "data" / "images" / "05.png"
    image.unlink()
    image.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match=r"1 of 20 images.*out of the image root"):
        open_dataset(workspace)


def test_wrong_recipe_and_wrong_table(workspace):
    workspace.dataset_recipe.write_text('labels = "none.csv"\n')
    with pytest.raises(DataError, match="is missing"):
        open_dataset(workspace)
    workspace.dataset_recipe.write_text("labels = 1\n")
    with pytest.raises(RecipeError, match="labels"):
        open_dataset(workspace)


def test_white_level_and_group_of_the_recipe_are_used(workspace):
    workspace.dataset_recipe.write_text(
        'labels = "data.csv"\nwhite_level = 4095\n[group]\npattern = "([0-9]).png"\n[split]\ntest = 0.5\nseed = 3\n'
    )
    dataset = open_dataset(workspace)
    assert {fact.white_level for fact in dataset.facts.values()} == {4095}
    assert dataset.table.groups == tuple(str(number % 10) for number in range(COUNT))
    parts = dataset.split.part_of
    assert all(parts[f"images/0{digit}.png"] == parts[f"images/1{digit}.png"] for digit in range(10))


# Where the data lies


def test_located_folder_wins(workspace, tmp_path):
    elsewhere = tmp_path / "disk"
    write_data(elsewhere)
    write_image(elsewhere / "images" / "00.png", 1000)
    table = locate(workspace, elsewhere)
    assert len(table.images) == COUNT
    assert json.loads(workspace.location.read_text()) == {"root": str(elsewhere.resolve())}
    dataset = open_dataset(workspace)
    assert dataset.root == elsewhere.resolve()
    here = decode_image(elsewhere / "images" / "00.png", channels=3)
    assert dataset.facts["images/00.png"].height == here.shape[0]


def test_location_is_remembered_absolutely_and_only_when_its_labels_are_sound(
    workspace, tmp_path, monkeypatch
):
    write_data(tmp_path / "disk")
    monkeypatch.chdir(tmp_path)
    locate(workspace, Path("disk"))
    before = workspace.location.read_bytes()
    assert json.loads(before)["root"] == str((tmp_path / "disk").resolve())
    with pytest.raises(DataError, match="does not exist"):
        locate(workspace, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is missing"):
        locate(workspace, tmp_path / "empty")
    assert workspace.location.read_bytes() == before


def test_missing_root_says_how_to_name_it(workspace):
    workspace.dataset_recipe.write_text('root = "../none"\nlabels = "data.csv"\n')
    with pytest.raises(DataError, match="ova data locate FOLDER"):
        open_dataset(workspace)


@pytest.mark.parametrize("content", ["{}", "[]", '{"root": 3}', "", '{"root": NaN}'])
def test_damaged_location_is_refused(workspace, content):
    workspace.location.parent.mkdir()
    workspace.location.write_text(content)
    with pytest.raises(ArtefactError, match=r"location\.json"):
        open_dataset(workspace)


def test_copies_are_told_before_the_first_split_and_kept_together_by_the_advice(workspace):
    folder = workspace.root / "data"
    rows = ["filename;crack"]
    for number in range(12):
        for turn, name in enumerate((f"cell{number}", f"rot_cell{number}", f"mirrh_cell{number}")):
            write_image(folder / "images" / f"{name}.png", 100 * turn + number)
            rows.append(f"images/{name}.png;{int(number % 3 == 0)}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    told = Told()
    dataset = open_dataset(workspace, progress=told)
    (line,) = told.lines
    assert line.startswith("24 of 36 images are named as copies of 12 images (mirrh_NAME, rot_NAME); ")

    def parted(split):
        parts = {}
        for image in dataset.table.images:
            parts.setdefault(image.rpartition("cell")[2], set()).add(split.part_of[image])
        return [name for name, each in parts.items() if len(each) > 1]

    assert parted(dataset.split)
    open_dataset(workspace, progress=told)
    assert len(told.lines) == 1, "a split that is there stays"
    for path in (workspace.split_table, workspace.split_origin):
        path.unlink()
    setting = line.rpartition("below it ")[2]
    workspace.dataset_recipe.write_text(f'labels = "data.csv"\n[group]\n{setting}\n')
    assert not parted(open_dataset(workspace, progress=told).split)
    assert len(told.lines) == 1
