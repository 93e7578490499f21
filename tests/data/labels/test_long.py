from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.labels.table import UNKNOWN, LeftOut
from ova.data.problems import Problem, RefusedData
from ova.data.recipe import GroupRule

LONG = "file,class\nc.png,dog\na.png,cat\nc.png,ant\nb.png,\n"
TAXA = (
    "file,kingdom,species\na.png,animal,cat\na.png,animal,dog\nb.png,plant,\nc.png,,oak\nd.png,,\n"
    "e.png,plant,oak\n"
)


def values(table) -> dict[str, dict[str, int]]:
    return {
        image: dict(zip(table.labels, row, strict=True))
        for image, row in zip(table.images, table.values.tolist(), strict=True)
    }


def test_long(tmp_path, read):
    table = read(tmp_path, LONG, format="long")
    assert table.images == ("c.png", "a.png")
    assert table.labels == ("ant", "cat", "dog")
    assert table.values.tolist() == [[1, 0, 1], [0, 1, 0]]
    assert (table.rows, table.left_out) == (4, (LeftOut("without any label", 1, 3),))


def test_long_drops_rows_of_classes(tmp_path, read):
    table = read(tmp_path, LONG, format="long", drop_classes=("cat", "ant"))
    assert table.images == ("c.png",)
    assert table.values.tolist() == [[1]]
    assert table.left_out == (
        LeftOut("of dropped classes (ant, cat)", 2, 4, "rows"),
        LeftOut("of dropped classes only", 1, 3),
        LeftOut("without any label", 1, 2),
    )


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
        ("a.png,cat\nb.png,cat\na.png, cat\n", "image and class as before in line 4"),
        ("a.png,\na.png,\n", "image and class as before in line 3"),
        ("a.png,cat\na.png,\n", "no class, but another row gives the image one, in line 3"),
    ],
)
def test_long_contradictions(tmp_path, rows, reason, refusal):
    assert reason in refusal(tmp_path, "file,class\n" + rows, format="long")


def test_a_number_column_is_no_class_column(tmp_path, refusal):
    rows = "".join(f"{number}.png,{number}\n" for number in range(4_097))
    assert "column 'area' has 4,097 classes, the limit is 4,096" in refusal(
        tmp_path, "file,area\n" + rows, format="long"
    )


# Several sets of labels


def test_sets_of_labels_stand_beside_each_other(tmp_path, read):
    table = read(tmp_path, TAXA, format="long", class_column=("species", "kingdom"))
    assert table.labels == ("species/cat", "species/dog", "species/oak", "kingdom/animal", "kingdom/plant")
    known = values(table)
    assert known.keys() == {"a.png", "b.png", "c.png", "e.png"}
    assert list(known["a.png"].values()) == [1, 1, 0, 1, 0]
    assert list(known["b.png"].values()) == [UNKNOWN] * 3 + [0, 1]
    assert list(known["c.png"].values()) == [0, 0, 1] + [UNKNOWN] * 2
    assert list(known["e.png"].values()) == [0, 0, 1, 0, 1]


def test_each_set_has_the_labels_that_it_has_alone(tmp_path, read):
    text = "file,kingdom,species\na,animal,cat\nb,plant,oak\nc,,fir\nd,fungus,\ne,plant,oak\n"
    both = values(read(tmp_path, text, format="long", class_column=("kingdom", "species")))
    for column in ("kingdom", "species"):
        for image, row in values(read(tmp_path, text, format="long", class_column=column)).items():
            assert {label: both[image][f"{column}/{label}"] for label in row} == row


def test_a_class_is_dropped_in_its_set_only(tmp_path, read):
    table = read(
        tmp_path, TAXA, format="long", class_column=("kingdom", "species"), drop_classes=("species/oak",)
    )
    known = values(table)
    assert table.labels == ("kingdom/animal", "kingdom/plant", "species/cat", "species/dog")
    assert known.keys() == {"a.png", "b.png", "e.png"}
    assert list(known["e.png"].values()) == [0, 1, UNKNOWN, UNKNOWN]


def test_rows_of_several_sets_repeat_only_as_a_whole(tmp_path, refusal):
    text = "file,kingdom,species\na,animal,cat\na,animal,dog\na,animal,cat\n"
    message = refusal(tmp_path, text, format="long", class_column=("kingdom", "species"))
    assert "image and class as before in line 4" in message
    text = "file,kingdom,species\na,animal,cat\na,,dog\n"
    message = refusal(tmp_path, text, format="long", class_column=("kingdom", "species"))
    assert "no class, but another row gives the image one, in line 3" in message


# Codes


def test_codes_get_their_names(tmp_path, read):
    text = "file,kingdom,species\na,0,1\nb,1,2\nc,,0\n"
    (tmp_path / "kingdom.csv").write_text("code,name\n1,plant\n0,animal\n")
    (tmp_path / "species.txt").write_text("fir\ncat\noak, red\n")
    files = {"kingdom": "kingdom.csv", "species": "species.txt"}
    table = read(tmp_path, text, format="long", class_column=("kingdom", "species"), label_names=files)
    assert table.labels == (
        "kingdom/animal",
        "kingdom/plant",
        "species/cat",
        "species/fir",
        "species/oak, red",
    )
    assert list(values(table)["b"].values()) == [0, 1, 0, 0, 1]
    table = read(
        tmp_path,
        text,
        format="long",
        class_column="species",
        label_names="species.txt",
        drop_classes=("fir",),
    )
    assert table.labels == ("cat", "oak, red")


def test_unknown_codes_are_refused_with_their_rows(tmp_path, read, refusal):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    text = "file,class\na,0\nb,2\nc,1\nd,two\ne,2\n"
    message = refusal(tmp_path, text, format="long", label_names="names.txt")
    assert "in 3 lines (3, 5, 6) has codes that label_names does not name: '2', 'two'" in message
    with pytest.raises(RefusedData) as caught:
        read(tmp_path, text, format="long", label_names="names.txt")
    assert Problem("d", "no name for the code 'two'", f"{tmp_path / 'labels.csv'}:5") in caught.value.problems


# Against a plain reading


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "x", "y", "z"])), min_size=1, max_size=12
    )
)
def test_it_agrees_with_a_plain_reading(tmp_path_factory, read, pairs):
    classes: dict[str, set[str]] = {}
    for image, name in pairs:
        classes.setdefault(image, set()).add(name)
    sound = len(set(pairs)) == len(pairs) and not any(
        "" in names and len(names) > 1 for names in classes.values()
    )
    folder = tmp_path_factory.mktemp("long")
    text = "file,class\n" + "".join(f"{image},{name}\n" for image, name in pairs)
    labels = sorted({name for _, name in pairs if name})
    if not sound or not labels:
        with pytest.raises(Exception, match=r"as before|no class, but|no labels are left"):
            read(folder, text, format="long")
        return
    table = read(folder, text, format="long")
    expected = {
        image: {label: int(label in names) for label in labels}
        for image, names in classes.items()
        if names != {""}
    }
    assert values(table) == expected
