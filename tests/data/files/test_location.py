from __future__ import annotations

import pytest
from zips import Entry, write_zip

from ova.data.files.location import image_root, label_file_digest
from ova.data.recipe import DatasetRecipe
from ova.digests import digest_file
from ova.errors import DataError
from ova.storage import write_json
from ova.workspace import Workspace

WIDE = DatasetRecipe(labels="data.csv", root="../images")


def test_root_is_relative_to_the_recipe_unless_located(tmp_path):
    workspace = Workspace(tmp_path / "project")
    for folder in ("project/data", "project/images", "disk"):
        (tmp_path / folder).mkdir(parents=True)
    assert image_root(workspace, WIDE).resolve() == (tmp_path / "project" / "images").resolve()
    write_json(workspace.location, {"root": str(tmp_path / "disk")})
    assert image_root(workspace, WIDE) == tmp_path / "disk"
    (tmp_path / "disk").rmdir()
    with pytest.raises(DataError, match="ova data locate"):
        image_root(workspace, WIDE)


def test_label_file_digest(tmp_path):
    assert label_file_digest(tmp_path, WIDE) is None
    assert label_file_digest(tmp_path, DatasetRecipe(format="folders")) is None
    (tmp_path / "data.csv").write_text("file,crack\n")
    first = label_file_digest(tmp_path, WIDE)
    assert first == digest_file(tmp_path / "data.csv")
    (tmp_path / "data.csv").write_text("file,dust\n")
    assert label_file_digest(tmp_path, WIDE) not in (None, first)


def test_digest_of_a_table_inside_an_archive_is_that_of_its_content(tmp_path):
    recipe = DatasetRecipe(labels="set/data.csv", archive="a.zip")
    assert label_file_digest(tmp_path, recipe) is None
    write_zip(tmp_path / "a.zip", Entry("set/data.csv", b"file,crack\n", deflate=True))
    (tmp_path / "same.csv").write_bytes(b"file,crack\n")
    assert label_file_digest(tmp_path, recipe) == digest_file(tmp_path / "same.csv")
    write_zip(tmp_path / "a.zip", Entry("set/data.csv", b"file,dust\n"))
    assert label_file_digest(tmp_path, recipe) not in (None, digest_file(tmp_path / "same.csv"))
    (tmp_path / "a.zip").write_bytes(b"no")
    assert label_file_digest(tmp_path, recipe) is None
    assert label_file_digest(tmp_path, DatasetRecipe(format="folders", archive="a.zip")) is None
    (tmp_path / "set").mkdir()
    (tmp_path / "set/data.csv").write_bytes(b"file,crack\n")
    assert label_file_digest(tmp_path, recipe) == digest_file(tmp_path / "same.csv")


def test_several_label_files_have_one_digest(tmp_path):
    for name in ("a.csv", "b.csv", "names.txt"):
        (tmp_path / name).write_text(name)
    pooled = DatasetRecipe(labels=("a.csv", "b.csv"))
    named = DatasetRecipe(labels=("a.csv", "b.csv"), label_names="names.txt")
    digests = {
        label_file_digest(tmp_path, recipe) for recipe in (pooled, named, DatasetRecipe(labels="a.csv"))
    }
    (tmp_path / "names.txt").write_text("other")
    assert len({*digests, label_file_digest(tmp_path, named)}) == 4
    (tmp_path / "names.txt").unlink()
    assert label_file_digest(tmp_path, named) is None
    assert label_file_digest(tmp_path, pooled) in digests
