from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ova.data.images.store import PixelFile


@pytest.fixture(params=["as it is", "seeking"])
def file(request, tmp_path, monkeypatch):
    """A file of 50 rows of 6 bytes, each the number of its row; also where the system knows no such reads."""
    if request.param == "seeking":
        for name in ("preadv", "posix_fadvise"):
            monkeypatch.delattr(os, name, raising=False)
    (tmp_path / "rows.bin").write_bytes(bytes(number for number in range(50) for _ in range(6)))
    return PixelFile(tmp_path / "rows.bin", 6)


def test_rows_are_read_in_any_order_from_several_threads(file):
    def read(row):
        out = np.empty((2, 3), np.uint8)
        file.announce([row])
        file.read_into(row, out)
        return out.tolist()

    with ThreadPoolExecutor(4) as pool:
        rows = [49, 0, 7, 7, 31] * 40
        assert list(pool.map(read, rows)) == [[[row] * 3] * 2 for row in rows]


def test_a_short_file_is_told(file):
    with pytest.raises(OSError, match="ended early"):
        file.read_into(50, np.empty(6, np.uint8))


def test_short_reads_are_completed(tmp_path, monkeypatch):
    if not hasattr(os, "preadv"):
        pytest.skip("no preadv here")
    (tmp_path / "rows.bin").write_bytes(bytes(range(60)))
    plain = os.preadv
    monkeypatch.setattr(os, "preadv", lambda number, views, start: plain(number, [views[0][:4]], start))
    out = np.empty(10, np.uint8)
    PixelFile(tmp_path / "rows.bin", 10).read_into(3, out)
    assert out.tolist() == list(range(30, 40))
