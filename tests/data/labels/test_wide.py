from __future__ import annotations

import numpy as np
import pytest

from ova.data.labels.table import UNKNOWN, LeftOut
from ova.data.problems import Problem, RefusedData
from ova.data.recipe import GroupRule, SoftRule

WIDE = "file;crack;inactive\na/1.png;1;0\na/2.png;;1\nb/3.png; 0 ;\n"


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


def test_a_column_that_holds_no_label_at_all_is_told_apart_from_a_slip(tmp_path, refusal):
    advice = "if it is no label, name the columns that are: label_columns (ova init --label)"
    assert advice in refusal(tmp_path, "file,crack,day\na.png,1,monday\nb.png,0,friday\n")
    assert advice not in refusal(tmp_path, "file,crack,dust\na.png,1,yes\nb.png,0,0\n")


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


def test_wrong_names_list_near_ones(tmp_path, refusal):
    assert "has no column 'crak'; did you mean crack?" in refusal(tmp_path, WIDE, label_columns=("crak",))
    assert "has no column 'fiel'; did you mean file?" in refusal(tmp_path, WIDE, image_column="fiel")
    assert "has no column 'inactiv'; did you mean inactive?" in refusal(
        tmp_path, WIDE, drop_classes=("inactiv",)
    )
    assert "no labels are left" in refusal(tmp_path, WIDE, drop_classes=("crack", "inactive"))


def test_every_kind_of_problem_is_told_at_once_and_every_row_once(tmp_path, read):
    text = "file,crack,dust\na.png,1,2\nb.png,0\n../c.png,0,0\na.png,0,0\nd.png,x,0.5\nA.png,0,0\n"
    with pytest.raises(RefusedData) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    for reason in [
        "not the 3 cells of the header in line 3",
        "column 'file' in line 4: the image path '../c.png' leaves the image root",
        "column 'crack' in line 6 has 'x'",
        "column 'dust' in 2 lines (2, 6) has '2', '0.5'",
        "an image of an earlier row again in line 5",
        "1 image names differ from another by case only",
    ]:
        assert reason in message
    name = str(tmp_path / "labels.csv")
    assert sorted(caught.value.problems) == sorted(
        [
            Problem("b.png", "2 cells, the header has 3", f"{name}:3"),
            Problem(
                "../c.png",
                "the image path '../c.png' leaves the image root; give a path relative to it",
                f"{name}:4",
            ),
            Problem("a.png", "column 'dust' has '2'", f"{name}:2"),
            Problem("d.png", "column 'crack' has 'x'", f"{name}:6"),
            Problem("d.png", "column 'dust' has '0.5'", f"{name}:6"),
            Problem("a.png", f"conflicting labels in {name}:2", f"{name}:5"),
            Problem("A.png", "differs from 'a.png' by case only", f"{name}:7"),
        ]
    )


def test_rows_without_any_label_are_left_out_and_counted(tmp_path, read):
    table = read(tmp_path, "file,crack,dust\na.png,1,\nb.png,,\nc.png, ,0\nd.png,,  \n")
    assert table.images == ("a.png", "c.png")
    assert table.values.tolist() == [[1, UNKNOWN], [UNKNOWN, 0]]
    assert table.left_out == (LeftOut("without any label", 2, 4),)
    assert table.lines() == ["images: 2, rows: 4", "left out 2 of 4 images (50.0%): without any label"]
    assert table.groups is table.images


def test_all_rows_without_a_label(tmp_path, refusal):
    assert "no image is left: 2 of 2 images (100.0%): without any label" in refusal(
        tmp_path, "file,crack\na.png,\nb.png,\n"
    )


def test_dropped_columns_are_reported_and_need_not_be_labels(tmp_path, read):
    text = "file,crack,dust,note\na.png,1,1,x\nb.png,0,1,y\nc.png,,0,z\n"
    table = read(tmp_path, text, drop_classes=("dust", "note"))
    assert (table.labels, table.images) == (("crack",), ("a.png", "b.png"))
    assert table.left_out == (
        LeftOut("positives of the dropped class 'dust'", 2, 3, "entries"),
        LeftOut("without any label", 1, 3),
    )


# Numbers between 0 and 1

SOFT = SoftRule(positive_from=0.6, negative_to=0.4)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1),
        ("0", 0),
        ("", UNKNOWN),
        (" 0.667 ", 1),
        ("0,667", 1),
        ("0.6", 1),
        ("0.59999", UNKNOWN),
        ("0.5", UNKNOWN),
        ("0.40001", UNKNOWN),
        (".4", 0),
        ("0,33", 0),
        ("1.0", 1),
        ("1.", 1),
        ("0.0", 0),
        ("6e-1", 1),
        ("1E-05", 0),
    ],
)
def test_soft_labels_where_the_dataset_says_so(tmp_path, read, cell, value):
    table = read(tmp_path, f"file;crack\na.png;{cell}\nb.png;0\nc.png;1\n", soft=SOFT)
    found = dict(zip(table.images, table.values[:, 0].tolist(), strict=True))
    assert found.get("a.png", UNKNOWN) == value


@pytest.mark.parametrize(
    "cell",
    ["1.01", "-0.1", "2", "nan", "inf", "1e3", "0.5.5", "0,5,5", "½", "\u0660", "yes", "0x1", "1_0", "+0.5"],
)
def test_soft_labels_are_numbers_from_0_to_1(tmp_path, refusal, cell):
    message = refusal(tmp_path, f"file;crack\na.png;{cell}\nb.png;0\n", soft=SOFT)
    assert f"in line 2 has {cell!r}; a label is a number from 0 to 1, or blank (unknown)" in message


@pytest.mark.parametrize("cell", ["0.667", "0,667", "1.0", "1e-1"])
def test_soft_labels_without_a_rule_name_it(tmp_path, refusal, cell):
    message = refusal(tmp_path, f"file;crack\na.png;{cell}\nb.png;0\n")
    assert "numbers between 0 and 1 need [soft] in dataset.toml" in message
    assert "[soft]" not in refusal(tmp_path, "file;crack\na.png;2\n")


# Names for the codes in the header


def test_columns_are_given_names(tmp_path, read, refusal):
    (tmp_path / "names.csv").write_text("code;label\n1;dust\n0;crack\n")
    text = "file;0;1\na.png;1;0\nb.png;0;1\n"
    table = read(tmp_path, text, label_names="names.csv")
    assert table.labels == ("crack", "dust")
    assert read(tmp_path, text, label_names="names.csv", drop_classes=("dust",)).labels == ("crack",)
    message = refusal(tmp_path, "file;0;7\na.png;1;0\n", label_names="names.csv")
    assert "label_names has no name for the columns '7'" in message
