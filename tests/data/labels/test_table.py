from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.paths import inside_root, safe_relative
from ova.data.recipe import GroupRule
from ova.errors import DataError

WIDE = "file;crack;inactive\na/1.png;1;0\na/2.png;;1\nb/3.png; 0 ;\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "/",
        "//",
        "/etc/passwd",
        "../a.png",
        "a/../../b.png",
        "a/..",
        "..\\a.png",
        "a\\..\\..\\b.png",
        "\\a.png",
        "\\\\server\\share\\a.png",
        "C:\\a.png",
        "c:/a.png",
        "C:a.png",
        "a\0.png",
        ".\\..\\a.png",
        "./C:a.png",
        "./..",
        "a/./../b.png",
        "aux/a.png",
        "a/NUL",
        "a\\Com1.png",
        "lpt\xb2.tar.gz",
        "con .txt",
        "conin$",
        "prn:a.png",
        "a\nb.png",
        "\x1b[2Ja.png",
        "a\u2028b.png",
        "a\x7f",
        "a\x85",
    ],
)
def test_hostile_paths_are_refused(tmp_path, text, refusal):
    with pytest.raises(DataError, match="image path"):
        safe_relative(text)
    if text and text.isprintable():
        assert "column 'file' in line 3: the image path" in refusal(
            tmp_path, f"file,crack\nok.png,1\n{text},0\n"
        )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.png", "a.png"),
        ("a\\b\\c.png", "a/b/c.png"),
        ("./a//b.png", "a/b.png"),
        ("..a/b..png", "..a/b..png"),
        ("a/...png", "a/...png"),
        (" a.png ", " a.png "),
        ("ab:c.png", "ab:c.png"),
        ("console/auxiliary.png", "console/auxiliary.png"),
        ("com/com10.png", "com/com10.png"),
        ("a/null/lpt.png", "a/null/lpt.png"),
        ("größe/裂\xa0.png", "größe/裂\xa0.png"),
    ],
)
def test_harmless_paths(text, path):
    assert safe_relative(text) == path


@given(
    st.lists(st.sampled_from(["..", ".", "", "/", "\\", "a", "C:", "\0", "b.png", ":"]), max_size=8).map(
        "".join
    )
)
@settings(max_examples=300, deadline=None)
def test_a_path_never_leaves_the_root(tmp_path_factory, text):
    root = tmp_path_factory.getbasetemp()
    try:
        path = safe_relative(text)
    except DataError:
        return
    assert (root / path).resolve().is_relative_to(root.resolve())
    assert (root / path).resolve() != root.resolve()
    assert safe_relative(path) == path


def test_subset(tmp_path, read):
    table = read(tmp_path, WIDE, group=GroupRule(pattern="^."))
    some = table.subset(np.array([2, 0]))
    assert (some.images, some.groups, some.labels) == (("b/3.png", "a/1.png"), ("b", "a"), table.labels)
    assert some.values.tolist() == [[0, UNKNOWN], [1, 0]]


def test_digest_sees_content_and_not_column_order(tmp_path, read):
    table = read(tmp_path, WIDE)
    same = LabelTable(table.images, table.labels[::-1], table.values[:, ::-1], table.groups)
    assert same.digest() == table.digest()
    changed = table.values.copy()
    changed[0, 0] = 0
    others = [
        LabelTable(table.images, table.labels, changed, table.groups),
        LabelTable(table.images, table.labels[::-1], table.values, table.groups),
        LabelTable(table.images, table.labels, table.values, ("g",) * 3),
        LabelTable(("x", *table.images[1:]), table.labels, table.values, table.groups),
        table.subset(np.array([1, 0, 2])),
        table.subset(np.array([0, 1])),
    ]
    assert len({other.digest() for other in [table, *others]}) == 7


def test_column_names_near_ones(read, tmp_path):
    with pytest.raises(DataError, match="no 'crak'; did you mean crack"):
        read(tmp_path, WIDE).column("crak")


@pytest.fixture
def linked(tmp_path):
    """An image root reached through a link, with links inside it and out of it."""
    (tmp_path / "disk" / "sub").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    for file in ("disk/a.png", "disk/sub/b.png", "secret/c.png", "disk-two.png"):
        (tmp_path / file).write_bytes(b"x")
    root = tmp_path / "root"
    root.symlink_to(tmp_path / "disk", target_is_directory=True)
    (root / "inner.png").symlink_to("sub/b.png")
    (root / "outer.png").symlink_to(tmp_path / "secret" / "c.png")
    (root / "dots.png").symlink_to("../disk-two.png")
    (root / "folder").symlink_to(tmp_path / "secret", target_is_directory=True)
    (root / "chain.png").symlink_to("outer.png")
    (root / "gone.png").symlink_to(tmp_path / "secret" / "none.png")
    (root / "loop.png").symlink_to("loop.png")
    return root


@pytest.mark.parametrize("image", ["a.png", "sub/b.png", "inner.png", "sub\\b.png", "./a.png", "none.png"])
def test_images_inside_the_root_are_named(linked, image):
    assert inside_root(linked, image) == linked / safe_relative(image)


@pytest.mark.parametrize(
    "image", ["outer.png", "dots.png", "folder/c.png", "chain.png", "gone.png", "../secret/c.png"]
)
def test_links_out_of_the_root_are_refused(linked, image):
    with pytest.raises(DataError, match="image root") as caught:
        inside_root(linked, image)
    assert "\n" not in str(caught.value)


def test_a_loop_of_links_is_no_bug(linked):
    try:
        path = inside_root(linked, "loop.png")
    except DataError:
        return  # Python before 3.13 finds the loop here, a later one when the file is opened
    with pytest.raises(OSError):  # noqa: PT011
        os.stat(path)  # noqa: PTH116
