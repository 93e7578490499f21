"""Small files that would become huge: each is refused with one line and exit code 4.

The command runs in a child with 1.5 GiB of memory above what it starts with, and 10 seconds of processor time.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import re
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zips import Entry, ending, write_zip, zip_bytes

GIB = 1 << 30
SOUND = np.random.default_rng(0).integers(0, 256, (9, 9), dtype=np.uint8)


def png(pixels: np.ndarray = SOUND, **options: object) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", **options)
    return content.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def raw_png(width: int, height: int, *chunks: bytes, rows: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    data = chunk(b"IDAT", rows or zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + chunk(b"IEND", b"")


def zeros(size: int, bits: int) -> bytes:
    """Deflate `size` zeros, a multiple of 1 MiB, by writing the same MiB again and again."""
    pack = zlib.compressobj(9, zlib.DEFLATED, bits)
    first = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    again = pack.compress(bytes(1 << 20)) + pack.flush(zlib.Z_FULL_FLUSH)
    return first + again * ((size >> 20) - 1) + pack.flush()


def jpeg_of_size(side: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(SOUND).save(content, "JPEG")
    data = content.getvalue()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def animation(kind: str) -> bytes:
    content = io.BytesIO()
    frames = [Image.fromarray(np.full((9, 9), number % 251, np.uint8)) for number in range(1000)]
    frames[0].save(content, kind, save_all=True, append_images=frames[1:])
    return content.getvalue()


def text_chunk(kind: bytes) -> bytes:
    start = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"k\0\0"}[kind]
    return raw_png(9, 9, chunk(kind, start + zeros(256 << 20, 15)), rows=zlib.compress(bytes(90)))


# name -> (what lies in the place of one image, a word of the reason; None if it is sound in spite of it)
IMAGES: dict[str, tuple[Callable[[], bytes], str | None]] = {
    "50,000 x 50,000 PNG": (lambda: raw_png(50_000, 50_000), "has 50000 x 50000 pixels"),
    "2^31 x 1 PNG": (lambda: raw_png(2**31 - 1, 1), "pixels"),
    "60,000 x 60,000 JPEG": (lambda: jpeg_of_size(60_000), "has 60000 x 60000 pixels"),
    "50 megapixels that are not there": (lambda: raw_png(7_000, 7_000), "damaged or cut-off"),
    "PNG of 256 MiB of rows in a small header": (lambda: raw_png(9, 9, rows=zeros(256 << 20, 15)), None),
    "50 megapixels of black": (lambda: raw_png(7_000, 7_000, rows=zeros(48 << 20, 15)), None),
    "PNG with 256 MiB of packed text": (lambda: text_chunk(b"zTXt"), "damaged or cut-off"),
    "PNG with 256 MiB of packed Unicode text": (lambda: text_chunk(b"iTXt"), "damaged or cut-off"),
    "PNG with 256 MiB of colour profile": (lambda: text_chunk(b"iCCP"), "damaged or cut-off"),
    "GIF of 1,000 frames": (lambda: animation("GIF"), "neither JPEG nor PNG"),
    "PNG of 1,000 frames": (lambda: animation("PNG"), "is animated"),
    "packed FITS": (lambda: gzip.compress(b"SIMPLE  =" + bytes(20 << 20)), "neither JPEG nor PNG"),
    "zip in a zip": (lambda: zip_bytes([Entry("a.zip", zip_bytes([Entry("a", b"1")]))]), "neither JPEG nor PNG"),
}  # fmt: skip


def packed(size: int, **told: int) -> Entry:
    """2 GiB of zeros in 2 MiB; `told` is what the archive says of it."""
    entry = Entry("a.png", b"", deflate=True, size=size, crc=0)
    entry.packed = zeros(2 * GIB, -15)
    entry.packed_size = len(entry.packed)
    for name, value in told.items():
        setattr(entry, name, value)
    return entry


def entries_beyond_the_cap(claimed: int) -> bytes:
    directory = Entry("a").listed(0) * 1_000_001
    return directory + ending(claimed, len(directory), 0, zip64=True)


def overlapping() -> bytes:
    content = Entry("a", bytes(1 << 20), deflate=True)
    directory = b"".join(
        Entry(f"{number:05d}", content.content, deflate=True, offset=0).listed(0) for number in range(3)
    )
    one = len(directory) // 3
    names = [directory[:one].replace(b"00000", b"%05d" % number) for number in range(30_000)]
    return content.local() + b"".join(names) + ending(30_000, one * 30_000, len(content.local()))


def by_method(method: int, content: bytes) -> bytes:
    entry = Entry("a.png", b"", method=method, size=1000)
    entry.packed, entry.packed_size = content, len(content)
    return zip_bytes([entry])


# name -> (an archive, a word of the reason)
ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "2 GiB in 2 MiB": (lambda: zip_bytes([packed(2 * GIB)]), "has 2,147,483,648 bytes, the limit is 67,108,864"),
    "2 GiB that are told to be 1,000": (lambda: zip_bytes([packed(1000)]), "takes more room in the archive"),
    "2 GiB that are told to be 60 MiB": (lambda: zip_bytes([packed(60 << 20)]), "is damaged in the archive"),
    "2 GiB that are told to be stored": (lambda: zip_bytes([packed(2 << 20, method=0)]), "room|damaged|neither"),
    "60 MiB in 60 KiB": (lambda: zip_bytes([Entry("a.png", bytes(60 << 20), deflate=True)]), "more than 200 times"),
    "bzip2": (lambda: by_method(12, bz2.compress(bytes(1 << 20))), "compressed by method 12"),
    "30,000 entries of one content": (overlapping, "overlaps another one"),
    "1,000,001 entries": (lambda: entries_beyond_the_cap(1_000_001), "holds more than 1,000,000 entries"),
    "1,000,001 entries that are told to be 1": (lambda: entries_beyond_the_cap(1), "holds more than 1,000,000 entries"),
    "a directory of 2^62 bytes": (lambda: ending(1, 1 << 62, 0, zip64=True), "is no zip archive"),
    "a directory of 300 MiB": (lambda: ending(1, 300 << 20, 0), "its directory is larger than 256 MiB"),
}  # fmt: skip


# What lies before an archive: as many zeros, of which no disk keeps any.
HOLES = {"a directory of 300 MiB": 300 << 20}


def write_workspace(folder: Path, images: Iterable[str], recipe: str) -> Path:
    data = folder / "data"
    data.mkdir(parents=True)
    rows = "".join(f"{name},{number % 2}\n" for number, name in enumerate(images))
    (data / "labels.csv").write_text(f"file,crack\n{rows}")
    (data / "dataset.toml").write_text(
        f'labels = "labels.csv"\n{recipe}[split]\ntest = 0.4\nvalidation = 0.3\n'
    )
    return data


def image_workspace(folder: Path, content: bytes, *, zipped: bool) -> None:
    contents = {"bomb.png": content, **{f"{number}.png": png(SOUND + number) for number in range(7)}}
    data = write_workspace(folder, contents, 'archive = "a.zip"\n' if zipped else "")
    if zipped:
        with zipfile.ZipFile(data / "a.zip", "w") as made:
            for name, image in contents.items():
                made.writestr(name, image)
        return
    for name, image in contents.items():
        (data / name).write_bytes(image)


def table_workspace(folder: Path) -> None:
    """The label table itself is the bomb."""
    data = write_workspace(folder, ["a.png"], 'archive = "a.zip"\n')
    (data / "labels.csv").unlink()
    entry = packed(200 << 20)
    entry.name = b"labels.csv"
    write_zip(data / "a.zip", entry)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Name of a bomb -> what `ova data check` said to it."""
    base = tmp_path_factory.mktemp("bombs")
    for name, (make, _) in IMAGES.items():
        content = make()
        image_workspace(base / name, content, zipped=False)
        image_workspace(base / f"{name} in a zip", content, zipped=True)
    for name, (make, _) in ARCHIVES.items():
        archive = write_workspace(base / name, ["a.png"], 'archive = "a.zip"\n') / "a.zip"
        with archive.open("wb") as file:
            file.seek(HOLES.get(name, 0))
            file.write(make())
    table_workspace(base / "a table of 200 MiB in 2 MiB")
    names = sorted(path.name for path in base.iterdir())
    limited = Path(__file__).with_name("limited.py")
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(limited), *(str(base / name) for name in names)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(names, json.loads(done.stdout), strict=True))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs limits of memory and time"),
]


def refusal(answer: dict[str, object]) -> str:
    """Return the one line of an answer that refuses."""
    assert answer["code"] == 4, answer
    # Where the table could be read, what is wrong with the images is listed: the bomb alone is unreadable.
    if answer["out"]:
        assert re.findall(r"^ +unreadable +(\d+) ", str(answer["out"]), re.MULTILINE) == ["1"], answer["out"]
    (line,) = str(answer["err"]).splitlines()
    assert line.startswith("ova: ")
    return line


@pytest.mark.parametrize("where", ["", " in a zip"])
@pytest.mark.parametrize("name", IMAGES)
def test_images(answers, name, where):
    answer, reason = answers[name + where], IMAGES[name][1]
    if reason is None:
        assert answer["code"] == 0, answer
        return
    line = refusal(answer)
    assert re.search(reason, line)
    assert "1 of 8 images cannot be used" in line


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(answers, name):
    assert re.search(ARCHIVES[name][1], refusal(answers[name]))


def test_label_tables(answers):
    line = refusal(answers["a table of 200 MiB in 2 MiB"])
    assert "a.zip: labels.csv: line 1 has a NUL byte" in line


def test_all_of_them_stay_small(answers):
    assert len(answers) == 2 * len(IMAGES) + len(ARCHIVES) + 1
    assert max(answer["mib"] for answer in answers.values()) < 1024
