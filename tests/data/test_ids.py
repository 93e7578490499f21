"""Ids that other readers turn into numbers, dates or nothing stay what they are, from the table to the last file."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.recipe import SplitRecipe
from ova.data.split.stored import stored_split
from ova.heads.scores import Scores, read_scores, write_scores
from ova.storage import read_csv
from ova.workspace import Workspace

TRAPS = [
    "NA",
    "None",
    "null",
    "nan",
    "1e5",
    "00123",
    "TRUE",
    "1.0",
    "-0",
    "2024-01-02",
    "01/02",
    "=1+1",
    "+1",
    "#N/A",
]
TRAPS += [" a", "a ", '"a"', "a,b", "a;b", "裂", "e\u0301", "-inf", "1_000", "0x10"]
IDS = st.lists(
    st.one_of(st.sampled_from(TRAPS), st.integers(0, 10**9).map(lambda number: f"{number:09d}")),
    min_size=8,
    unique_by=str.casefold,
)


@given(IDS, st.sampled_from(",;\t|"))
@settings(max_examples=25)
def test_ids_come_back_byte_for_byte(tmp_path_factory, read, images, delimiter):
    folder = tmp_path_factory.mktemp("ids")
    workspace = Workspace(folder / "workspace")

    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    rows = [f"{quoted(image)}{delimiter}{row % 2}" for row, image in enumerate(images)]
    table = read(folder, f"file{delimiter}crack\n" + "\n".join(rows) + "\n")
    assert list(table.images) == images
    split = stored_split(workspace, table, {image: image for image in images}, SplitRecipe())
    assert split.part_of.keys() == set(images)
    assert {row["image"] for row in read_csv(workspace.split_table)} == set(images)
    scores = Scores(tuple(table.images), table.values[:, 0].astype(np.int8), np.zeros(len(images)))
    write_scores(folder / "scores.csv", scores)
    assert sorted(read_scores(folder / "scores.csv").images) == sorted(images)


@given(st.lists(st.sampled_from(TRAPS), min_size=1, unique_by=lambda text: text.strip().casefold()))
def test_class_names_come_back(tmp_path_factory, read, names):
    folder = tmp_path_factory.mktemp("classes")
    rows = "".join(f'{row}.png,"{name.replace(chr(34), chr(34) * 2)}"\n' for row, name in enumerate(names))
    assert read(folder, "file,class\n" + rows, format="long", delimiter=",").labels == tuple(
        sorted(name.strip() for name in names)
    )
