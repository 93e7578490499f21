from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.labels.exclusions import Exclusion, add_exclusions, read_exclusions
from ova.data.paths import safe_relative
from ova.errors import DataError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "exclude.csv"


def written(path, content: str | bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_no_list_is_an_empty_one(path):
    assert read_exclusions(path) == {}
    for content in ("", "\n\n", "image,reason,measure\n", "\ufeffimage,reason\n"):
        assert read_exclusions(written(path, content)) == {}


def test_what_is_added_is_read(path):
    lines = [Exclusion("a b.png", "blurred", "3.1"), Exclusion('x/"q",ü.png', "too small", "12 x 9")]
    add_exclusions(path, lines)
    assert read_exclusions(path) == {line.image: line for line in lines}
    assert path.read_text(encoding="utf-8").splitlines()[0] == "image,reason,measure"
    add_exclusions(path, [Exclusion("c.png", "one shade")])
    assert list(read_exclusions(path)) == ["a b.png", 'x/"q",ü.png', "c.png"]


@pytest.mark.parametrize(
    "edited",
    [
        "image,reason,measure\na.png,dust on the lens,\n",
        "image;reason;measure\r\na.png;dust on the lens;\r\n",
        "image\treason\na.png\tdust on the lens",
        "\ufeffimage,reason\na.png,dust on the lens\n\n",
        "\nReason, Image ,who\ndust on the lens,a.png,Eva\n",
        "image,reason,measure\na.png,dust on the lens\na.png,again,\n,,\n",
        'image,reason\n"a.png","dust on the lens"\n',
        "image,reason\n.\\a.png,dust on the lens\n",
    ],
)
def test_a_list_edited_by_a_person_is_read_and_kept(path, edited):
    written(path, edited)
    assert read_exclusions(path) == {"a.png": Exclusion("a.png", "dust on the lens")}
    add_exclusions(path, [Exclusion("b.png", "blurred; badly", "2.5")])
    assert path.read_bytes().startswith(edited.encode())
    added = read_exclusions(path)["b.png"]
    assert (added.image, added.reason) == ("b.png", "blurred; badly")
    assert added.measure == ("2.5" if "measure" in edited else "")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("image,reason\na.png,scratched, then mended\n", "line 2: has 3 cells, the first line 2"),
        ("image,reason\na.png,x\n\n,no image\n", "line 4: the image path is empty"),
        ("image,reason\na.png,x\n../b.png,x\n", "line 3: the image path '../b.png' leaves"),
        ("a.png,blurred\n", "line 1: must name the columns image and reason"),
        ("image,reason,image\na.png,x,y\n", "line 1: names a column twice"),
        ('image,reason\na.png,x\nb.png,"open\n', "line 3: "),
        (b"image,reason\na.png,x\nb\xe4.png,x\n", "line 3: is not UTF-8"),
        (b"\xff\xfei\0", "line 1: is not UTF-8"),
        ('image,reason\na.png,"two\nlines"\nb.png,x,y\n', "line 4: has 3 cells"),
    ],
)
def test_a_damaged_list_is_one_line_with_its_place(path, content, told):
    written(path, content)
    before = path.read_bytes()
    for attempt in (read_exclusions, lambda path: add_exclusions(path, [Exclusion("z.png", "x")])):
        with pytest.raises(DataError) as caught:
            attempt(path)
        assert told in str(caught.value)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 4
    assert path.read_bytes() == before


def test_a_folder_is_no_list(path):
    path.mkdir(parents=True)
    with pytest.raises(DataError, match="cannot be read"):
        read_exclusions(path)


def _is_plain(name: str) -> bool:
    try:
        return safe_relative(name) == name
    except DataError:
        return False


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(_is_plain)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8).map(str.strip)


@pytest.mark.slow
@given(st.lists(st.builds(Exclusion, NAMES, TEXTS, TEXTS), unique_by=lambda line: line.image, max_size=5))
def test_any_name_and_reason_survives(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("list") / "exclude.csv"
    add_exclusions(path, lines)
    assert list(read_exclusions(path).values()) == lines
