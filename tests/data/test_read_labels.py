from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.labels import UNKNOWN
from ova.data.read_labels import read_label_table
from ova.data.recipe import DatasetRecipe, GroupRule
from ova.errors import DataError

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    "text", ["NA", "None", "null", "nan", "1e5", "00123", "TRUE", "-", "1,5", 'say "a"', "ä ö"]
)
def test_text_is_kept(tmp_path, text, read):
    quoted = '"' + text.replace('"', '""') + '"'
    table = read(
        tmp_path, f"{quoted},file,g\n1,{quoted},{quoted}\n", image_column="file", group=GroupRule(column="g")
    )
    assert (table.labels, table.images, table.groups) == ((text,), (text,), (text,))
    table = read(tmp_path, f"file,class\n{quoted},{quoted}\n", format="long")
    assert (table.labels, table.images) == ((text,), (text,))


@given(
    st.lists(
        NAMES.map(lambda name: f"d/{name.strip()}x").map(lambda name: name.replace("\\", "_")),
        min_size=1,
        max_size=6,
    ),
    st.lists(NAMES.map(lambda name: f"n{name}".strip()), min_size=1, max_size=4, unique=True),
    st.data(),
)
@settings(max_examples=80, deadline=None)
def test_wide_agrees_with_what_was_written(tmp_path_factory, read, refusal, paths, labels, data):
    paths = list(
        dict.fromkeys(
            "/".join(part for part in path.split("/") if part not in ("", ".", "..")) for path in paths
        )
    )
    cells = data.draw(
        st.lists(
            st.lists(st.sampled_from(["0", "1", "", "2", "y"]), min_size=len(labels), max_size=len(labels)),
            min_size=len(paths),
            max_size=len(paths),
        )
    )
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=";")
    writer.writerows([["the file", *labels], *([path, *row] for path, row in zip(paths, cells, strict=True))])
    folder = tmp_path_factory.mktemp("wide")
    if any(cell in "2y" and cell for row in cells for cell in row):
        assert "a label is 0, 1 or blank" in refusal(folder, text.getvalue(), delimiter=";")
        return
    table = read(folder, text.getvalue(), delimiter=";")
    assert table.images == tuple(paths)
    assert table.labels == tuple(labels)
    assert table.values.tolist() == [[{"0": 0, "1": 1, "": UNKNOWN}[cell] for cell in row] for row in cells]


def test_missing_table_and_folder_as_table(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        read_label_table(DatasetRecipe(labels="none.csv"), tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_label_table(DatasetRecipe(labels="."), tmp_path)


def test_group_pattern(tmp_path, read, refusal):
    text = "file,crack\nm1_a.png,1\nm1_b.png,0\nm2_a.png,0\n"
    assert read(tmp_path, text, group=GroupRule(pattern=r"^(m\d+)_")).groups == ("m1", "m1", "m2")
    assert read(tmp_path, text, group=GroupRule(pattern=r"m\d")).groups == ("m1", "m1", "m2")
    message = refusal(tmp_path, text, group=GroupRule(pattern=r"m1(_a)?"))
    assert "group.pattern finds nothing in 2 images: m1_b.png, m2_a.png" in message


def test_group_column(tmp_path, read, refusal):
    assert "column 'g' is blank in line 3" in refusal(
        tmp_path, "file,crack,g\na,1,x\nb,0, \n", group=GroupRule(column="g")
    )
    rows = "file,class,g\na.png,cat,1\nb.png,dog,2\na.png,dog,2\n"
    message = refusal(tmp_path, rows, format="long", group=GroupRule(column="g"))
    assert "an image in a second group in line 4" in message
    kept = read(tmp_path, rows, format="long", group=GroupRule(column="g"), drop_classes=("dog",))
    assert (kept.images, kept.groups) == (("a.png",), ("1",))
