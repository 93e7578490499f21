"""Label tables of random cells, quotes and line ends, against a parser that was written from the grammar alone."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ova.data.labels.table import UNKNOWN
from ova.data.problems import RefusedData
from ova.errors import DataError

IMAGES = ["a.png", "A.png", "b", "é", "e\u0301", "c d", 'q"q', "x;y", "new\nline", "00123", "NA", "../a", ""]
CELLS = ["0", "1", "", " 1", "0 ", "2", "yes", "-1", "0.667", "nan", "NaN", "1.0 ", "TRUE", "1\n"]
HEADER = "file;crack;dust\n"


class Record(NamedTuple):
    line: int
    cells: list[str]


class Malformed(Exception):
    pass


def parse(text: str, delimiter: str) -> list[Record]:
    """Parse by the grammar: quoted fields, doubled quotes, three kinds of line ends, blank lines passed over."""
    records: list[Record] = []
    position, line = 0, 1
    while position < len(text):
        begin, cells = line, []
        if end := re.compile(r"\r\n|\n|\r").match(text, position):
            position, line = end.end(), line + 1
            continue
        while True:
            if text[position : position + 1] == '"':
                field = re.compile(r'"((?:[^"]|"")*)"').match(text, position)
                if field is None:
                    raise Malformed
                cells.append(field[1].replace('""', '"'))
                line += len(re.findall(r"\r\n|\n|\r", field[0]))
            else:
                field = re.compile(rf"[^{re.escape(delimiter)}\r\n]*").match(text, position)
                assert field is not None
                cells.append(field[0])
            position = field.end()
            if text[position : position + 1] == delimiter:
                position += 1
                continue
            end = re.compile(r"\r\n|\n|\r|\Z").match(text, position)
            if end is None:
                raise Malformed
            position, line = end.end(), line + 1
            break
        records.append(Record(begin, cells))
    return records


def judge(records: list[Record]) -> tuple[Counter[tuple[int, str]], dict[str, list[int]]]:
    """Return what is wrong, as (line, kind); and the values of every image that has any."""
    wrong: Counter[tuple[int, str]] = Counter()
    seen: dict[str, int] = {}
    folds: dict[str, int] = {}
    values: dict[str, list[int]] = {}
    for line, cells in records:
        if len(cells) != 3:
            wrong[line, "ragged"] += 1
            continue
        image, *labels = cells
        if image in ("", "../a") or set(image) & set("\r\n"):
            wrong[line, "path"] += 1
        for label in labels:
            wrong[line, "cell"] += label.strip() not in ("0", "1", "")
        fold = unicodedata.normalize("NFC", image).casefold()
        if image in seen:
            wrong[line, "again"] += 1
        elif fold in folds:
            wrong[line, "twin"] += 1
        seen.setdefault(image, line)
        folds.setdefault(fold, line)
        values[image] = [int(label) if label.strip() else UNKNOWN for label in labels] if not +wrong else []
    return +wrong, {image: row for image, row in values.items() if row != [UNKNOWN, UNKNOWN]}


def kind(problem: str) -> str:
    kinds = {"cells, the header": "ragged", "image path": "path", "labels in": "again", "differs": "twin"}
    return next((name for part, name in kinds.items() if part in problem), "cell")


@st.composite
def fields(draw, values):
    cell = draw(st.sampled_from(values))
    must = any(sign in cell for sign in ';"\r\n')
    if must or draw(st.integers(0, 3)) == 0:
        return '"' + cell.replace('"', '""') + '"'
    return cell


@st.composite
def tables(draw, images, cells, noise):
    lines = []
    for image in images:
        row = [image, *(draw(fields(cells)) for _ in range(2))]
        if noise and draw(st.integers(0, 15)) == 0:
            row = row[: draw(st.integers(1, 2))] + row[: draw(st.integers(0, 3))]
        lines.append(";".join(row) + draw(st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"])))
    text = HEADER + "".join(lines)
    if noise and draw(st.integers(0, 7)) == 0:
        at = draw(st.integers(len(HEADER), len(text)))
        text = text[:at] + draw(st.sampled_from(['"', ";", "\n", "\r", 'x"'])) + text[at:]
    return text.rstrip("\r\n") if draw(st.booleans()) else text


SOUND = st.lists(
    st.sampled_from(["a", "b", "c d", "00123", "NA", "1e5", "TRUE", '"x;y"', "é"]), unique=True, min_size=1
)
TEXTS = st.one_of(
    SOUND.flatmap(lambda images: tables(images, CELLS[:5], noise=False)),
    st.lists(fields(IMAGES), min_size=1, max_size=8).flatmap(
        lambda images: tables(images, CELLS, noise=True)
    ),
)


@pytest.mark.slow
@given(TEXTS)
@settings(max_examples=300)
def test_the_table_is_what_the_grammar_says(tmp_path_factory, read, text):
    folder = tmp_path_factory.getbasetemp()
    try:
        records = parse(text, ";")
    except Malformed:
        records = None
    expected, values = (Counter(), {}) if records is None else judge(records[1:])
    if not expected and records is not None and values:
        table = read(folder, text, delimiter=";")
        assert dict(zip(table.images, table.values.tolist(), strict=True)) == values
        assert table.rows == len(records) - 1
        return
    with pytest.raises(DataError) as caught:
        read(folder, text, delimiter=";")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, RefusedData) == bool(expected)
    if isinstance(caught.value, RefusedData):
        place = re.compile(rf"{re.escape(str(folder / 'labels.csv'))}:(\d+)")
        found = [(place.fullmatch(where), kind(problem)) for _, problem, where in caught.value.problems]
        assert Counter((int(match[1]), name) for match, name in found if match) == expected


def test_the_parser_of_this_test():
    assert parse('a;"b\r\nc";\n\n"";x"y\r1', ";") == [
        Record(1, ["a", "b\r\nc", ""]),
        Record(4, ["", 'x"y']),
        Record(5, ["1"]),
    ]
