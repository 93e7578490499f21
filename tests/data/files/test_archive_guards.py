"""The caps of archives, and what refuses a whole archive or one file in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from zips import Entry, ending, write_zip

from ova.data.files import archive, archive_guards
from ova.data.files.archive import Archive
from ova.errors import DataError

LIMIT = 64 << 20


def refusal(path, *entries, **options) -> str:
    with pytest.raises(DataError) as caught:
        Archive(write_zip(path / "a.zip", *entries, **options))
    message = str(caught.value)
    assert message.startswith(f"{path / 'a.zip'}: ")
    assert "\n" not in message
    return message


def unread(path, entry: Entry, limit: int = LIMIT) -> str:
    found = Archive(write_zip(path / "a.zip", entry, Entry("sound", b"1")))
    assert found.read("sound", limit) == b"1"
    with pytest.raises(DataError, match=re.escape(f"{path / 'a.zip'}: {entry.name.decode()}: ")) as caught:
        found.read(entry.name.decode(), limit)
    return str(caught.value)


# The directory


def test_entries_are_counted_whatever_the_archive_claims(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_guards, "MAX_ENTRIES", 5)
    entries = [Entry(f"{number}") for number in range(6)]
    for claimed in (None, 1, 0):
        assert "more than 5 entries; split the archive" in refusal(tmp_path, *entries, count=claimed)
        assert "more than 5 entries" in refusal(tmp_path, *entries, count=claimed, zip64=True)
    assert len(Archive(write_zip(tmp_path / "a.zip", *entries[:5])).files) == 5


def test_directory_is_not_read_beyond_its_cap(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_guards, "MAX_DIRECTORY", 1 << 20)
    (tmp_path / "a.zip").write_bytes(bytes((1 << 20) + 1) + ending(1, (1 << 20) + 1, 0))
    with pytest.raises(DataError, match="its directory is larger than 1 MiB"):
        Archive(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(bytes(1 << 20) + ending(1, 1 << 20, 0))
    with pytest.raises(DataError, match="no zip archive"):
        Archive(tmp_path / "a.zip")


@pytest.mark.parametrize("size", [1 << 20, (1 << 62), (1 << 64) - 1])
def test_a_directory_of_any_claimed_size_takes_no_memory(tmp_path, size):
    (tmp_path / "a.zip").write_bytes(ending(1, size, 0, zip64=True))
    with pytest.raises(DataError, match="no zip archive"):
        Archive(tmp_path / "a.zip")


@pytest.mark.parametrize(
    "name",
    [
        "../a.png", "d/../../a.png", "..\\a.png", "..", "/a.png", "\\a.png", "//server/a.png", "C:/a.png",
        "C:a.png", "nul.png", "d/CON", "com1.jpg", "a\nb.png", "\x1b[2J.png", "a\0.png", "", "d/aux/a.png",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_refuse_the_archive(tmp_path, name):
    message = refusal(tmp_path, Entry("a", b"1"), Entry(name, b"2"))
    assert f"1 entry with a name that is refused ({name!r})" in message


def test_hostile_names_behind_a_harmless_one(tmp_path):
    """What the extra field 0x7075 says is checked, and so is what follows a NUL."""
    import struct
    import zlib

    old = b"gr\x94\xe1e"
    content = struct.pack("<BL", 1, zlib.crc32(old)) + b"../../a.png"
    message = refusal(tmp_path, Entry(old, extra=struct.pack("<HH", 0x7075, len(content)) + content))
    assert "leaves the image root" in message
    assert "refused" in refusal(tmp_path, Entry("a.png\0.txt"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("d/a", "d/a"),
        ("a", "a"),
        ("d/a", "d\\a"),
        ("d/a", "d//./a"),
        ("a.png", "A.PNG"),
        ("gr\xf6", "gro\u0308"),
    ],
)
def test_twins_refuse_the_archive(tmp_path, first, second):
    message = refusal(tmp_path, Entry("x"), Entry(first, b"1"), Entry(second, b"2"))
    assert "1 entry with the name of another" in message


def test_folders_may_be_listed_twice(tmp_path):
    found = Archive(write_zip(tmp_path / "a.zip", Entry("d/"), Entry("d/"), Entry("D/a")))
    assert list(found.files) == ["D/a"]


def overlapping() -> list[list[Entry]]:
    big = bytes(5000)
    return [
        [Entry("a", big, deflate=True), Entry("b", big, deflate=True, offset=0)],  # one content, many names
        [Entry("a", b"1" * 100), Entry("b", b"1", offset=50)],  # an entry inside another
        [Entry("a", b"1", packed_size=60), Entry("b", b"2")],  # a content that runs into the next entry
        [Entry("a", b"1", packed_size=500)],  # ... into the directory
        [Entry("a", b"1", packed_size=0xFFFFFFFF)],  # ... beyond the file
        [Entry("a", b"1", offset=0xFFFFFFF0)],
    ]


@pytest.mark.parametrize("entries", overlapping())
def test_entries_that_share_bytes_refuse_the_archive(tmp_path, entries):
    assert "overlaps another one or the end of the archive" in refusal(tmp_path, *entries)


# One entry


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (0o120777, "symbolic link"),
        (0o020666, "not a regular file"),
        (0o010644, "not a regular file"),
        (0o040755, "not a regular file"),
    ],
)
def test_links_devices_pipes_and_folders_are_not_read(tmp_path, attributes, reason):
    assert reason in unread(tmp_path, Entry("a", b"/etc/passwd", attributes=attributes << 16))


def test_attributes_of_other_systems_say_nothing(tmp_path):
    found = Archive(write_zip(tmp_path / "a.zip", Entry("a", b"1", attributes=0x20)))
    assert found.read("a", 1) == b"1"


@pytest.mark.parametrize("flags", [1, 0x41, 0x40, 0x2000])
def test_encrypted_files_are_not_read(tmp_path, flags):
    assert "is encrypted; save the archive without a password" in unread(
        tmp_path, Entry("a", b"1" * 12, flags=flags)
    )


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99])
def test_unbounded_ways_of_compression_are_not_read(tmp_path, method):
    assert f"compressed by method {method}" in unread(tmp_path, Entry("a", b"1", method=method))


def test_size_is_capped_as_declared(tmp_path):
    assert "has 11 bytes, the limit is 10" in unread(tmp_path, Entry("a", bytes(11)), 10)
    found = Archive(write_zip(tmp_path / "a.zip", Entry("a", bytes(10))))
    assert found.read("a", 10) == bytes(10)


@pytest.mark.parametrize("declared", [0, 1, 99, 101, 4096])
@pytest.mark.parametrize("deflate", [True, False])
def test_a_size_that_lies_is_noticed(tmp_path, declared, deflate):
    message = unread(tmp_path, Entry("a", bytes(range(100)), deflate=deflate, size=declared))
    assert "is damaged in the archive" in message or "more room in the archive" in message


def test_reading_stops_at_the_size_that_is_declared(tmp_path, monkeypatch):
    """1 MiB in 1 KiB, declared as 1,000 bytes: no more than one byte beyond that is unpacked."""
    unpacked = []

    def counted(*arguments: object) -> Iterator[bytes]:
        for piece in original(*arguments):
            unpacked.append(len(piece))
            yield piece

    original = archive._unpack
    monkeypatch.setattr(archive, "_unpack", counted)
    assert "is damaged in the archive" in unread(
        tmp_path, Entry("a", bytes(1 << 20), deflate=True, size=1000)
    )
    assert unpacked == [1, 1001]  # the sound file, and this one


def test_ratio_is_capped_where_it_counts(tmp_path):
    assert "unpacks to more than 200 times its size" in unread(
        tmp_path, Entry("a", bytes(2 << 20), deflate=True)
    )
    small = Entry("a", bytes(1 << 20), deflate=True)
    assert small.size > 900 * small.packed_size
    assert Archive(write_zip(tmp_path / "a.zip", small)).read("a", LIMIT) == bytes(1 << 20)


def test_a_content_that_is_longer_packed_than_it_is_allowed_to_be(tmp_path):
    assert "more room in the archive" in unread(tmp_path, Entry("a", bytes(3000), size=900))
    padded = Entry("a", b"1" * 10, deflate=True)
    padded.packed += bytes(2000)
    padded.packed_size = len(padded.packed)
    assert "more room in the archive" in unread(tmp_path, padded)
