"""What a zip archive must be before anything in it is read: caps, and names that mean one file each.

`zipfile` checks little of this, and each Python version something else (overlapping entries since 3.11.8 and
3.12.2, CVE-2024-0450), so all of it is checked here, for every version alike. A fault that no honest archive
has refuses the whole archive; one that may befall a single file (a password, a link, a size) that file only.
"""

from __future__ import annotations

import io
import stat
import unicodedata
import zlib
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from struct import unpack_from
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

from ova.data.paths import safe_relative
from ova.errors import DataError, first_few

MAX_ENTRIES = 1_000_000
MAX_DIRECTORY = 256 * 1024 * 1024
MAX_RATIO = 200
# Deflate makes a short file of one colour hundreds of times smaller, and none of that can hurt.
RATIO_COUNTS_FROM = 1024 * 1024

LOCAL_HEADER = 30
_ITSELF = ("./", ".\\")  # an entry for the top of the archive, which some tools write
_ENTRY_SIGNATURE = b"PK\x01\x02"
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_UTF8_NAME = 0x0800
_UNICODE_PATH = 0x7075


class DirectoryReader(io.BufferedReader):
    """An archive for `zipfile` to read its directory from, which refuses to give more than the caps allow.

    However `zipfile` finds the directory, and whatever the archive claims of it, every entry passes here.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._entries = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            DataError: They hold too large a directory.
        """
        if size is not None and size > MAX_DIRECTORY:
            raise DataError(f"its directory is larger than {MAX_DIRECTORY // 2**20} MiB; split the archive")
        content = super().read(size)
        self._entries += content.count(_ENTRY_SIGNATURE)
        if self._entries > MAX_ENTRIES:
            raise DataError(f"holds more than {MAX_ENTRIES:,} entries; split the archive")
        return content


def sound_entries(infos: Sequence[ZipInfo], end: int) -> tuple[dict[str, ZipInfo], list[str]]:
    """Return the files by their plain names, and the names of folders, after checking the whole directory.

    Args:
        infos: All entries.
        end: Where the entries end in the file and the directory begins.

    Raises:
        DataError: A name leads out of the archive, means a device, or is not text; two entries have the same
            name, also where case does not count; or entries overlap.
    """
    if not infos:
        raise DataError("holds no file; name the right archive")
    _refuse_overlaps(infos, end)
    files: list[tuple[str, ZipInfo]] = []
    folders: list[str] = []
    strange: list[tuple[str, str]] = []
    for info in infos:
        written = info.orig_filename
        try:
            if not written.endswith(("/", "\\")):
                files.append((safe_relative(_name(info)), info))
            elif written not in _ITSELF:
                folders.append(safe_relative(_name(info)))
        except DataError as error:
            strange.append((repr(written), str(error)))
    if strange:
        shown = first_few([name for name, _ in strange], 3)
        raise DataError(f"{_entries(strange)} with a name that is refused ({shown}): {strange[0][1]}")
    _refuse_twins([name for name, _ in files])
    return dict(files), folders


def refusal(info: ZipInfo, limit: int) -> str | None:
    """Say why an entry cannot be read, from what the directory says of it; None if nothing speaks against it.

    Args:
        info: The entry.
        limit: The largest size that is read, in bytes.
    """
    return _refused_kind(info) or _refused_size(info, limit)


def _refused_kind(info: ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link; put the file itself into the archive"
    if kind not in (0, stat.S_IFREG):
        return "is not a regular file; put a file into the archive"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted; save the archive without a password"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return f"is compressed by method {info.compress_type}; save the archive with deflate or uncompressed"
    return None


def _refused_size(info: ZipInfo, limit: int) -> str | None:
    size, packed = info.file_size, info.compress_size
    if size > limit:
        return f"has {size:,} bytes, the limit is {limit:,}; save it smaller"
    if size > max(RATIO_COUNTS_FROM, MAX_RATIO * packed):
        return f"unpacks to more than {MAX_RATIO} times its size, which no image does; save it anew"
    if packed > (size if info.compress_type == ZIP_STORED else 2 * size + 1024):
        return "takes more room in the archive than it has content; save the archive anew"
    return None


def _name(info: ZipInfo) -> str:
    """Return the name of an entry as it was meant, the same on every Python version.

    Many tools (Info-ZIP, the archiver of macOS) write UTF-8 without saying so; `zipfile` then reads the old
    code page 437, as the format demands.
    """
    text = info.orig_filename
    if text.isascii() or info.flag_bits & _UTF8_NAME:
        return text
    content = text.encode("cp437")
    try:
        return (_unicode_path(info.extra, content) or content).decode()
    except UnicodeDecodeError:
        return text


def _unicode_path(extra: bytes, name: bytes) -> bytes | None:
    """Return the UTF-8 name of the extra field 0x7075, if there is one and it belongs to this name."""
    while len(extra) >= 4:
        kind, size = unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and len(field) > 5 and unpack_from("<BL", field) == (1, zlib.crc32(name)):
            return field[5:]
    return None


def _refuse_overlaps(infos: Sequence[ZipInfo], end: int) -> None:
    """Refuse entries that share bytes, by which a small archive can unpack to a huge one.

    An entry has at least its header, its name and its content.
    """
    ordered = sorted(infos, key=attrgetter("header_offset"))
    starts = [*map(attrgetter("header_offset"), ordered), end]
    for info, (start, following) in zip(ordered, pairwise(starts), strict=True):
        if start < 0 or start + LOCAL_HEADER + len(info.orig_filename) + info.compress_size > following:
            raise DataError(
                f"the entry {info.orig_filename!r} overlaps another one or the end of the archive, which is "
                "damaged or made to do harm; take another copy"
            )


def _refuse_twins(names: Sequence[str]) -> None:
    """Refuse two files of one name: the same, or the same for systems that ignore case and Unicode form."""
    if len(set(map(_folded, names))) == len(names):
        return
    first: dict[str, str] = {}
    twins = []
    for name in names:
        folded = _folded(name)
        if folded in first:
            twins.append(f"{first[folded]!r} and {name!r}")
        first.setdefault(folded, name)
    raise DataError(
        f"{_entries(twins)} with the name of another, or one that differs only in case or Unicode form: "
        f"{first_few(twins, 3)}; keep one of each"
    )


def _folded(name: str) -> str:
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _entries(found: Sequence[object]) -> str:
    return "1 entry" if len(found) == 1 else f"{len(found):,} entries"
