"""The pixel store: every image decoded once per input size, as one uint8 memory map.

A store is named by the digest of what it holds, shared by every head, fold and later run, and read by index.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.files import ImageFiles
from ova.data.images import luma
from ova.data.intake import ImageFacts, examine_images, unchanged
from ova.data.resize import resize_pixels
from ova.digests import digest_json
from ova.errors import ArtefactError
from ova.progress import Progress
from ova.storage import building_folder, read_json, write_json

# Part of every store's digest: raised when decoding or resizing changes any pixel.
PIXEL_FORMAT = 1


@dataclass(frozen=True)
class StoreSpec:
    """The form in which a head reads its images."""

    height: int
    width: int
    channels: int


class PixelStore:
    """Decoded images by index: `store.pixels[store.rows(images)]` is uint8 (n, height, width, channels)."""

    def __init__(self, folder: Path) -> None:
        index = read_json(folder / "index.json")
        self.spec = StoreSpec(**index["spec"])
        shape = (len(index["images"]), self.spec.height, self.spec.width, self.spec.channels)
        file = folder / "pixels.bin"
        if not file.is_file() or file.stat().st_size != int(np.prod(shape)):
            raise ArtefactError(f"{file} has the wrong size; remove {folder} and run again")
        self.pixels: NDArray[np.uint8] = np.memmap(file, np.uint8, "r", shape=shape)
        self._row_of = {image: row for row, image in enumerate(index["images"])}

    def rows(self, images: Sequence[str]) -> NDArray[np.intp]:
        """Rows of the named images in `pixels`."""
        return np.array([self._row_of[image] for image in images], np.intp)


def store_digest(spec: StoreSpec, facts: Sequence[ImageFacts]) -> str:
    """Name a store by its form and the content of its images."""
    content = sorted((fact.image, fact.pixels_sha256) for fact in facts)
    return digest_json([PIXEL_FORMAT, asdict(spec), content])


def prepare_stores(
    files: ImageFiles,
    images: Sequence[str],
    specs: Sequence[StoreSpec],
    folder: Path,
    *,
    known: dict[str, ImageFacts],
    white_level: int | None = None,
    progress: Progress | None = None,
) -> tuple[list[ImageFacts], dict[StoreSpec, PixelStore]]:
    """Return facts and stores of all images, decoding each at most once.

    Args:
        files: Where the images lie.
        images: Image ids.
        specs: The forms that heads read.
        folder: Where stores lie, a folder per digest.
        known: Facts of an earlier intake, used for files that have not changed.
        white_level: Value that becomes white in 16-bit images.
        progress: Told after every image.

    Raises:
        DataError: Images are missing or unreadable.
        EnvironmentFault: The store cannot be written.
    """
    old = [unchanged(files, image, known, white_level) for image in images]
    facts = [fact for fact in old if fact is not None]
    wanted = list(dict.fromkeys(specs))
    if len(facts) == len(images):
        wanted = [spec for spec in wanted if not (folder / store_digest(spec, facts)).is_dir()]
    if wanted or len(facts) < len(images):
        facts = _build(files, images, wanted, folder, white_level, progress)
    return facts, {spec: PixelStore(folder / store_digest(spec, facts)) for spec in specs}


def _build(
    files: ImageFiles,
    images: Sequence[str],
    specs: Sequence[StoreSpec],
    folder: Path,
    white_level: int | None,
    progress: Progress | None,
) -> list[ImageFacts]:
    with ExitStack() as stack:
        maps: list[tuple[StoreSpec, NDArray[np.uint8]]] = []
        pending = []
        for spec in specs:
            building = stack.enter_context(building_folder(folder))
            shape = (len(images), spec.height, spec.width, spec.channels)
            maps.append((spec, building.allocate("pixels.bin", shape)))
            pending.append((spec, building))

        def visit(index: int, pixels: NDArray[np.uint8]) -> None:
            for spec, target in maps:
                shown = pixels if spec.channels == 3 else luma(pixels)[..., None]
                target[index] = resize_pixels(shown, (spec.height, spec.width))

        facts = examine_images(files, images, white_level=white_level, visit=visit, progress=progress)
        for (_, target), (spec, building) in zip(maps, pending, strict=True):
            target.flush()  # type: ignore[attr-defined]
            write_json(building.path / "index.json", {"spec": asdict(spec), "images": list(images)})
            building.commit(store_digest(spec, facts))
    return facts
