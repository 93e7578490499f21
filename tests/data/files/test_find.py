from __future__ import annotations

import pytest
from zips import Entry, write_zip

from ova.data.files.find import find_table, open_files
from ova.data.files.image_files import FolderFiles
from ova.data.files.zip_files import ZipFiles
from ova.data.labels.read import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError, RecipeError
from ova.recipes import check_recipe


def test_the_recipe_says_where_the_images_lie(tmp_path):
    assert open_files(DatasetRecipe(labels="a.csv"), tmp_path) == FolderFiles(tmp_path)
    recipe = DatasetRecipe(labels="a.csv", archive="sub/a.zip", prefix="p")
    with pytest.raises(DataError, match=r"sub/a\.zip: is missing"):
        open_files(recipe, tmp_path)
    (tmp_path / "sub").mkdir()
    write_zip(tmp_path / "sub/a.zip", Entry("p/a"))
    files = open_files(recipe, tmp_path)
    assert isinstance(files, ZipFiles)
    assert files.holds("a")
    with pytest.raises(RecipeError, match="prefix is for an archive only"):
        check_recipe({"labels": "a.csv", "prefix": "p"}, DatasetRecipe, "dataset.toml")


def test_table_lies_beside_the_archive_or_inside(tmp_path):
    write_zip(
        tmp_path / "a.zip", Entry("labels.csv", b"inside"), Entry("d/deep.csv", b"deep"), Entry("x.png")
    )
    files = ZipFiles(tmp_path / "a.zip")

    def found(name):
        table = find_table(files, tmp_path, name)
        with table.open() as file:
            return table.name, file.read()

    assert found("labels.csv") == (f"{tmp_path / 'a.zip'}: labels.csv", b"inside")
    assert found("./d/deep.csv")[1] == b"deep"
    (tmp_path / "labels.csv").write_text("beside")
    assert found("labels.csv") == (str(tmp_path / "labels.csv"), b"beside")
    with pytest.raises(DataError) as caught:
        find_table(files, tmp_path, "none.csv")
    assert f"{tmp_path / 'none.csv'}: is missing, and {tmp_path / 'a.zip'} does not hold" in str(caught.value)
    assert "'none.csv' either, only d/deep.csv, labels.csv; correct labels" in str(caught.value)
    assert find_table(FolderFiles(tmp_path), tmp_path, "none.csv").name == str(tmp_path / "none.csv")


def test_errors_in_a_table_inside_name_archive_table_and_line(tmp_path):
    write_zip(tmp_path / "a.zip", Entry("t.csv", b"file,crack\na.png,1\nb.png,2\n"), Entry("a.png"))
    with pytest.raises(DataError, match=r"a\.zip: t\.csv: .*'crack'.*line.* 3 has '2'"):
        read_label_table(DatasetRecipe(labels="t.csv", archive="a.zip"), tmp_path)
