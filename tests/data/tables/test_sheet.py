from __future__ import annotations

import pytest

from ova.data.tables.sheet import read_sheet
from ova.errors import DataError


@pytest.fixture
def sheet(tmp_path):
    def read(text, delimiter="auto"):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return read_sheet(tmp_path / "t.csv", delimiter)

    return read


def test_columns_of_text_with_their_lines(sheet):
    read = sheet('url;note\n\nx;00123\n"y\nz";NA\n')
    assert read.columns == {"url": ("x", "y\nz"), "note": ("00123", "NA")}
    assert read.column("note") == ("00123", "NA")
    assert read.lines == [3, 4]
    assert read.rows([0]) == "in line 3"
    assert read.rows([1, 0]) == "in 2 lines (4, 3)"


def test_refused(sheet, monkeypatch):
    with pytest.raises(DataError, match="has no column 'urls'; did you mean url"):
        sheet("url,note\nx,1\n").column("urls")
    with pytest.raises(DataError, match=r"not the 2 cells of the header in line 3 \(delimiter comma\)"):
        sheet("url,note\nx,1\ny\n")
    with pytest.raises(DataError, match="no rows"):
        sheet("url,note\n")
    monkeypatch.setattr("ova.data.tables.sheet.MAX_SHEET_ROWS", 2)
    assert len(sheet("url,note\na,1\nb,1\n").lines) == 2
    with pytest.raises(DataError, match="more than 2 rows"):
        sheet("url,note\na,1\nb,1\nc,1\n")
