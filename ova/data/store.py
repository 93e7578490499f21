"""The pixel store: every image decoded once per input size, as uint8 rows in files of up to 64 GiB.

A store is named by the digest of what it holds, shared by every head, fold and later run, and read by index.
In it are `pixels-000.bin`, `pixels-001.bin`, ..., `rows.safetensors` (which image is where) and `index.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.colour import to_channels
from ova.data.crop import WHOLE
from ova.data.facts import Decoding, ImageFacts, unchanged
from ova.data.files import ImageFiles
from ova.data.image_rows import ImageRows
from ova.data.intake import Taking, examine_images
from ova.data.pixel_file import PixelFile
from ova.data.resize import resize_pixels
from ova.digests import digest_json
from ova.errors import ArtefactError
from ova.progress import Progress
from ova.storage import Building, building_folder, fill_file, read_json, write_json

# Part of every store's digest: raised when decoding or resizing changes any pixel, or the form of the files.
PIXEL_FORMAT = 2
SHARD_BYTES = 64 * 2**30


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


def store_digest(spec: StoreSpec, facts: Sequence[ImageFacts]) -> str:
    """Name a store by its form and the content of its images."""
    content = sorted((fact.image, fact.pixels_blake3) for fact in facts)
    return digest_json([PIXEL_FORMAT, asdict(spec), content])


def prepare_stores(
    files: ImageFiles,
    images: Sequence[str],
    specs: Sequence[StoreSpec],
    folder: Path,
    *,
    known: dict[str, ImageFacts],
    decoding: Decoding = Decoding(),  # noqa: B008 (immutable)
    taking: Taking | None = None,
    progress: Progress | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> tuple[list[ImageFacts], dict[StoreSpec, PixelStore]]:
    """Return facts and stores of all images, decoding each at most once.

    Args:
        files: Where the images lie.
        images: Image ids.
        specs: The forms that heads read.
        folder: Where stores lie, a folder per digest.
        known: Facts of an earlier intake, used for files that have not changed.
        decoding: How files become pixels.
        taking: Takes what it sees of the images that are decoded.
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
        facts = _build(files, images, wanted, folder, decoding, taking, progress, shard_bytes)
    return facts, {spec: PixelStore(folder / store_digest(spec, facts)) for spec in specs}


def _build(
    files: ImageFiles,
    images: Sequence[str],
    specs: Sequence[StoreSpec],
    folder: Path,
    decoding: Decoding,
    taking: Taking | None,
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
        looks = [*writers, taking.look] if taking else writers
        facts, seen = examine_images(files, images, decoding=decoding, looks=looks, progress=progress)
        if taking:
            taking.take(facts, seen[-1])
        for place, writer in zip(building, writers, strict=True):
            ImageRows.of(images).write(place.path / "rows.safetensors")
            index = {"spec": asdict(writer.spec), "shard_rows": writer.shard_rows}
            write_json(place.path / "index.json", index)
            place.commit(store_digest(writer.spec, facts))
    return facts


@dataclass(frozen=True)
class _Writer:
    """Puts every image into a store under construction: a `Look`."""

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


def _open_shard(path: Path, spec: StoreSpec, count: int) -> PixelFile:
    if not path.is_file() or path.stat().st_size != count * spec.row_bytes:
        raise ArtefactError(f"{path} has the wrong size; remove {path.parent} and run again")
    return PixelFile(path, spec.row_bytes)
