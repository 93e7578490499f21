"""Zip archives for tests, written byte by byte, so that they may be as wrong as an attacker likes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

UTF8 = 0x0800
REGULAR = 0o100644 << 16


@dataclass
class Entry:
    """One entry; what is None is told truthfully."""

    name: bytes | str
    content: bytes = b""
    deflate: bool = False
    method: int | None = None
    flags: int | None = None
    attributes: int = REGULAR
    crc: int | None = None
    size: int | None = None
    packed_size: int | None = None
    offset: int | None = None
    extra: bytes = b""
    packed: bytes = field(init=False)

    def __post_init__(self) -> None:
        if self.flags is None:
            self.flags = 0 if isinstance(self.name, bytes) or self.name.isascii() else UTF8
        if isinstance(self.name, str):
            self.name = self.name.encode()
        pack = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.packed = pack.compress(self.content) + pack.flush() if self.deflate else self.content
        told = {
            "method": 8 if self.deflate else 0,
            "crc": zlib.crc32(self.content),
            "size": len(self.content),
            "packed_size": len(self.packed),
        }
        for name, value in told.items():
            if getattr(self, name) is None:
                setattr(self, name, value)

    def fields(self) -> bytes:
        """Return what local header and directory share."""
        return struct.pack(
            "<HHHHHIIIHH",
            20, self.flags, self.method, 0, 33, self.crc, self.packed_size, self.size, len(self.name), len(self.extra),
        )  # fmt: skip

    def local(self) -> bytes:
        """Return the local header and the content."""
        return b"PK\3\4" + self.fields() + self.name + self.extra + self.packed

    def listed(self, offset: int) -> bytes:
        """Return the entry of the directory."""
        at = offset if self.offset is None else self.offset
        made_by_unix = struct.pack("<H", 3 << 8 | 20)
        return (
            b"PK\1\2"
            + made_by_unix
            + self.fields()
            + struct.pack("<HHHII", 0, 0, 0, self.attributes, at)
            + self.name
            + self.extra
        )


def zip_bytes(
    entries: Sequence[Entry], *, zip64: bool = False, count: int | None = None, start: bytes = b""
) -> bytes:
    """Return a whole archive; `count` is the number of entries that it claims."""
    body, directory = start, b""
    for entry in entries:
        directory += entry.listed(len(body) - len(start))
        body += entry.local()
    claimed = len(entries) if count is None else count
    return body + directory + ending(claimed, len(directory), len(body) - len(start), zip64=zip64)


def ending(count: int, size: int, offset: int, *, zip64: bool = False) -> bytes:
    """Return the end of an archive, with a directory of `size` bytes at `offset`."""
    if not zip64:
        return b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, offset, 0)
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, offset + size, 1)
    return (
        record
        + locator
        + b"PK\5\6"
        + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    )


def write_zip(path: Path, *entries: Entry, **options: object) -> Path:
    """Write an archive and return its path."""
    path.write_bytes(zip_bytes(entries, **options))
    return path
