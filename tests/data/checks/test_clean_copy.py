from __future__ import annotations

import csv

import pytest
from messy import SOUND, add_mess, sound_workspace
from told import Told

from ova.data.checks import copy as module
from ova.data.checks.check import check_data
from ova.data.checks.clean import clean_data
from ova.data.dataset import open_dataset
from ova.errors import RecipeError
from ova.progress import Silent
from ova.workspace import Workspace


@pytest.fixture
def made(tmp_path):
    made = sound_workspace(tmp_path / "first")
    add_mess(made)
    return made


def test_a_copy_holds_what_is_left_and_is_a_workspace_by_itself(made, tmp_path):
    made.declare('white_level = 4095\n[group]\npattern = "(.)[.]png"\n[clean]\nmin_side = 50\n')
    copy = tmp_path / "second" / "data"
    report = clean_data(made.workspace, copy_to=copy)
    assert report.copy == copy
    before, after = (open_dataset(each) for each in (made.workspace, Workspace(copy.parent)))
    assert after.table.labels == before.table.labels
    assert [f"images/{image}" for image in before.table.images] == list(after.table.images)
    assert after.table.values.tolist() == before.table.values.tolist()
    assert list(after.table.groups) == list(before.table.groups)
    assert after.recipe.white_level == 4095
    assert after.recipe.split == before.recipe.split
    for image in before.table.images:
        assert (copy / "images" / image).read_bytes() == made.path(image).read_bytes()
    assert (copy / "left_out.csv").read_bytes() == made.workspace.exclusions.read_bytes()
    left = {"flat.png", "small.png", "copy of 03.png"}
    assert {line.image for line in report.added} == left
    assert (
        not {each.image.removeprefix("images/") for each in check_data(Workspace(copy.parent)).findings}
        & left
    )
    assert sorted(path.name for path in copy.iterdir()) == [
        "dataset.toml",
        "images",
        "labels.csv",
        "left_out.csv",
    ]


def test_labels_that_have_the_names_of_columns(made, tmp_path):
    table = made.data / "data.csv"
    table.write_text(table.read_text().replace("image,crack,inactive", "file,image,group", 1))
    clean_data(made.workspace, copy_to=tmp_path / "second" / "data")
    with (tmp_path / "second" / "data" / "labels.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image_", "image", "group"]
    assert ["images/flip of 10.png", str(made.labels[SOUND[10]][0]), ""] in rows
    assert open_dataset(Workspace(tmp_path / "second")).table.labels == ("image", "group")


def test_class_folders_become_a_table(tmp_path):
    made = sound_workspace(tmp_path / "first")
    for image, (crack, _) in made.labels.items():
        target = made.data / "classes" / ("crack" if crack else "süß") / image.removeprefix("cells/")
        target.parent.mkdir(parents=True, exist_ok=True)
        made.path(image).rename(target)
    made.workspace.dataset_recipe.write_text('root = "classes"\nformat = "folders"\n')
    clean_data(made.workspace, copy_to=tmp_path / "second" / "data")
    before, after = (open_dataset(Workspace(tmp_path / name)) for name in ("first", "second"))
    assert after.table.labels == before.table.labels
    assert after.table.values.tolist() == before.table.values.tolist()


def test_a_folder_that_holds_something_or_lies_among_the_images_is_refused(made, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for folder in (tmp_path / "full", tmp_path / "full" / "thesis.txt", made.data / "clean", made.data):
        with pytest.raises(RecipeError, match=r"is not an empty folder|lies among the images"):
            clean_data(made.workspace, copy_to=folder)
    assert not made.workspace.exclusions.exists()
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    clean_data(made.workspace, copy_to=tmp_path / "empty")
    assert (tmp_path / "empty" / "labels.csv").exists()


def test_a_copy_that_fails_leaves_nothing(made, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "csv_bytes", fail)
    with pytest.raises(Exception, match="No space left") as caught:
        clean_data(made.workspace, copy_to=tmp_path / "second")
    assert caught.value.exit_code == 6  # type: ignore[attr-defined]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first"]


def test_a_folder_that_somebody_fills_meanwhile_is_left_alone(made, tmp_path):
    class Filling(Silent):
        def start(self, task, total):
            if task == "copying images":
                (tmp_path / "second").mkdir()
                (tmp_path / "second" / "thesis.txt").write_text("mine")

    with pytest.raises(RecipeError, match="is not an empty folder"):
        clean_data(made.workspace, copy_to=tmp_path / "second", progress=Filling())
    assert [path.name for path in (tmp_path / "second").iterdir()] == ["thesis.txt"]


def test_larger_images_are_made_smaller_in_the_copy(made, tmp_path):
    copy, told = tmp_path / "second" / "data", Told()
    clean_data(made.workspace, copy_to=copy, short_side=24, progress=told)
    before, after = (
        {image.removeprefix("images/"): min(fact.height, fact.width) for image, fact in facts.items()}
        for facts in (open_dataset(each).facts for each in (made.workspace, Workspace(copy.parent)))
    )
    assert after == {image: min(side, 24) for image, side in before.items()}
    smaller = sum(side > 24 for side in before.values())
    assert 0 < smaller < len(before)
    assert told.lines[-1] == f"{smaller} of {len(before)} images are smaller now: shorter side 24 pixels"
    small = next(image for image, side in before.items() if side <= 24)
    assert (copy / "images" / small).read_bytes() == made.path(small).read_bytes()


def test_images_are_not_made_smaller_without_a_copy(made):
    with pytest.raises(RecipeError, match="add --copy FOLDER"):
        clean_data(made.workspace, short_side=24)
    assert not made.workspace.exclusions.exists()
