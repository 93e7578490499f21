"""Names that lead out of the data: in cells of a table, in a zip, and as links.

A canary folder with a sound image lies beside the data. Whatever the name: the image is refused by name, nothing
outside the data is opened, and the canary stays as it was.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from zips import Entry, write_zip

from ova.data.files.find import open_files
from ova.data.files.image_files import FolderFiles
from ova.data.files.zip_files import ZipFiles
from ova.data.images.intake import UnreadableImages, examine_images
from ova.data.labels.read import read_label_table
from ova.data.paths import safe_relative
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError
from ova.scaffold.dataset_settings import RawData
from ova.scaffold.scaffold import make_workspace

# {canary} is the absolute path of the canary folder.
CLIMBING = [
    "../canary/secret.png", "../../canary/secret.png", "./../canary/secret.png", "images/../../canary/secret.png",
    "images/./../../canary/secret.png", "images//..//../canary/secret.png", "..", "../", "images/..", "images/../..",
    "../data/../canary/secret.png", "../" * 40 + "etc/passwd", "..\\canary\\secret.png", "images\\..\\..\\canary\\secret.png",
    "..\\../canary/secret.png", "images/..\\../canary/secret.png", ".\\..\\canary\\secret.png", "..\\",
]  # fmt: skip
ABSOLUTE = [
    "{canary}/secret.png", "/{canary}/secret.png", "//{canary}/secret.png", "/etc/passwd", "/", "//", "\\etc\\passwd",
    "\\\\server\\share\\secret.png", "//server/share/secret.png", "\\\\?\\C:\\secret.png", "\\\\.\\PhysicalDrive0",
    "C:\\secret.png", "C:/secret.png", "C:secret.png", "c:..\\secret.png", "Z:", "./C:/secret.png", "/proc/self/environ",
    "/dev/zero", "/dev/stdin",
]  # fmt: skip
DEVICES = [
    "NUL", "nul.png", "images/CON", "images/con.png", "AUX.tar.png", "prn ", "COM1", "com9.jpg", "LPT1.png",
    "images/lpt\u00b3.png", "CONIN$", "conout$.png", "COM\u00b9.png", "aux/secret.png", "NUL:secret.png",
]  # fmt: skip
BROKEN = [
    "", ".", "./", "a\0.png", "../canary/secret.png\0.png", "a\n../canary/secret.png", "a\r.png", "\x1b]0;x\x07.png",
    "a\u2028.png", "a\x85.png", "\x7f.png",
]  # fmt: skip
# Not decoded, expanded or looked up anywhere: files of these names do not exist, and an archive may hold them.
LITERAL = [
    "%2e%2e/canary/secret.png", "%2e%2e%2fcanary%2fsecret.png", "..%5ccanary%5csecret.png", "~/secret.png", "$HOME/x.png",
    "`id`.png", "$(id).png", "|id", "-rf", "file:///etc/passwd", "http://127.0.0.1:9/x.png", "zip:///x.zip/x.png",
    "a.zip/x.png", "...", ".../x.png", "\uff0e\uff0e/canary/secret.png", "\u2025/canary/secret.png", "..;/canary/secret.png",
    "*.png", "a" * 300, "a/" * 2000 + "x.png", "=cmd|' /C calc'!A0", "\u202egnp.x",
]  # fmt: skip
REFUSED = CLIMBING + ABSOLUTE + DEVICES + BROKEN


def short(name: str) -> str:
    return ascii(name)[:40]


def png(value: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.full((3, 3), value, np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder `data` with one image, and beside it a canary that nothing may touch."""
    base = tmp_path_factory.mktemp("place")
    for folder in ("canary", "data/images"):
        (base / folder).mkdir(parents=True)
    (base / "canary/secret.png").write_bytes(png(1))
    (base / "data/images/sound.png").write_bytes(png(2))
    return base


@pytest.fixture
def untouched(place, watch_opens, digest_folder):
    """Whatever the test does: nothing outside `data` is opened, and the canary stays."""
    before = digest_folder(place / "canary")
    with watch_opens(place / "data") as outside:
        yield
    assert outside == []
    assert digest_folder(place / "canary") == before
    assert sorted(path.name for path in place.iterdir()) == ["canary", "data"]


def refusal_of_image(files: FolderFiles | ZipFiles, images: list[str]) -> str:
    """Every image but sound.png is refused, and none of them reaches a store."""
    seen: list[int] = []
    with pytest.raises(UnreadableImages) as caught:
        examine_images(files, images, pixel_measures=[lambda index, _: seen.append(index)], workers=1)
    assert [image for image, _ in caught.value.problems] == [name for name in images if "sound" not in name]
    assert [images[index] for index in seen] == [name for name in images if "sound" in name]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def as_cell(text: str) -> str:
    target = io.StringIO()
    csv.writer(target).writerow([text, 1])
    return target.getvalue()


def test_there_are_many_names():
    assert len(set(REFUSED)) >= 60


@pytest.mark.parametrize("name", [*REFUSED, *LITERAL], ids=short)
def test_in_a_cell_of_a_table(place, untouched, name):
    root = place / "data"
    text = name.replace("{canary}", str(place / "canary"))
    (root / "labels.csv").write_bytes(f"file,crack\nimages/sound.png,1\n{as_cell(text)}".encode())
    recipe = DatasetRecipe(labels="labels.csv", delimiter=",")
    if name in LITERAL:
        images = list(read_label_table(recipe, root).images)
        assert "1 of 2 images" in refusal_of_image(FolderFiles(root), images)
        return
    with pytest.raises(DataError, match=r"labels\.csv: ") as caught:
        read_label_table(recipe, root)
    assert "line 3" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*REFUSED, *LITERAL], ids=short)
def test_past_the_table(place, untouched, name):
    """The readers of files trust no table."""
    root = place / "data"
    text = name.replace("{canary}", str(place / "canary"))
    for files in (FolderFiles(root), zip_of(root / "sound.zip", "images/sound.png")):
        with pytest.raises(DataError):
            files.read(text)


def zip_of(path: Path, *names: str, attributes: int = 0o100644) -> ZipFiles:
    """An archive whose entries are all sound images but for their names."""
    return ZipFiles(write_zip(path, *(Entry(name, png(3), attributes=attributes << 16) for name in names)))


@pytest.mark.parametrize("name", REFUSED, ids=short)
def test_in_a_zip(place, untouched, name):
    root = place / "data"
    text = name.replace("{canary}", str(place / "canary")) or "/"
    zip_of(root / "a.zip", "images/sound.png", text)
    if text in ("./",):  # an entry for the top itself, which some tools write, is left out
        assert ZipFiles(root / "a.zip").archive.folders == []
        return
    with pytest.raises(DataError, match=r"a\.zip: 1 entry with a name that is refused \(") as caught:
        open_files(DatasetRecipe(format="folders", archive="a.zip"), root)
    assert repr(text) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LITERAL, ids=short)
def test_in_a_zip_where_they_mean_nothing(place, untouched, name):
    files = zip_of(place / "data/a.zip", name)
    assert files.read(safe_relative(name)) == png(3)


@pytest.mark.parametrize("kind", [0o120777, 0o020644, 0o060644, 0o010644, 0o140644])
def test_links_and_devices_in_a_zip(place, untouched, kind):
    entry = Entry("link.png", str(place / "canary/secret.png").encode(), attributes=kind << 16)
    files = ZipFiles(write_zip(place / "data/a.zip", entry, Entry("sound.png", png(3))))
    reason = "symbolic link" if kind == 0o120777 else "not a regular file"
    assert reason in refusal_of_image(files, ["link.png", "sound.png"])


@pytest.fixture
def linked(place, request):
    """A link in the data folder that leads to ..."""
    link, target = place / "data/link", request.param.replace("{place}", str(place))
    (place / "data/first").symlink_to(place / "canary")
    link.symlink_to(target)
    yield link
    link.unlink()
    (place / "data/first").unlink()


@pytest.mark.parametrize(
    ("linked", "image"),
    [
        ("{place}/canary/secret.png", "link"),
        ("../canary/secret.png", "link"),
        ("{place}/canary", "link/secret.png"),
        ("..", "link/canary/secret.png"),
        ("/", "link/etc/passwd"),
        ("/etc/passwd", "link"),
        ("/dev/zero", "link"),
        ("/proc/self/environ", "link"),
        ("first", "link/secret.png"),
        ("first/secret.png", "link"),
        ("images/../../canary/secret.png", "link"),
        ("link", "link"),
        ("link/link", "link/link/x.png"),
        ("images", "link"),
        ("none", "link"),
    ],
    indirect=["linked"],
)
def test_links(place, untouched, linked, image):
    message = refusal_of_image(FolderFiles(place / "data"), [image, "images/sound.png"])
    assert f"{place / 'data' / image}: " in message


def test_class_folders_that_are_links(place, untouched):
    link = place / "data/cat"
    link.symlink_to(place / "canary")
    try:
        table = read_label_table(DatasetRecipe(format="folders"), place / "data")
        assert table.images == ("cat/secret.png", "images/sound.png")
        assert "link out of the image root" in refusal_of_image(
            FolderFiles(place / "data"), list(table.images)
        )
    finally:
        link.unlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_not_waited_for(place, untouched):
    pipe = place / "data/pipe.png"
    os.mkfifo(pipe)
    try:
        assert "not a regular file" in refusal_of_image(
            FolderFiles(place / "data"), ["pipe.png", "images/sound.png"]
        )
    finally:
        pipe.unlink()


PARTS = st.lists(
    st.sampled_from(["..", ".", "", "images", "canary", "data", "secret.png", "sound.png", "first", "second", "C:", "NUL"]),
    max_size=7,
)  # fmt: skip


@given(PARTS, st.sampled_from(["/", "\\"]), PARTS, st.booleans())
def test_nothing_outside_is_opened_by_any_name_through_any_link(
    place, watch_opens, digest_folder, parts, sign, target, zipped
):
    root, before = place / "data", digest_folder(place / "canary")
    name, second = sign.join(parts), "/".join(target) or "."
    links = {"first": place / "canary", "second": second}
    for link, to in links.items():
        (root / link).symlink_to(to)
    try:
        with watch_opens(root) as outside:
            files = zip_of(root / "a.zip", name or "x", "images/sound.png") if zipped else FolderFiles(root)
            try:
                content = files.read(name)
            except DataError as error:
                assert "\n" not in str(error)  # noqa: PT017
            else:
                assert content in (png(2), png(3))
        assert outside == []
    finally:
        for link in links:
            (root / link).unlink()
    assert digest_folder(place / "canary") == before


def test_the_watch_sees_what_is_opened(place, watch_opens):
    with watch_opens(place / "data") as outside:
        (place / "data/images/sound.png").read_bytes()
        (place / "canary/secret.png").read_bytes()
    assert outside == [str((place / "canary/secret.png").resolve())]


def test_labels_become_no_paths(place, untouched):
    root = place / "data"
    names = sorted({name for name in REFUSED + LITERAL if name.isprintable() and name.strip()})
    with (root / "long.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("file", "class"), *(("images/sound.png", name) for name in names)])
    made = make_workspace(root / "made", RawData(labels=[root / "long.csv"], class_columns=["class"]))
    assert len(made.files) > len(names)
    assert all(path.resolve().is_relative_to((root / "made").resolve()) for path in made.files)
    assert all(len(path.name) < 100 and path.stem not in ("nul", "com1") for path in made.files)
