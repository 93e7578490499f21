"""Read equal rows of bytes from a large file by number, without mapping it into memory.

A mapped file counts as resident memory as it is read, kills the process when the disk fails, and on a cold
disk is read page by page. Plain reads do none of that, and the system is told first of all rows that are
wanted, so that it fetches them side by side.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray


class PixelFile:
    """A file of rows; safe in several threads."""

    def __init__(self, path: Path, row_bytes: int) -> None:
        self._file = path.open("rb", buffering=0)
        self._row_bytes = row_bytes
        self._lock = Lock()
        weakref.finalize(self, self._file.close)

    def announce(self, rows: Iterable[int]) -> None:
        """Tell the system that rows will be read soon."""
        if hasattr(os, "posix_fadvise"):
            number = self._file.fileno()
            for row in rows:
                os.posix_fadvise(number, row * self._row_bytes, self._row_bytes, os.POSIX_FADV_WILLNEED)

    def read_into(self, row: int, out: NDArray[np.uint8]) -> None:
        """Read one row into a contiguous array of its size.

        Raises:
            OSError: The disk failed, or the file ended early.
        """
        view, start = out.data.cast("B"), row * self._row_bytes
        while view:
            if hasattr(os, "preadv"):
                count = os.preadv(self._file.fileno(), [view], start)
            else:
                with self._lock:
                    self._file.seek(start)
                    count = self._file.readinto(view)
            if not count:
                raise OSError(f"{self._file.name} ended early")
            view, start = view[count:], start + count
