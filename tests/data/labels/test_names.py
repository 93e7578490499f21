from __future__ import annotations

import pytest

from ova.data.labels.names import read_label_names
from ova.data.tables.reader import TableFile
from ova.errors import DataError


@pytest.fixture
def names(tmp_path):
    def read(file, content):
        (tmp_path / file).write_bytes(content.encode())
        return read_label_names(TableFile.at(tmp_path / file))

    return read


def test_a_table_of_code_and_name(names):
    assert names("n.csv", "ClassId,SignName\n0,Speed limit\n007,Stop\nNA, None \n") == {
        "0": "Speed limit",
        "007": "Stop",
        "NA": "None",
    }
    assert names("n.tsv", "code\tname\n1\tgröße, m\n") == {"1": "größe, m"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n\n"])
def test_a_name_per_line(names, end, last):
    text = "great white shark, white shark\n00123\nNA".replace("\n", end) + last
    assert names("N.TXT", text) == {"0": "great white shark, white shark", "1": "00123", "2": "NA"}
    assert names("coco.names", text)["2"] == "NA"


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("n.csv", "code,name\n0,a\n0,b\n", "a code twice: '0'"),
        ("n.csv", "code,name\n0,a\n1,a\n", "a name twice: 'a'"),
        ("n.csv", "code,name\n0,\n", "name 1 is blank"),
        ("n.csv", "code,name\n0,a\n,b\n", "code 2 is blank"),
        ("n.csv", "code,name,note\n0,a,b\n", "has 3 columns"),
        ("n.csv", "code,name\n0,a,b\n", "not two cells in line 2; quote"),
        ("n.csv", "cat\ndog\n", "no delimiter in line 1"),
        ("n.csv", "code,name\n", "has no names"),
        ("n.txt", "", "has no names"),
        ("n.txt", "\n\n", "has no names"),
        ("n.txt", "a\n\nb\n", "name 2 is blank"),
        ("n.txt", "a\nb\na\n", "a name twice: 'a'"),
        ("n.txt", "a\0\n", "line 1 has a NUL byte"),
        ("n.txt", "".join(f"{number}\n" for number in range(65_537)), "more than 65,536 names"),
    ],
)
def test_refused(names, file, content, reason):
    with pytest.raises(DataError) as caught:
        names(file, content)
    assert reason in str(caught.value)
    assert file in str(caught.value)


def test_missing(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        read_label_names(TableFile.at(tmp_path / "none.txt"))


def test_folders_that_are_codes(tmp_path):
    from ova.data.labels.read import read_label_table
    from ova.data.recipe import DatasetRecipe

    for code in ("n01440764", "n01443537"):
        (tmp_path / code).mkdir()
        (tmp_path / code / "1.png").touch()
    (tmp_path / "synsets.csv").write_text("synset,name\nn01443537,goldfish\nn01440764,tench\n")
    recipe = DatasetRecipe(format="folders", label_names="synsets.csv")
    assert read_label_table(recipe, tmp_path).labels == ("tench", "goldfish")
    (tmp_path / "synsets.csv").write_text("synset,name\nn01443537,goldfish\n")
    with pytest.raises(DataError, match="no name for the folders 'n01440764'"):
        read_label_table(recipe, tmp_path)
