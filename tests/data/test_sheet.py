from __future__ import annotations

import pytest

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
        (b"file,crack\n,1\n", "column 'file' in line 2: the image path is empty"),
    ],
)
def test_malformed(tmp_path, content, reason, refusal):
    assert reason in refusal(tmp_path, content)


def test_caps_on_rows_and_bytes(tmp_path, monkeypatch, read, refusal):
    monkeypatch.setattr("ova.data.sheet.MAX_ROWS", 3)
    assert len(read(tmp_path, WIDE).images) == 3
    assert "has more than 3 rows" in refusal(tmp_path, WIDE + "c.png;1;1\n")
    monkeypatch.setattr("ova.data.sheet.MAX_BYTES", 2**20)
    assert "is larger than 1 MiB" in refusal(tmp_path, WIDE + "\n" * 2**20)


def test_line_numbers_count_lines_of_the_file(tmp_path, refusal):
    text = 'file,note,crack\n\n"a.png","two\nlines",1\n\nb.png,,7\n'
    assert "column 'crack' in line 6 has '7'" in refusal(tmp_path, text, label_columns=("crack",))


def test_given_delimiter_that_is_not_there(tmp_path, refusal):
    assert "one column only with the delimiter comma" in refusal(tmp_path, WIDE, delimiter=",")
