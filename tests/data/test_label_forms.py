from __future__ import annotations

import numpy as np
import pytest

from ova.data.labels import UNKNOWN
from ova.data.recipe import GroupRule

WIDE = "file;crack;inactive\na/1.png;1;0\na/2.png;;1\nb/3.png; 0 ;\n"
LONG = "file,class\nc.png,dog\na.png,cat\nc.png,ant\nb.png,\n"


def test_wide(tmp_path, read):
    table = read(tmp_path, WIDE)
    assert table.images == ("a/1.png", "a/2.png", "b/3.png")
    assert table.labels == ("crack", "inactive")
    assert table.values.dtype == np.int8
    assert table.values.tolist() == [[1, 0], [UNKNOWN, 1], [0, UNKNOWN]]
    assert table.groups == table.images
    assert table.column("inactive").tolist() == [0, 1, UNKNOWN]


def test_columns_are_chosen_and_dropped(tmp_path, read):
    text = "note,crack,path,dust,batch\n?,1,x.png,0,7\n!,0,y.png,1,8\n"
    table = read(
        tmp_path, text, image_column="path", drop_classes=("note", "dust"), group=GroupRule(column="batch")
    )
    assert (table.images, table.labels, table.groups) == (("x.png", "y.png"), ("crack",), ("7", "8"))
    table = read(tmp_path, text, image_column="path", label_columns=("dust", "crack"))
    assert table.labels == ("dust", "crack")
    assert table.values.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "cell", ["yes", "2", "-1", "0.5", "nan", "NA", "TRUE", "1.0", "0.0", "01", "1e0", "+1", "\u0661"]
)
def test_anything_but_0_1_blank_is_refused(tmp_path, cell, refusal):
    message = refusal(tmp_path, f"file,crack,dust\na.png,1,0\nb.png,{cell},0\n")
    assert f"column 'crack' in line 3 has {cell!r}" in message


def test_refused_cells_are_counted_and_the_first_ten_named(tmp_path, refusal):
    text = "file,crack,dust\n\n" + "".join(
        f"{row}.png,{row % 3},{'x' if row == 4 else 1}\n" for row in range(60)
    )
    message = refusal(tmp_path, text)
    assert "column 'crack' in 20 lines (5, 8, 11, 14, 17, 20, 23, 26, 29, 32 and 10 more) has '2'" in message
    assert "column 'dust' in line 7 has 'x'" in message


def test_repeated_images(tmp_path, refusal):
    message = refusal(tmp_path, "file,crack\na.png,1\nb.png,0\n./a.png,1\nb.png,1\n")
    assert "in 2 lines (4, 5)" in message
    assert "'a.png' in lines 2 and 4" in message
    assert "1 of them with conflicting labels" in message


def test_long(tmp_path, read):
    table = read(tmp_path, LONG, format="long")
    assert table.images == ("c.png", "a.png", "b.png")
    assert table.labels == ("ant", "cat", "dog")
    assert table.values.tolist() == [[1, 0, 1], [0, 1, 0], [UNKNOWN] * 3]


def test_long_drops_rows_of_classes(tmp_path, read):
    table = read(tmp_path, LONG, format="long", drop_classes=("cat", "ant"))
    assert table.images == ("c.png", "b.png")
    assert table.values.tolist() == [[1], [UNKNOWN]]


def test_long_class_column(tmp_path, read, refusal):
    text = "file,coarse,fine\na.png,animal,cat\nb.png,plant,oak\n"
    assert read(tmp_path, text, format="long", class_column="fine").labels == ("cat", "oak")
    assert "may be any of coarse, fine; set class_column" in refusal(tmp_path, text, format="long")
    table = read(tmp_path, text, format="long", group=GroupRule(column="coarse"))
    assert (table.labels, table.groups) == (("cat", "oak"), ("animal", "plant"))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("a.png,cat\nb.png,cat\na.png,cat\n", "image and class as before in line 4"),
        ("a.png,\na.png,\n", "image and class as before in line 3"),
        ("a.png,cat\na.png,\n", "no class, but another row gives the image one, in line 3"),
    ],
)
def test_long_contradictions(tmp_path, rows, reason, refusal):
    assert reason in refusal(tmp_path, "file,class\n" + rows, format="long")


def test_wrong_names_list_near_ones(tmp_path, refusal):
    assert "has no column 'crak'; did you mean crack?" in refusal(tmp_path, WIDE, label_columns=("crak",))
    assert "has no column 'fiel'; did you mean file?" in refusal(tmp_path, WIDE, image_column="fiel")
    assert "has no column 'inactiv'; did you mean inactive?" in refusal(
        tmp_path, WIDE, drop_classes=("inactiv",)
    )
    assert "no labels are left" in refusal(tmp_path, WIDE, drop_classes=("crack", "inactive"))
