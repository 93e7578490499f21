from __future__ import annotations

import pytest
from zips import Entry, write_zip

from ova.data.files.image_files import FolderFiles
from ova.data.files.zip_files import ZipFiles
from ova.data.labels.presence import look_for
from ova.data.labels.read import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.data.tables.texts import Texts
from ova.errors import DataError

NAMES = ["a.png", "x/b.JPG", "x/c.png", "x/y/d.png", "x/notes.txt", "x/.hidden.png", "z/e.png", "x/f.tif"]


@pytest.fixture(params=["folder", "zip"])
def files(request, tmp_path):
    if request.param == "zip":
        return ZipFiles(write_zip(tmp_path / "a.zip", *(Entry(f"set/{name}") for name in NAMES)), "set")
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return FolderFiles(tmp_path)


def test_missing_and_unnamed(files):
    images = Texts.of(["x/b.JPG", "x/none.png", "x/f.tif", "none/a.png", "a.png", "x/" + "n" * 300])
    presence = look_for(images, files)
    assert presence.missing.tolist() == [1, 3, 5]
    assert presence.unnamed == 1
    assert presence.twins == {}


def test_names_that_are_nearly_there(files):
    presence = look_for(Texts.of(["A.PNG", "x/B.jpg", "X/c.png"]), files)
    assert presence.missing.tolist() == [0, 1, 2]
    assert presence.twins == {"A.PNG": "a.png", "x/B.jpg": "x/b.JPG", "X/c.png": "x/c.png"}


def test_nothing_is_listed_in_a_folder_outside(tmp_path):
    for name in ("data", "canary"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "canary")
    files = FolderFiles(tmp_path / "data")
    assert list(files.names("link")) == list(files.names("..")) == []
    assert look_for(Texts.of(["link/b.png", "a.png"]), files).unnamed == 0


def test_the_advice_is_that_of_where_the_images_lie(tmp_path):
    write_zip(tmp_path / "a.zip", Entry("set/a.png"), Entry("set/b.png"))
    (tmp_path / "t.csv").write_text("file,crack\na.png,1\nb.png,0\n")
    with pytest.raises(DataError) as caught:
        read_label_table(DatasetRecipe(labels="t.csv", archive="a.zip"), tmp_path, look=True)
    message = str(caught.value)
    assert f"2 of 2 images are not below {tmp_path / 'a.zip'}: a.png, b.png; correct the table, " in message
    assert 'set prefix = "set" in dataset.toml, or set allow_missing' in message
    table = read_label_table(
        DatasetRecipe(labels="t.csv", archive="a.zip", prefix="set"), tmp_path, look=True
    )
    assert table.images == ("a.png", "b.png")
