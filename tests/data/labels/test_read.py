from __future__ import annotations

import pytest

from ova.data.labels.read import read_label_table
from ova.data.recipe import DatasetRecipe, GroupRule
from ova.errors import DataError


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
