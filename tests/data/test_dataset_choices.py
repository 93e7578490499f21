"""What a person declares about images: those to leave out, and near duplicates that stay together."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from told import Told

from ova.data import dataset as module
from ova.data.dataset import open_dataset
from ova.data.images import intake
from ova.data.images.decode import decode_bytes
from ova.data.labels.exclusions import EXCLUDED
from ova.data.labels.table import LeftOut
from ova.data.source import locate, open_source
from ova.data.split.leaks import find_leaks
from ova.data.synthetic import draw_cells
from ova.errors import DataError, RecipeError
from ova.workspace import Workspace

COUNT, COPIES = 30, 10
SPLIT = "[split]\ntest = 0.3\nvalidation = 0.3\n"


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / "data").mkdir()
    cells = draw_cells(COUNT, size=64)
    rows = ["image,crack"]
    for number, image in enumerate(cells.images):
        Image.fromarray(image).save(tmp_path / "data" / f"{number:02d}.png")
        rows.append(f"{number:02d}.png,{cells.crack[number]}")
    (tmp_path / "data" / "data.csv").write_text("\n".join(rows) + "\n")
    declare(workspace)
    return workspace


def declare(workspace, text=""):
    workspace.dataset_recipe.write_text(f'labels = "data.csv"\n{text}{SPLIT}')


def exclude(workspace, *images):
    lines = "".join(f"{image},dust on the lens\n" for image in images)
    workspace.exclusions.write_text(f"image,reason\n{lines}")


def add_copies(workspace):
    """Save lighter, flipped copies of the first images, as a second camera might give them."""
    table = workspace.root / "data" / "data.csv"
    for number in range(COPIES):
        image = Image.open(workspace.root / "data" / f"{number:02d}.png")
        copy = image.point(lambda level: min(255, round(level * 1.1))).transpose(
            Image.Transpose.FLIP_LEFT_RIGHT
        )
        copy.save(workspace.root / "data" / f"copy{number:02d}.png")
        table.write_text(table.read_text() + f"copy{number:02d}.png,0\n")


PAIRS = [(f"{number:02d}.png", f"copy{number:02d}.png") for number in range(COPIES)]


# Exclusions


def test_excluded_images_take_no_part_and_are_counted(workspace):
    exclude(workspace, "03.png", "07.png", "elsewhere.png")
    told = Told()
    dataset = open_dataset(workspace, progress=told)
    assert len(dataset.table.images) == COUNT - 2
    for taken in (dataset.table.images, dataset.facts, dataset.split.part_of):
        assert not {"03.png", "07.png"} & set(taken)
    assert dataset.table.left_out == (LeftOut(EXCLUDED, 2, COUNT),)
    assert told.lines == [
        "left out 2 of 30 images (6.7%): listed in data/exclude.csv",
        "data/exclude.csv names 1 images that are in no row: elsewhere.png",
    ]
    assert told.lines[0] in dataset.table.lines()


def test_positives_that_are_taken_are_counted(workspace):
    cells = draw_cells(COUNT, size=64)
    cracked = [f"{number:02d}.png" for number in np.flatnonzero(cells.crack)[:3]]
    exclude(workspace, *cracked)
    table = open_source(workspace).table
    assert table.excluded_positives == (3,)
    assert "positives on images that data/exclude.csv takes: crack 3" in table.lines()


def test_an_excluded_image_may_be_damaged_or_missing(workspace):
    (workspace.root / "data" / "03.png").write_bytes(b"no image")
    (workspace.root / "data" / "07.png").unlink()
    with pytest.raises(DataError, match=r"07\.png"):
        open_dataset(workspace)
    exclude(workspace, "03.png", "07.png")
    assert len(open_dataset(workspace).table.images) == COUNT - 2
    assert not workspace.intake_problems.exists()


def test_an_image_that_comes_back_is_where_it_was(workspace, monkeypatch):
    before = open_dataset(workspace)
    exclude(workspace, "03.png", "07.png")
    during = open_dataset(workspace)
    assert {
        image: part for image, part in before.split.part_of.items() if image not in ("03.png", "07.png")
    } == during.split.part_of
    workspace.exclusions.unlink()
    calls = []
    monkeypatch.setattr(
        intake, "decode_bytes", lambda *given, **how: calls.append(1) or decode_bytes(*given, **how)
    )
    after = open_dataset(workspace)
    assert after.split == before.split
    assert after.facts == before.facts
    assert not calls


def test_nothing_left_and_a_damaged_list_are_refused(workspace):
    exclude(workspace, *(f"{number:02d}.png" for number in range(COUNT)))
    with pytest.raises(DataError, match=r"no image is left: .*30 of 30 images .*data/exclude\.csv"):
        open_dataset(workspace)
    workspace.exclusions.write_text("03.png\n")
    for attempt in (open_dataset, lambda workspace: locate(workspace, workspace.root / "data")):
        with pytest.raises(DataError, match=r"exclude\.csv: line 1: must name the columns"):
            attempt(workspace)
    assert not workspace.split_table.exists()


# Near duplicates


def test_near_duplicates_are_parted_unless_declared(workspace):
    add_copies(workspace)
    parts = open_dataset(workspace).split.part_of
    assert any(parts[one] != parts[other] for one, other in PAIRS)
    assert not workspace.quality.exists()
    declare(workspace, "[duplicates]\n")
    dataset = open_dataset(workspace)
    assert set(PAIRS) <= set(dataset.together)
    parts = dataset.split.part_of
    assert all(parts[one] == parts[other] for one, other in PAIRS)
    pixels = {image: fact.pixels_blake3 for image, fact in dataset.facts.items()}
    assert find_leaks(dataset.table, pixels, parts, PAIRS).total == 0


@pytest.mark.parametrize(
    ("settings", "joined"),
    [("", COPIES), ("turned = false\n", 0), ("tolerance = 0\nlikeness = 1.0\nturned = false\n", 0)],
)
def test_settings_say_what_is_near(workspace, settings, joined):
    add_copies(workspace)
    declare(workspace, f"[duplicates]\n{settings}")
    assert len(set(PAIRS) & set(open_dataset(workspace).together)) == joined


def test_excluding_one_copy_leaves_the_other_alone(workspace):
    add_copies(workspace)
    declare(workspace, "[duplicates]\n")
    exclude(workspace, *(copy for _, copy in PAIRS))
    assert not set(PAIRS) & set(open_dataset(workspace).together)


def test_measures_come_with_the_pass_that_decodes(workspace, monkeypatch):
    declare(workspace, "[duplicates]\n")
    calls = []
    monkeypatch.setattr(
        intake, "decode_bytes", lambda *given, **how: calls.append(1) or decode_bytes(*given, **how)
    )
    first = open_dataset(workspace)
    assert len(calls) == COUNT
    monkeypatch.setattr(module.QualityCache, "measure", None)
    assert open_dataset(workspace).together == first.together  # from runs/duplicates.json
    assert len(calls) == COUNT


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("tolerance = 11", "tolerance"),
        ("tolerance = -1", "tolerance"),
        ("likeness = 0", "likeness"),
        ("turned = 2", "turned"),
        ("toleranz = 4", "toleranz"),
    ],
)
def test_wrong_settings_are_one_line(workspace, settings, told):
    declare(workspace, f"[duplicates]\n{settings}\n")
    with pytest.raises(RecipeError, match=told) as caught:
        open_dataset(workspace)
    assert "\n" not in str(caught.value)
