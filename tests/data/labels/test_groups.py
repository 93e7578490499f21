from __future__ import annotations

import pytest

from ova.data.problems import Problem, RefusedData
from ova.data.recipe import GroupRule

MODULE = GroupRule(column="module")


def test_group_pattern(tmp_path, read, refusal):
    text = "file,crack\nm1_a.png,1\nm1_b.png,0\nm2_a.png,0\n"
    assert read(tmp_path, text, group=GroupRule(pattern=r"^(m\d+)_")).groups == ("m1", "m1", "m2")
    assert read(tmp_path, text, group=GroupRule(pattern=r"m\d")).groups == ("m1", "m1", "m2")
    assert read(tmp_path, text, group=GroupRule(pattern=r"^(x)?m(\d)_(.)")).groups == ("1a", "1b", "2a")
    message = refusal(tmp_path, text, group=GroupRule(pattern=r"m1(_a)?"))
    assert "group.pattern finds nothing in 2 images: m1_b.png, m2_a.png" in message


def test_group_column(tmp_path, read):
    table = read(tmp_path, "file,crack,module\na,1,00123\nb,0,NA\nc,,x\nd,1,00123\n", group=MODULE)
    assert (table.images, table.groups) == (("a", "b", "d"), ("00123", "NA", "00123"))
    rows = "file,class,module\na.png,cat,1\nb.png,dog,2\na.png,dog,2\n"
    kept = read(tmp_path, rows, format="long", group=MODULE, drop_classes=("dog",))
    assert (kept.images, kept.groups) == (("a.png",), ("1",))
    kept = read(
        tmp_path, rows.replace("dog,2\n", "dog, \n"), format="long", group=MODULE, drop_classes=("dog",)
    )
    assert kept.groups == ("1",)


def test_blank_and_second_groups_are_refused_row_by_row(tmp_path, read):
    rows = "file,class,module\na,cat,1\nb,dog, \na,dog,2\nc,dog,3\nc,cat,3\n"
    with pytest.raises(RefusedData) as caught:
        read(tmp_path, rows, format="long", group=MODULE)
    name = tmp_path / "labels.csv"
    assert caught.value.problems == [
        Problem("b", "column 'module' is blank", f"{name}:3"),
        Problem("a", "column 'module' gives the image a second group", f"{name}:4"),
    ]
    assert "column 'module' is blank in line 3; name every group" in str(caught.value)
    assert "an image in a second group in line 4" in str(caught.value)


def test_a_group_column_may_be_a_label_too(tmp_path, read):
    text = "file,crack,module\na,1,1\nb,0,0\n"
    table = read(tmp_path, text, group=MODULE, label_columns=("crack", "module"))
    assert (table.labels, table.groups) == (("crack", "module"), ("1", "0"))
