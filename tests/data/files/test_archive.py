"""Archives made by people: every form that tools write is read, and no file costs the others."""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zips import Entry, ending, write_zip, zip_bytes

from ova.data.files.archive import Archive
from ova.errors import DataError

LIMIT = 1 << 20


def refusal(look, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        look(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Stream(io.BytesIO):
    """Cannot go back, so that sizes follow each file instead of standing before it."""

    def tell(self) -> int:
        raise OSError

    def seek(self, *_: int) -> int:
        raise OSError


contents = st.dictionaries(
    st.text("abcäß裂 .-", min_size=1, max_size=8).filter(lambda name: name.strip(". ")),
    st.binary(max_size=300),
    min_size=1,
    max_size=8,
).filter(lambda content: len({name.casefold() for name in content}) == len(content))


@given(contents, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), st.booleans())
def test_what_zipfile_writes_is_read_as_zipfile_reads_it(tmp_path_factory, content, method, streamed):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    target = Stream() if streamed else io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as made:
        for name, data in content.items():
            made.writestr(f"d/{name}", data)
    path.write_bytes(target.getvalue())
    archive = Archive(path)
    with zipfile.ZipFile(path) as other:
        assert archive.files.keys() == set(other.namelist())
        for name in archive.files:
            assert archive.read(name, LIMIT) == other.read(name) == content[name.removeprefix("d/")]


@pytest.mark.parametrize("zip64", [False, True])
@pytest.mark.parametrize("start", [b"", b"#!/bin/sh\n"])
def test_zip64_and_archives_behind_something_else(tmp_path, zip64, start):
    path = write_zip(
        tmp_path / "a.zip", Entry("a", b"1"), Entry("b", b"2", deflate=True), zip64=zip64, start=start
    )
    archive = Archive(path)
    assert [archive.read(name, LIMIT) for name in ("a", "b")] == [b"1", b"2"]


def test_file_of_more_than_4_gib_is_listed_and_refused_by_its_size(tmp_path):
    extra = b"\1\0" + b"\x10\0" + (5 << 30).to_bytes(8, "little") + (1).to_bytes(8, "little")
    entry = Entry("a", b"1", extra=extra, size=0xFFFFFFFF, packed_size=0xFFFFFFFF)
    archive = Archive(write_zip(tmp_path / "a.zip", entry))
    assert "a.zip: a: has 5,368,709,120 bytes, the limit is 1,048,576" in refusal(archive.read, "a", LIMIT)


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP is not installed")
def test_what_info_zip_writes_is_read(tmp_path):
    folder = tmp_path / "größe"
    folder.mkdir()
    (folder / "裂.png").write_bytes(b"1" * 500)
    subprocess.run([shutil.which("zip"), "-q", "-r", "a.zip", "größe"], cwd=tmp_path, check=True)
    archive = Archive(tmp_path / "a.zip")
    assert (list(archive.files), archive.folders) == (["größe/裂.png"], ["größe"])
    assert archive.read("größe/裂.png", LIMIT) == b"1" * 500


def unicode_path(name: bytes, meant: str, version: int = 1) -> bytes:
    """The extra field 0x7075, in which some tools say how a name in an old code page is meant."""
    content = struct.pack("<BL", version, zlib.crc32(name)) + meant.encode()
    return struct.pack("<HH", 0x7075, len(content)) + content


OLD = "größe".encode("cp850")


@pytest.mark.parametrize(
    ("name", "flags", "extra", "expected"),
    [
        ("größe".encode(), 0x0800, b"", "größe"),
        ("größe".encode(), 0, b"", "größe"),  # UTF-8 without saying so
        ("größe".encode("cp437"), 0, b"", "größe"),
        (OLD, 0, b"\x55\x54\0\0" + unicode_path(OLD, "裂"), "裂"),
        (OLD, 0, unicode_path(b"other", "裂"), "größe"),
        (OLD, 0, unicode_path(OLD, "裂", version=2), "größe"),
        (b"./a//b", 0, b"", "a/b"),
        (b"a\\b.png", 0, b"", "a/b.png"),
    ],
)
def test_names_are_those_that_were_meant(tmp_path, name, flags, extra, expected):
    archive = Archive(write_zip(tmp_path / "a.zip", Entry(name, b"1", flags=flags, extra=extra)))
    assert list(archive.files) == [expected]
    assert archive.read(expected, LIMIT) == b"1"


def test_an_entry_for_the_top_of_the_archive_is_no_file(tmp_path):
    archive = Archive(write_zip(tmp_path / "a.zip", Entry("./"), Entry("d/"), Entry("d/a", b"1")))
    assert (list(archive.files), archive.folders) == (["d/a"], ["d"])


def test_damage_costs_the_file_that_it_hits(tmp_path):
    entries = [Entry(name, bytes(range(200)), deflate=name > "b") for name in "abcd"]
    path = write_zip(tmp_path / "a.zip", *entries)
    content = bytearray(path.read_bytes())
    starts = [match.start() for match in re.finditer(b"PK\3\4", content)]
    for start in starts[1:3]:
        content[start + 60] ^= 1
    path.write_bytes(content)
    archive = Archive(path)
    for name in "bc":
        assert refusal(archive.read, name, LIMIT).startswith(f"{path}: {name}: is damaged in the archive")
    assert archive.read("a", LIMIT) == archive.read("d", LIMIT) == bytes(range(200))


def test_a_damaged_header_is_told(tmp_path):
    path = write_zip(tmp_path / "a.zip", Entry("a", b"1"), Entry("b", b"2"))
    path.write_bytes(path.read_bytes().replace(b"PK\3\4", b"PK\3\5", 1))
    assert "a: is damaged" in refusal(Archive(path).read, "a", LIMIT)
    assert Archive(path).read("b", LIMIT) == b"2"


@given(st.data())
def test_any_damage_is_one_line_or_the_right_content(tmp_path_factory, data):
    entries = {"a": b"", "d/b": b"0123456789" * 9, "größe": bytes(range(256))}
    whole = bytearray(zip_bytes([Entry(name, content, deflate=True) for name, content in entries.items()]))
    for position in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=3)):
        whole[position] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del whole[data.draw(st.integers(0, len(whole))) :]
    path = tmp_path_factory.mktemp("damaged") / "a.zip"
    path.write_bytes(whole)
    messages = []
    try:
        archive = Archive(path)
    except DataError as error:
        messages.append(str(error))
    else:
        for name in archive.files:
            try:
                assert archive.read(name, LIMIT) in entries.values()
            except DataError as error:
                messages.append(str(error))
    assert all(message.startswith(f"{path}: ") and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no zip archive, or a cut-off one"),
        (b"<html>", "is no zip archive"),
        (ending(0, 0, 0), "holds no file"),
        (zip_bytes([Entry("a", b"1" * 99)])[:-1], "is no zip archive, or a cut-off one"),
        (zip_bytes([Entry("a", b"1" * 99)])[:60], "is no zip archive, or a cut-off one"),
        (zip_bytes([Entry("a", b"1" * 99)])[50:], "overlaps another one or the end of the archive"),
        (zip_bytes([Entry(b"\xff", b"1", flags=0x0800)]), "is not the UTF-8 that it claims"),
    ],
)
def test_what_is_no_archive_is_one_clear_line(tmp_path, content, reason):
    (tmp_path / "a.zip").write_bytes(content)
    message = refusal(Archive, tmp_path / "a.zip")
    assert message.startswith(f"{tmp_path / 'a.zip'}: ")
    assert reason in message


def test_missing_folder_and_pipe(tmp_path):
    assert "is missing; correct archive" in refusal(Archive, tmp_path / "none.zip")
    assert "is not a regular file" in refusal(Archive, tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.zip")
        assert "is not a regular file" in refusal(Archive, tmp_path / "pipe.zip")


def test_a_file_that_is_not_there_is_named(tmp_path):
    archive = Archive(write_zip(tmp_path / "a.zip", Entry("a")))
    assert f"{tmp_path / 'a.zip'}: d/b: is missing" in refusal(archive.read, "d/b", LIMIT)


def test_an_archive_that_is_replaced_meanwhile_is_noticed(tmp_path):
    path = write_zip(tmp_path / "a.zip", Entry("a", b"1"))
    archive = Archive(path)
    other = write_zip(tmp_path / "b.zip", Entry("a", b"2"))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert "has changed while it was in use; run again" in refusal(archive.read, "a", LIMIT)
    assert Archive(path).read("a", LIMIT) == b"2"
    path.unlink()
    assert "cannot be read" in refusal(archive.read, "a", LIMIT)


def test_many_threads_read_at_once(tmp_path):
    entries = [Entry(f"{number}", os.urandom(500) * 9, deflate=number % 2 == 0) for number in range(50)]
    archive = Archive(write_zip(tmp_path / "a.zip", *entries))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda number: archive.read(f"{number % 50}", LIMIT), range(400)))
    assert read == [entries[number % 50].content for number in range(400)]


@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 3_000_000])
def test_a_file_may_be_read_in_pieces(tmp_path, deflate, size):
    content = np.random.default_rng(0).integers(0, 9, size, dtype=np.uint8).tobytes()
    archive = Archive(write_zip(tmp_path / "a.zip", Entry("a", content, deflate=deflate), Entry("b", b"1")))
    with archive.stream("a", 1 << 23) as file:
        assert file.read(7) == content[:7]
        assert file.read() == content[7:]
    assert archive.read("a", 1 << 23) == content


def test_pieces_take_no_more_memory_than_two_of_them(tmp_path):
    entry = Entry("a", bytes(range(256)) * (1 << 17))
    archive = Archive(write_zip(tmp_path / "a.zip", entry))
    tracemalloc.start()
    with archive.stream("a", 1 << 25) as file:
        assert sum(len(piece) for piece in iter(lambda: file.read(1 << 16), b"")) == 1 << 25
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_damage_is_told_by_the_last_piece(tmp_path):
    archive = Archive(write_zip(tmp_path / "a.zip", Entry("a", b"1" * 3_000_000, crc=1), Entry("b", b"2")))
    with archive.stream("a", 1 << 23) as file:
        assert file.read(1 << 20) == b"1" * (1 << 20)
        assert "a.zip: a: is damaged" in refusal(file.read)
    with archive.stream("b", 0) as file:
        assert "the limit is 0" in refusal(file.read)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list open files")
def test_a_file_that_is_not_read_to_its_end_is_closed(tmp_path):
    archive = Archive(write_zip(tmp_path / "a.zip", Entry("a", b"1" * 3_000_000)))
    handles = Path("/proc/self/fd")
    before = len(list(handles.iterdir()))
    with archive.stream("a", 1 << 23) as file:
        file.read(1)
        assert len(list(handles.iterdir())) == before + 1
    assert len(list(handles.iterdir())) == before


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 400_000),
    st.integers(1, 9),
    st.sampled_from([1, 7, 4096, 1 << 20]),
)
@settings(max_examples=30)
def test_every_way_to_compress_gives_the_content_back(tmp_path_factory, seed, size, level, piece):
    """Runs, noise and matches across the borders of pieces."""
    random = np.random.default_rng(seed)
    content = b"".join(
        bytes([random.integers(256)]) * int(random.integers(1, 5000))
        if random.integers(2)
        else random.bytes(int(random.integers(1, 600)))
        for _ in range(size // 1000 + 1)
    )
    path = tmp_path_factory.mktemp("way") / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as made:
        made.writestr("a", content)
    archive = Archive(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ova.data.files.archive._PIECE", max(piece, len(content) // 5000))
        assert archive.read("a", len(content)) == content
