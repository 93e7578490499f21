"""Every kind of image that is read, written byte by byte, with the digest of the pixels that it must give.

The pixels are the same through the decoder, from a folder and from a zip. `tests/data/images/test_images.py` says by
formula what they are; the digests here notice when any of them changes, which is a new `PIXEL_FORMAT`.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from zips import Entry, write_zip

import ova
from ova.data.files.image_files import FolderFiles, ImageFiles
from ova.data.files.zip_files import ZipFiles
from ova.data.images.decode import decode_image
from ova.data.images.facts import Decoding
from ova.data.images.store import StoreSpec, prepare_stores

SIDE = 16
INTERLACED = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def rows_of(samples: np.ndarray, depth: int) -> bytes:
    """Unfiltered rows of (height, width, samples)."""
    flat = samples.reshape(samples.shape[0], -1)
    if depth == 16:
        packed = flat.astype(">u2").view(np.uint8)
    elif depth == 8:
        packed = flat.astype(np.uint8)
    else:
        bits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=2)[:, :, 8 - depth :]
        packed = np.packbits(bits.reshape(len(flat), -1), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)


def png(samples: np.ndarray, depth: int, colour: int, *extra: bytes, interlaced: bool = False) -> bytes:
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, interlaced)
    rows = rows_of(samples, depth)
    if interlaced:  # Adam7
        rows = b"".join(rows_of(samples[y::down, x::right], depth) for y, x, down, right in INTERLACED)
    data = chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(data)


def exif(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HHI", orientation, 0, 0)


def jpeg(blocks: np.ndarray, mode: str = "RGB", **options: object) -> bytes:
    """Blocks of one colour each, which every decoder gives back alike."""
    pixels = blocks.repeat(8, axis=0).repeat(8, axis=1)
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), mode).save(
        content, "JPEG", quality=100, subsampling=0, **options
    )
    return content.getvalue()


def golden() -> dict[str, tuple[bytes, int | None]]:
    """Name -> (file, white level)."""
    source = random.Random(7)  # noqa: S311 (its bytes are the same in every version)

    def draw(top: int, samples: int = 1) -> np.ndarray:
        numbers = np.frombuffer(source.randbytes(4 * SIDE * SIDE * samples), "<u4")
        return (numbers % top).reshape(SIDE, SIDE, samples)

    palette = chunk(b"PLTE", bytes(range(0, 192, 4)))
    colours = np.array([[[200, 30, 90], [0, 255, 10]], [[255, 255, 255], [13, 77, 200]]])
    inks = np.array([[[255, 0, 0, 0], [0, 200, 0, 40]], [[0, 0, 0, 255], [9, 60, 120, 0]]])
    orientations = {number: exif(number) for number in range(1, 9)}
    return {
        "grey": (png(draw(256), 8, 0), None),
        "1 bit": (png(draw(2), 1, 0), None),
        "2 bits": (png(draw(4), 2, 0), None),
        "4 bits": (png(draw(16), 4, 0), None),
        "colour": (png(draw(256, 3), 8, 2), None),
        "interlaced": (png(draw(256, 3), 8, 2, interlaced=True), None),
        "grey with a transparent value": (png(draw(8), 8, 0, chunk(b"tRNS", b"\0\3")), None),
        "colour with a transparent one": (png(draw(2, 3), 8, 2, chunk(b"tRNS", b"\0\1\0\1\0\1")), None),
        "palette": (png(draw(16), 8, 3, palette), None),
        "palette of 4 bits": (png(draw(16), 4, 3, palette), None),
        "palette and tRNS": (png(draw(16), 8, 3, palette, chunk(b"tRNS", bytes(range(0, 256, 16)))), None),
        "grey and alpha": (png(draw(256, 2), 8, 4), None),
        "colour and alpha": (png(draw(256, 4), 8, 6), None),
        "16-bit grey": (png(draw(65536), 16, 0), None),
        "12 of 16 bits": (png(draw(4096), 16, 0), 4095),
        "16-bit grey and tRNS": (png(draw(6) * 257, 16, 0, chunk(b"tRNS", struct.pack(">H", 514))), None),
        "gamma": (png(draw(256), 8, 0, chunk(b"gAMA", struct.pack(">I", 100_000))), None),
        **{f"PNG turned {n}": (png(draw(256), 8, 0, chunk(b"eXIf", tag)), None) for n, tag in orientations.items()},
        "grey JPEG": (jpeg(colours[:, :, 0], "L"), None),
        "JPEG": (jpeg(colours), None),
        "progressive JPEG": (jpeg(colours, progressive=True), None),
        "CMYK JPEG": (jpeg(inks, "CMYK"), None),
        **{f"JPEG turned {n}": (jpeg(colours, exif=b"Exif\0\0" + tag), None) for n, tag in orientations.items()},
    }  # fmt: skip


GOLDEN = golden()
DIGESTS: dict[str, str] = {
    "grey": "0452b2d575e048f6 f5baec57d5af6a96",
    "1 bit": "2224fca51e94a1c0 b97d614b84bf898a",
    "2 bits": "e02fa1185a7c4c95 54c0e68dbdc2d005",
    "4 bits": "84dabc898f06dbab 44d7d8fb95cc3337",
    "colour": "f162a325316514e1 48965c4e70bddcea",
    "interlaced": "6de5f07365b5cba2 555e394eff85141f",
    "grey with a transparent value": "fa3d6e3dbd6f8159 70782bcea31a9fc2",
    "colour with a transparent one": "5a4de7484ac78637 63b7bc6b733a777f",
    "palette": "48dea5ae16ac38de a8047fb141904453",
    "palette of 4 bits": "82e9b0cebf6d4155 58b5b7d2893f3943",
    "palette and tRNS": "ecdb7a260d6b400b 11769800fda49fdf",
    "grey and alpha": "9f3c0f0fa21ef673 2c1d23429b0fe00c",
    "colour and alpha": "e8aa96910b3a7b45 29ef12c092625748",
    "16-bit grey": "b6d71947dcd5dc90 dddcb0189b751259",
    "12 of 16 bits": "61ce6c154f292810 0fe9e9a8faa006c7",
    "16-bit grey and tRNS": "f4bbb9a0cc66fd91 e4b145f9dc9a5ca4",
    "gamma": "227cee955e7bdbdf ad5f64ad7f352bff",
    "PNG turned 1": "8f59e90d1cf23b74 fa3334b10c992e2e",
    "PNG turned 2": "e00c3541d88f8421 a540457c15d23f89",
    "PNG turned 3": "b20532c808d3b733 7115cd2517d8c150",
    "PNG turned 4": "bbb23f3171c5be9c 9e8e4bd697e96414",
    "PNG turned 5": "85218a8399805f3e 65175c5d6e3be6d9",
    "PNG turned 6": "1189b50c9c8963d3 60acf35d5648b6f0",
    "PNG turned 7": "80c703820be5977d 34916d6185d4f3c8",
    "PNG turned 8": "f738768d4ea76d7a 0a7d31b1540cd5c4",
    "grey JPEG": "04094155f8e0ebf5 d64e9fc376824ea3",
    "JPEG": "24b9d680bf7442a9 f9248f9da283f0c4",
    "progressive JPEG": "24b9d680bf7442a9 f9248f9da283f0c4",
    "CMYK JPEG": "5ddc31e892513f11 7688cd09e0b6d87b",
    "JPEG turned 1": "24b9d680bf7442a9 f9248f9da283f0c4",
    "JPEG turned 2": "9af928b7e6d15739 301a40adbb022808",
    "JPEG turned 3": "c996cf01e1c0ca1c 5e6b6ef6718eab5d",
    "JPEG turned 4": "70ff29253fa9ca52 dc4f43c95a82c946",
    "JPEG turned 5": "c120cd38a31d19d1 2914de5d1c73a889",
    "JPEG turned 6": "ddc1571281f4e106 217d31f66cdf112b",
    "JPEG turned 7": "2c7feb42cb35765c c8184bc81be47318",
    "JPEG turned 8": "f6d60c54eb0d5cdb f251a229e2a6e743",
}


def digest(pixels: np.ndarray) -> str:
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("name", GOLDEN)
def test_pixels_are_what_they_always_were(name):
    content, white_level = GOLDEN[name]
    both = [decode_image(content, channels=channels, white_level=white_level) for channels in (3, 1)]
    assert " ".join(map(digest, both)) == DIGESTS[name]


def test_orientations_differ_and_are_all_there():
    for kind in ("PNG", "JPEG"):
        assert len({DIGESTS[f"{kind} turned {number}"] for number in range(1, 9)}) == 8
    assert GOLDEN.keys() == DIGESTS.keys()
    assert len(GOLDEN) >= 24


@pytest.mark.parametrize("place", ["folder", "zip"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("white_level", [None, 4095])
def test_a_store_holds_the_same_pixels_wherever_the_images_lie(tmp_path, place, channels, white_level):
    contents = {name: content for name, (content, white) in GOLDEN.items() if white == white_level}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    entries = [Entry(name, content, deflate=True) for name, content in contents.items()]
    zipped = ZipFiles(write_zip(tmp_path / "a.zip", *entries))
    files: ImageFiles = zipped if place == "zip" else FolderFiles(tmp_path)
    spec, decoding = StoreSpec(SIDE, SIDE, channels), Decoding(white_level)
    names = list(contents)
    _, stores = prepare_stores(files, names, [spec], tmp_path / "store", known={}, decoding=decoding)
    pixels = stores[spec].read(stores[spec].rows(names))
    assert [digest(image) for image in pixels] == [DIGESTS[name].split()[channels == 1] for name in names]


def test_nothing_else_decodes_an_image():
    """Training, export, prediction and serving all see the pixels of this one decoder."""
    others = re.compile(r"Image\.open\(|\bimread\b|\bImageReader\b|decode_jpeg|decode_png|torchvision\.io")
    package = Path(ova.__file__).parent
    found = [path for path in package.rglob("*.py") if others.search(path.read_text(encoding="utf-8"))]
    decoder = package / "data/images/decode.py"
    drawings = package / "analysis/html.py"  # opens the pictures that were just drawn
    assert [path for path in found if path not in {decoder, drawings}] == []
