"""The pixel store: every image decoded once per input size, as uint8 rows in files of up to 64 GiB.

A store is named by the digest of what it holds, shared by every head, fold and later run, and read by index.
In it are `pixels-000.bin`, `pixels-001.bin`, ..., `rows.safetensors` (which image is where) and `index.json`.

Files of pixels are read, not mapped. A mapped file counts as resident memory as it is read, kills the process
when the disk fails, and on a cold disk is read page by page. Plain reads do none of that, and the system is
told first of all rows that are wanted, so that it fetches them side by side.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ova.data.files.image_files import ImageFiles
from ova.data.images.colour import to_channels
from ova.data.images.crop import WHOLE
from ova.data.images.facts import Decoding, ImageFacts, unchanged
from ova.data.images.intake import PixelMeasureStore, examine_images
from ova.data.images.resize import resize_pixels
from ova.digests import digest_arrays, digest_json
from ova.errors import ArtefactError
from ova.progress import Progress
from ova.storage import (
    Building,
    building_folder,
    fill_file,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)

# Part of every store's digest: raised when decoding or resizing changes any pixel, or the form of the files.
PIXEL_FORMAT = 2
_SHARD_BYTES = 64 * 2**30
_KEY_BYTES = 16  # of the SHA-256 of the name of an image


@dataclass(frozen=True)
class StoreSpec:
    """The form in which a head reads its images."""

    height: int
    width: int
    channels: int
    crop: int = WHOLE
    """Thousandths of either side that are kept, in the middle."""

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return self.height * self.width * self.channels


class PixelStore:
    """Decoded images by row: `store.read(store.rows(images))`."""

    def __init__(self, folder: Path) -> None:
        """Open a store.

        Raises:
            ArtefactError: Part of it is missing or damaged.
        """
        index = read_json(folder / "index.json")
        self.folder = folder
        self.spec = StoreSpec(**index["spec"])
        self._images = ImageRows.read(folder / "rows.safetensors")
        self._shard_rows = int(index["shard_rows"])
        self._shards = [
            _open_shard(path, self.spec, count)
            for path, count in _shards(folder, len(self), self._shard_rows)
        ]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __reduce__(self) -> tuple[type[PixelStore], tuple[Path]]:
        """Open it anew where it is sent to: files do not travel between processes."""
        return PixelStore, (self.folder,)

    def rows(self, images: Sequence[str]) -> NDArray[np.intp]:
        """Return the rows of named images, (n,).

        Raises:
            KeyError: The store holds no such image.
        """
        return self._images.find(images)

    def order_digest(self) -> str:
        """Digest which image is in which row: the same images may have been stored in another order."""
        return digest_arrays({"row": self._images.row})

    def read(self, rows: Sequence[int] | NDArray[np.intp]) -> NDArray[np.uint8]:
        """Read images by row, in any order, from several threads if need be.

        Returns:
            (n, height, width, channels) uint8.

        Raises:
            IndexError: There is no such row.
            OSError: The disk failed.
        """
        wanted = np.asarray(rows, np.intp)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of a store of {len(self)} images")
        spec = self.spec
        pixels = np.empty((len(wanted), spec.height, spec.width, spec.channels), np.uint8)
        shards, places = (part.tolist() for part in np.divmod(wanted, self._shard_rows))
        for shard, place in zip(shards, places, strict=True):
            self._shards[shard].announce([place])
        for image, shard, place in zip(pixels, shards, places, strict=True):
            self._shards[shard].read_into(place, image)
        return pixels


def _open_shard(path: Path, spec: StoreSpec, count: int) -> PixelFile:
    if not path.is_file() or path.stat().st_size != count * spec.row_bytes:
        raise ArtefactError(f"{path} has the wrong size; remove {path.parent} and run again")
    return PixelFile(path, spec.row_bytes)


class PixelFile:
    """A file of pixels, a row per image; safe in several threads."""

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


@dataclass(frozen=True, eq=False)
class ImageRows:
    """The rows of n images.

    Attributes:
        keys: (n,) S16, the first 128 bits of the SHA-256 of every name, sorted.
        row: (n,) int64, the row of each.
    """

    keys: NDArray[np.bytes_]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, images: Sequence[str]) -> ImageRows:
        """Number images in the order given."""
        keys = _keys(images)
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], order.astype(np.int64))

    @classmethod
    def read(cls, path: Path) -> ImageRows:
        """Read what `write` wrote.

        Raises:
            ArtefactError: It is missing or damaged.
        """
        tensors, _ = read_tensors(path)
        try:
            return cls(tensors["keys"].reshape(-1, _KEY_BYTES).view(f"S{_KEY_BYTES}").ravel(), tensors["row"])
        except (KeyError, ValueError) as error:
            raise ArtefactError(f"{path} lists no images; remove {path.parent} and run again") from error

    def write(self, path: Path) -> None:
        """Write the rows as safetensors."""
        write_tensors(path, {"keys": self.keys.view(np.uint8), "row": self.row})

    def __len__(self) -> int:
        """Return n."""
        return len(self.row)

    def find(self, images: Sequence[str]) -> NDArray[np.intp]:
        """Return the rows of named images.

        Raises:
            KeyError: There is no such image.
        """
        wanted = _keys(images)
        places = np.searchsorted(self.keys, wanted).clip(max=max(len(self) - 1, 0))
        strange = self.keys[places] != wanted if len(self) else np.ones(len(wanted), np.bool_)
        if strange.any():
            raise KeyError(images[int(np.argmax(strange))])
        return self.row[places].astype(np.intp)


def _keys(images: Iterable[str]) -> NDArray[np.bytes_]:
    return np.frombuffer(
        b"".join(hashlib.sha256(image.encode()).digest()[:_KEY_BYTES] for image in images), f"S{_KEY_BYTES}"
    )


def prepare_stores(
    files: ImageFiles,
    images: Sequence[str],
    specs: Sequence[StoreSpec],
    folder: Path,
    *,
    known: dict[str, ImageFacts],
    decoding: Decoding = Decoding(),  # noqa: B008 (immutable)
    measure_store: PixelMeasureStore | None = None,
    progress: Progress | None = None,
    shard_bytes: int = _SHARD_BYTES,
) -> tuple[list[ImageFacts], dict[StoreSpec, PixelStore]]:
    """Return facts and stores of all images, decoding each at most once.

    Args:
        files: Where the images lie.
        images: Image ids.
        specs: The forms that heads read.
        folder: Where stores lie, a folder per digest.
        known: Facts of an earlier intake, used for files that have not changed.
        decoding: How files become pixels.
        measure_store: Takes what it sees of the images that are decoded.
        progress: Told as images are done.
        shard_bytes: Most bytes of one file of pixels.

    Raises:
        DataError: Images are missing or unreadable.
        EnvironmentFault: The store cannot be written.
    """
    old = [unchanged(files, image, known, decoding) for image in images]
    facts = [fact for fact in old if fact is not None]
    wanted = list(dict.fromkeys(specs))
    if len(facts) == len(images):
        wanted = [spec for spec in wanted if not (folder / store_digest(spec, facts)).is_dir()]
    if wanted or len(facts) < len(images):
        facts = _build(files, images, wanted, folder, decoding, measure_store, progress, shard_bytes)
    return facts, {spec: PixelStore(folder / store_digest(spec, facts)) for spec in specs}


def store_digest(spec: StoreSpec, facts: Sequence[ImageFacts]) -> str:
    """Name a store by its form and the content of its images."""
    content = sorted((fact.image, fact.pixels_blake3) for fact in facts)
    return digest_json([PIXEL_FORMAT, asdict(spec), content])


def _build(
    files: ImageFiles,
    images: Sequence[str],
    specs: Sequence[StoreSpec],
    folder: Path,
    decoding: Decoding,
    measure_store: PixelMeasureStore | None,
    progress: Progress | None,
    shard_bytes: int,
) -> list[ImageFacts]:
    with ExitStack() as stack:
        building = [stack.enter_context(building_folder(folder)) for _ in specs]
        for place in building[:1]:
            place.require(len(images) * sum(spec.row_bytes for spec in specs))
        writers = [
            _Writer.begin(place, spec, len(images), shard_bytes)
            for place, spec in zip(building, specs, strict=True)
        ]
        pixel_measures = [*writers, measure_store.pixel_measure] if measure_store else writers
        facts, seen = examine_images(
            files, images, decoding=decoding, pixel_measures=pixel_measures, progress=progress
        )
        if measure_store:
            measure_store.add(facts, seen[-1])
        for place, writer in zip(building, writers, strict=True):
            ImageRows.of(images).write(place.path / "rows.safetensors")
            index = {"spec": asdict(writer.spec), "shard_rows": writer.shard_rows}
            write_json(place.path / "index.json", index)
            place.commit(store_digest(writer.spec, facts))
    return facts


@dataclass(frozen=True)
class _Writer:
    """Puts every image into a store under construction: a `PixelMeasure`."""

    folder: Path
    spec: StoreSpec
    shard_rows: int

    @classmethod
    def begin(cls, building: Building, spec: StoreSpec, count: int, shard_bytes: int) -> _Writer:
        writer = cls(building.path, spec, max(1, shard_bytes // spec.row_bytes))
        for path, rows in _shards(building.path, count, writer.shard_rows):
            building.allocate(path.name, rows * spec.row_bytes)
        return writer

    def __call__(self, index: int, pixels: NDArray[np.uint8], /) -> None:
        shown = to_channels(pixels, self.spec.channels) if self.spec.channels == 1 else pixels
        size = (self.spec.height, self.spec.width)
        resized = to_channels(resize_pixels(shown, size, self.spec.crop), self.spec.channels)
        shard, place = divmod(index, self.shard_rows)
        fill_file(_shard(self.folder, shard), place * self.spec.row_bytes, resized)


def _shards(folder: Path, count: int, shard_rows: int) -> list[tuple[Path, int]]:
    """List the files of a store of `count` images, and the images in each."""
    starts = range(0, count, shard_rows)
    return [(_shard(folder, number), min(shard_rows, count - start)) for number, start in enumerate(starts)]


def _shard(folder: Path, number: int) -> Path:
    return folder / f"pixels-{number:03d}.bin"
