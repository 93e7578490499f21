"""Everything that is wrong with a folder and its table is listed once, with counts, and nothing else is written."""

from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ova.data.dataset import open_dataset
from ova.data.labels.table import LeftOut
from ova.data.source import locate
from ova.errors import DataError
from ova.workspace import Workspace

KINDS = {
    "missing (": "near",
    "missing": "missing",
    "conflicting labels": "conflict",
    "the same labels": "again",
    "by case only": "case",
    "by Unicode form only": "form",
    "cells, the header": "ragged",
    "column 'crack' has": "cell",
    "leaves the image root": "path",
}


def make_workspace(root, rows, files, settings=""):
    workspace = Workspace(root)
    folder = root / "data" / "images"
    folder.mkdir(parents=True)
    for number, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name, "PNG")
    text = "file;crack\n" + "".join(";".join(row) + "\n" for row in rows)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    workspace.dataset_recipe.write_text(f'root = "images"\nlabels = "labels.csv"\n{settings}')
    return workspace


def listed(workspace):
    with workspace.intake_problems.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@given(
    st.fixed_dictionaries({kind: st.integers(0, 3) for kind in [*KINDS.values(), "sound", "unnamed"]}),
    st.randoms(),
)
@settings(max_examples=30)
def test_each_problem_of_a_tree_is_listed_once(tmp_path_factory, wanted, random):
    names = {kind: [f"{kind}/{number}ä.png" for number in range(count)] for kind, count in wanted.items()}
    rows = [
        [name, "1"]
        for kind in names
        for name in names[kind]
        if kind not in ("unnamed", "path", "ragged", "cell")
    ]
    rows += [[name, "1", "1"] for name in names["ragged"]] + [[name, "2"] for name in names["cell"]]
    rows += [[f"../{name}", "0"] for name in names["path"]]
    twice = [[name, "0"] for name in names["conflict"]] + [[name, "1"] for name in names["again"]]
    twice += [[name.upper(), "1"] for name in names["case"]]
    twice += [[name.replace("ä", "a\u0308"), "1"] for name in names["form"]]
    random.shuffle(rows)
    random.shuffle(twice)
    rows += twice
    files = [name for kind in names if kind not in ("missing", "near") for name in names[kind]]
    files += [name for name, *_ in twice] + [name.upper().replace("NEAR", "near") for name in names["near"]]
    workspace = make_workspace(tmp_path_factory.mktemp("tree"), rows, dict.fromkeys(files))
    expected = {kind: count for kind, count in wanted.items() if count and kind not in ("sound", "unnamed")}
    if not expected:
        return
    with pytest.raises(DataError) as caught:
        open_dataset(workspace)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert str(workspace.intake_problems) in str(caught.value)
    problems = listed(workspace)
    found = Counter(next(KINDS[text] for text in KINDS if text in row["problem"]) for row in problems)
    assert found == expected
    # Every problem stands where it was made, and tells the line of the table.
    lines = [name for name, *_ in rows]
    for row in problems:
        assert lines[int(row["where"].rpartition(":")[2]) - 2] == row["image"].removeprefix("'")
    assert [path.name for path in workspace.intake_problems.parent.iterdir()] == ["intake.csv"]


def test_missing_images_may_be_allowed_and_are_listed(tmp_path):
    names = [f"{number}.png" for number in range(30)]
    workspace = make_workspace(tmp_path, [[name, str(int(name < "2"))] for name in names], names[2:])
    with pytest.raises(DataError, match=r"2 of 30 images are not below .*: 0\.png, 1\.png; .*allow_missing"):
        open_dataset(workspace)
    recipe = workspace.dataset_recipe.read_text()
    workspace.dataset_recipe.write_text(recipe + "allow_missing = 1\n")
    with pytest.raises(DataError, match="2 of 30 images"):
        open_dataset(workspace)
    workspace.dataset_recipe.write_text(recipe + "allow_missing = 2\n")
    dataset = open_dataset(workspace)
    assert dataset.table.images == tuple(names[2:])
    assert dataset.table.missing == ("0.png", "1.png")
    assert dataset.table.left_out == (LeftOut("not there", 2, 30),)
    assert [(row["image"], row["problem"]) for row in listed(workspace)] == [
        ("0.png", "missing, left out"),
        ("1.png", "missing, left out"),
    ]


def test_solved_problems_are_listed_no_more(tmp_path):
    names = [f"{number}.png" for number in range(30)]
    workspace = make_workspace(tmp_path, [[name, str(int(name < "2"))] for name in names], names[1:])
    for look in (open_dataset, lambda workspace: locate(workspace, tmp_path / "data/images")):
        with pytest.raises(DataError, match="1 of 30 images"):
            look(workspace)
        assert len(listed(workspace)) == 1
    Image.new("L", (4, 4)).save(tmp_path / "data/images/0.png")
    open_dataset(workspace)
    assert not workspace.intake_problems.exists()


def test_images_that_no_row_names_are_counted(tmp_path):
    names = [f"a/{number}.png" for number in range(30)]
    beside = ["a/new.png", "a/other.JPG", "a/deeper/x.png", "b/y.png", "top.png"]
    workspace = make_workspace(tmp_path, [[name, str(int(name < "a/2"))] for name in names], names + beside)
    table = open_dataset(workspace).table
    assert table.unnamed == 2
    assert table.lines() == ["images: 30, rows: 30", "2 images in the same folders are in no row"]


def test_a_fraction_of_the_data_is_opened(tmp_path):
    names = [f"{number}.png" for number in range(40)]
    rows = [[name, str(number % 2)] for number, name in enumerate(names)]
    workspace = make_workspace(tmp_path, rows, names, "fraction = 0.5\n")
    dataset = open_dataset(workspace)
    assert len(dataset.table.images) == 20
    assert np.sum(dataset.table.values) == 10
    assert dataset.facts.keys() == dataset.split.part_of.keys() == set(dataset.table.images)
    assert dataset.table.left_out == (LeftOut("fraction = 0.5", 20, 40),)


def test_a_file_of_another_kind_of_name_is_there(tmp_path):
    names = [f"{number}.dat" for number in range(30)]
    workspace = make_workspace(tmp_path, [[name, str(int(name < "2"))] for name in names], names)
    assert len(open_dataset(workspace).table.images) == 30
