from __future__ import annotations

import tracemalloc

import pytest

from ova.data.labels.read import read_label_table
from ova.data.labels.table import LeftOut
from ova.data.problems import Problem, RefusedData
from ova.data.recipe import DatasetRecipe, GroupRule
from ova.errors import DataError

WIDE = "file;crack;inactive\na/1.png;1;0\na/2.png;;1\nb/3.png; 0 ;\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiter_line_ends_and_byte_order_mark(tmp_path, delimiter, line_end, mark, read):
    text = WIDE.replace(";", delimiter).replace("\n", line_end)
    expected = read(tmp_path, WIDE)
    for given_delimiter in ("auto", delimiter):
        table = read(tmp_path, mark + text.encode(), delimiter=given_delimiter, image_column="file")
        assert table.digest() == expected.digest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\n\r\n", "is empty"),
        (b"file,crack\n", "has column names but no rows"),
        (b"file crack\na.png 1\n", "no delimiter in line 1, 'file crack' (tried comma, semicolon, tab, |)"),
        (b"file;crack,dust\na;1,0\n", "as many comma as semicolon in line 1"),
        (b"file,crack,crack\na.png,1,0\n", "two columns have the name 'crack'"),
        (b"file,crack, crack\na.png,1,0\n", "two columns have the name 'crack'"),
        (b"file,crack,\na.png,1,0\n", "no name for column 3"),
        (b"file,crack\na.png,1\nb.png\nc.png,1,1\n", "not the 2 cells of the header in 2 lines (3, 4)"),
        (b"a.png,1\nb.png,0\n", "line 1 begins with the image 'a.png'"),
        (b"file,crack\na.png,1\nb.p\0ng,0\n", "line 3 has a NUL byte"),
        ("file,crack\na.png,1\n".encode("utf-16"), "is UTF-16"),
        ("file,crack\na.png,1\n".encode("utf-16-le"), "line 1 has a NUL byte"),
        ("file,crack\n\xe4.png,1\n".encode("latin-1"), "line 2 has the byte 0xe4, which is not UTF-8"),
        (b'file,crack\n"a.png,1\nb.png,0\n', "line 2: unexpected end of data"),
        (b'file,crack\n"a"b.png,1\n', "line 2: "),
        (b"file,crack\na.png," + b"1" * 65_537 + b"\n", "a cell of more than 65,536 characters in line 2"),
        (b"file,crack\na.png,1\nb.png," + b"1" * 10_000_000 + b"\n", "line 3: field larger than"),
        (b"f" * 200_000 + b",crack\na.png,1\n", "line 1: field larger than"),
        (
            b",".join(b"c%d" % column for column in range(4_097)) + b"\n",
            "has 4,097 columns, the limit is 4,096",
        ),
        (b'file,"cra\nck"\na.png,1\n', "control characters in the labels 'cra\\nck'"),
        (b" \n", "no delimiter in line 1, ' '"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\xef\xbb\xbf\n\n", "is empty"),
        (b"\xff\xfe", "is UTF-16"),
        (b"\xfe\xff\0f\0i", "is UTF-16"),
        (b"\0", "line 1 has a NUL byte"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "has a NUL byte"),
        (b"PK\x03\x04\x14\0", "line 1 has a NUL byte"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "line 2 has the byte 0xe2, which is not UTF-8"),
        (b"file,crack\na.png,1\n\xc3", "line 3 has the byte 0xc3, which is not UTF-8"),
        (b"file,crack\r\xe4.png,1\r", "line 2 has the byte 0xe4, which is not UTF-8"),
        (b"file,crack\n" + b"x" * (2**20 - 12) + b"\xe2\x82,1\n", "line 2 has the byte 0xe2"),
        (b'"file,crack\na.png,1\n', "no delimiter in line 1"),
        (b'"file"x,crack\na.png,1\n', "line 1: "),
        (b'file,crack\na.png,"1"\nb.png,"0" \n', "line 3: "),
        (b"file;crack\na.png,1\n", "not the 2 cells of the header in line 2 (delimiter semicolon)"),
        (b"<html><body>404</body></html>\n", "no delimiter in line 1"),
        (b'{"a.png": 1, "b.png": 0}\n', "has column names but no rows"),
        (b"file,crack\n\n\n", "has column names but no rows"),
        (b",\n1,2\n", "no name for column 1, 2 in line 1"),
        (b"file,crack\n" + b"a.png\n" * 25, "in 25 lines (2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 15 more)"),
        (b"c" * 70_000 + b",crack\na.png,1\n", "a cell of more than 65,536 characters in line 1"),
        (b"file,crack\n,1\n", "column 'file' in line 2: the image path is empty"),
    ],
)
def test_malformed(tmp_path, content, reason, refusal):
    assert reason in refusal(tmp_path, content)


def test_a_line_without_an_end_is_not_read_into_memory(tmp_path, monkeypatch, refusal):
    monkeypatch.setattr("ova.data.tables.reader.MAX_LINE_BYTES", 2**20)
    monkeypatch.setattr("ova.data.tables.reader._BLOCK_BYTES", 2**16)
    assert "line 2 is longer than 1 MiB" in refusal(tmp_path, "file,crack\n" + "x" * 2**21)


def test_caps_on_rows_and_bytes(tmp_path, monkeypatch, read, refusal):
    monkeypatch.setattr("ova.data.tables.label_sheet.MAX_LABEL_ROWS", 3)
    assert len(read(tmp_path, WIDE).images) == 3
    assert "has more than 3 rows" in refusal(tmp_path, WIDE + "c.png;1;1\n")
    monkeypatch.setattr("ova.data.tables.reader.MAX_TABLE_BYTES", 2**20)
    assert "is larger than 1 MiB" in refusal(tmp_path, WIDE + "\n" * 2**20)


def test_line_numbers_count_lines_of_the_file(tmp_path, refusal):
    text = 'file,note,crack\n\n"a.png","two\nlines",1\n\nb.png,,7\n'
    assert "column 'crack' in line 6 has '7'" in refusal(tmp_path, text, label_columns=("crack",))


def test_given_delimiter_that_is_not_there(tmp_path, refusal):
    assert "one column only with the delimiter comma" in refusal(tmp_path, WIDE, delimiter=",")


# Several tables


@pytest.fixture
def pooled(tmp_path):
    """Write tables and read them as one."""

    def read_all(*texts, **recipe):
        names = [f"{number}.csv" for number in range(len(texts))]
        for name, text in zip(names, texts, strict=True):
            (tmp_path / name).write_text(text, encoding="utf-8")
        return read_label_table(DatasetRecipe(labels=tuple(names), **recipe), tmp_path)

    return read_all


def test_tables_are_pooled_by_the_names_of_their_columns(pooled):
    table = pooled("file;crack;dust\na;1;0\nb;0;\n", "dust,file,crack\n1,c,0\n")
    assert (table.images, table.labels, table.rows) == (("a", "b", "c"), ("crack", "dust"), 3)
    assert table.values.tolist() == [[1, 0], [0, -1], [0, 1]]


def test_tables_of_other_columns_are_refused(pooled, tmp_path):
    with pytest.raises(
        DataError, match=r"1\.csv: lacks 'dust' and adds 'hot' against .*0\.csv; give all tables"
    ):
        pooled("file,crack,dust\na,1,0\n", "file,crack,hot\nb,1,0\n")
    with pytest.raises(DataError, match=r"1\.csv: has no column 'file'; did you mean files"):
        pooled("file,crack\na,1\n", "files,crack\nb,1\n")
    table = pooled("file,crack,dust\na,1,0\n", "file,crack,hot\nb,1,0\n", label_columns=("crack",))
    assert table.labels == ("crack",)


def test_a_problem_names_its_table(pooled, tmp_path):
    with pytest.raises(RefusedData) as caught:
        pooled("file,crack\na,1\nb,7\n", "file,crack\nc,0\n\nd,8\ne\n")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / '0.csv'} and 1 more table: ")
    assert f"in 2 lines ({tmp_path / '0.csv'}:3, {tmp_path / '1.csv'}:4) has '7', '8'" in message
    assert Problem("e", "1 cells, the header has 2", f"{tmp_path / '1.csv'}:5") in caught.value.problems


def test_images_that_tables_share(pooled, tmp_path):
    first = "file,crack\na,1\nb,0\nc,\n"
    table = pooled(first, "file,crack\nb,0\nd,1\na,1\n", "file,crack\na,1\n")
    assert (table.images, table.values.tolist()) == (("a", "b", "d"), [[1], [0], [1]])
    told = "images of an earlier table, with the same labels"
    assert table.left_out[0] == LeftOut(told, 3, 7, "entries")
    with pytest.raises(RefusedData) as caught:
        pooled(first, "file,crack\nb,1\na,1\na,1\n")
    where = [tmp_path / name for name in ("0.csv", "1.csv")]
    assert caught.value.problems == [
        Problem("b", f"conflicting labels in {where[0]}:3", f"{where[1]}:2"),
        Problem("a", f"the same labels in {where[0]}:2", f"{where[1]}:4"),
    ]
    assert "2 of them" not in str(caught.value)
    assert f"('b' in {where[0]}:3 and {where[1]}:2), 1 of them with conflicting labels" in str(caught.value)


def test_long_tables_agree_on_an_image_as_a_whole(pooled, tmp_path):
    first = "file,class\na,cat\na,dog\nb,cat\n"
    table = pooled(first, "file,class\na,dog\na,cat\nc,dog\n", format="long")
    assert (table.images, table.labels) == (("a", "b", "c"), ("cat", "dog"))
    assert table.values.tolist() == [[1, 1], [1, 0], [0, 1]]
    with pytest.raises(RefusedData) as caught:
        pooled(first, "file,class\na,dog\n", format="long")
    problem = Problem("a", f"conflicting labels in {tmp_path / '0.csv'}:2", f"{tmp_path / '1.csv'}:2")
    assert caught.value.problems == [problem]


def test_pooling_two_tables_is_reading_one(pooled):
    rows = [f"{row}.png,{row % 2},{row % 3 % 2},m{row // 4}\n" for row in range(40)]
    head = "file,crack,dust,module\n"
    rule = GroupRule(column="module")
    whole = pooled(head + "".join(rows), group=rule)
    parts = pooled(head + "".join(rows[:13]), head + "".join(rows[13:]), group=rule)
    assert parts.digest() == whole.digest()
    assert parts.groups == tuple(f"m{row // 4}" for row in range(40))


@pytest.mark.slow
def test_a_row_of_a_long_table_takes_no_more_memory_than_one_of_a_short_table(tmp_path):
    def bytes_per_row(rows: int) -> float:
        lines = (f"images/{row:08d}.png,{row % 2},\n" for row in range(rows))
        (tmp_path / "labels.csv").write_text("file,crack,dust\n" + "".join(lines))
        tracemalloc.start()
        table = read_label_table(DatasetRecipe(labels=("labels.csv",)), tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(table.images) == rows
        return peak / rows

    few, many = bytes_per_row(20_000), bytes_per_row(60_000)
    assert many < few
    assert many < 120  # 19 of them text; a string of Python alone takes more than 60
