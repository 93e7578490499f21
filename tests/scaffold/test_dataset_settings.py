"""`ova init` around a zip: the table beside or inside it, class folders, and the folder that it was made of."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from zips import Entry, write_zip

from ova.errors import DataError, OvaError, RecipeError
from ova.scaffold.dataset_settings import RawData
from ova.scaffold.scaffold import make_workspace


def png(seed: int = 0) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((4, 4), seed, np.uint8)).save(content, "PNG")
    return content.getvalue()


def photos(folder: Path, *names: str, **tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    entries = [Entry(name, png(number)) for number, name in enumerate(names)]
    entries += [Entry(name.replace("__", "/") + ".csv", text.encode()) for name, text in tables.items()]
    return write_zip(folder / "photos.zip", *entries)


def made(tmp_path: Path, **arguments: Any) -> dict[str, Any]:
    make_workspace(tmp_path / "made", RawData(**arguments))
    return tomllib.loads((tmp_path / "made/data/dataset.toml").read_text(encoding="utf-8"))


def refusal(kind: type[OvaError], tmp_path: Path, **arguments: Any) -> str:
    with pytest.raises(kind) as caught:
        make_workspace(tmp_path / "made", RawData(**arguments))
    assert not (tmp_path / "made").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


TABLE = "file,crack\nimages/a.png,1\nimages/b.png,0\n"


def test_a_table_beside_the_archive(tmp_path: Path) -> None:
    archive = photos(tmp_path / "x", "images/a.png", "images/b.png")
    table = tmp_path / "x/labels.csv"
    table.write_text(TABLE)
    assert made(tmp_path, images=archive, labels=[table]) == {
        "root": "../../x",
        "archive": "photos.zip",
        "labels": "labels.csv",
    }
    assert sorted(path.name for path in (tmp_path / "made").rglob("*.toml")) == [
        "all.toml", "crack.toml", "dataset.toml",
    ]  # fmt: skip


def test_a_table_in_another_folder(tmp_path: Path) -> None:
    archive = photos(tmp_path / "x", "images/a.png", "images/b.png")
    (tmp_path / "labels.csv").write_text(TABLE)
    assert made(tmp_path, images=archive, labels=[tmp_path / "labels.csv"])["labels"] == "../labels.csv"


@pytest.mark.parametrize("name", ["labels.csv", "set/labels.csv"])
def test_a_table_inside_and_the_folder_that_its_paths_start_from(tmp_path: Path, name: str) -> None:
    archive = photos(tmp_path, "set/images/a.png", "set/images/b.png", "__MACOSX/c.png", set__labels=TABLE)
    content = made(tmp_path, images=archive, labels=[Path(f"inside:{name}")])
    assert (content["labels"], content["prefix"]) == ("set/labels.csv", "set")


def test_a_table_inside_need_not_be_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = photos(tmp_path / "x", "set/images/a.png", "set/images/b.png", set__labels=TABLE)
    content = made(tmp_path, images=archive, labels=[Path("labels.csv")])
    assert (content["labels"], content["prefix"]) == ("set/labels.csv", "set")
    (tmp_path / "made").rename(tmp_path / "first")
    message = refusal(DataError, tmp_path, images=archive, labels=[Path("metadata.csv")])
    assert f"metadata.csv does not exist, and {archive} holds set/labels.csv, not" in message
    # A file of that name on disk comes first.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.csv").write_text(TABLE.replace("crack", "hole"))
    assert made(tmp_path, images=archive, labels=[Path("labels.csv")])["labels"] == "../labels.csv"


def test_paths_that_start_below_the_top(tmp_path: Path) -> None:
    archive = photos(
        tmp_path, "images/a.png", "images/b.png", "masks/a.png", labels="file,crack\na.png,1\nb.png,0\n"
    )
    assert made(tmp_path, images=archive, labels=[Path("inside:labels.csv")])["prefix"] == "images"


def test_paths_that_may_start_from_two_folders_are_refused(tmp_path: Path) -> None:
    archive = photos(tmp_path, "images/a.png", "masks/a.png", labels="file,crack\na.png,1\n")
    message = refusal(DataError, tmp_path, images=archive, labels=[Path("inside:labels.csv")])
    assert "lie below each of images, masks; give their whole paths" in message


def test_images_that_are_not_in_the_archive_are_told(tmp_path: Path) -> None:
    archive = photos(tmp_path, "p/images/a.png", labels=TABLE)
    message = refusal(DataError, tmp_path, images=archive, labels=[Path("inside:labels.csv")])
    assert f"1 of 2 images are not below {archive}: images/b.png; correct the table" in message


def test_class_folders_in_an_archive(tmp_path: Path) -> None:
    archive = photos(tmp_path, "cat/a.png", "dog/b.png")
    assert made(tmp_path, images=archive) == {"root": "../..", "archive": "photos.zip", "format": "folders"}


def test_class_folders_below_others(tmp_path: Path) -> None:
    archive = photos(
        tmp_path, "data/train/cat/a.png", "data/train/cat/old/c.png", "data/train/dog/b.png", notes="x"
    )
    content = made(tmp_path, images=archive)
    assert (content["format"], content["prefix"]) == ("folders", "data/train")


def test_images_in_one_folder_point_to_the_table(tmp_path: Path) -> None:
    archive = photos(tmp_path, "images/a.png", "images/b.png", metadata=TABLE)
    assert "no class folders; to use its table: ova init --labels inside:metadata.csv" in refusal(
        DataError, tmp_path, images=archive
    )


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    archive = photos(tmp_path, "p/a.png", p__one="x", q__one="x")
    for name, held in {"none.csv": "p/one.csv, q/one.csv", "one.csv": "p/one.csv, q/one.csv"}.items():
        message = refusal(DataError, tmp_path, images=archive, labels=[Path(f"inside:{name}")])
        assert f"holds {held}, not the one table {name!r}" in message
    assert "name the archive too" in refusal(RecipeError, tmp_path, labels=[Path("inside:a.csv")])
    assert "name the archive too" in refusal(
        RecipeError, tmp_path, labels=[Path("inside:a.csv")], images=tmp_path
    )
    assert "none.zip does not exist" in refusal(DataError, tmp_path, images=tmp_path / "none.zip")
    (tmp_path / "no.zip").write_text("no")
    assert "no.zip: is no zip archive" in refusal(DataError, tmp_path, images=tmp_path / "no.zip")
