"""Look at every image once: is it sound, what is in it, and whatever else is to be made of its pixels.

One pass decodes each image a single time, whatever the number of heads: it checks the file, digests its
bytes and pixels, and hands the pixels to every measure, such as those that fill the pixel stores.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ova.data.files.image_files import ImageFiles
from ova.data.images.decode import decode_bytes
from ova.data.images.facts import Decoding, ImageFacts
from ova.data.workers import PROCESSES_FROM, map_in_order
from ova.errors import DataError, first_few
from ova.progress import Progress, Silent

# Images that a worker takes at a time, because sending them to and fro takes as long as decoding a few: fewer
# where there are few, so that all workers end together.
_CHUNK = 64
_CHUNKS_PER_WORKER = 12


class PixelMeasure(Protocol):
    """What is made of the pixels of each image; sent to other processes, so picklable."""

    def __call__(self, index: int, pixels: NDArray[np.uint8], /) -> Any:
        """Look at one image.

        Args:
            index: Its place among the images.
            pixels: (height, width, 1 or 3), uint8, one channel where the image is grey; not to be changed.

        Returns:
            Something small, or None.
        """
        ...


class PixelMeasureStore(Protocol):
    """Whoever keeps what a pixel measure returns."""

    @property
    def pixel_measure(self) -> PixelMeasure:
        """What is asked of every image."""
        ...

    def add(self, facts: Sequence[ImageFacts], seen: Sequence[Any]) -> None:
        """Add what `pixel_measure` returned, and of which images."""
        ...


class Examined(NamedTuple):
    """What one pass over the images showed."""

    facts: list[ImageFacts]
    """In the order of the images."""
    seen: tuple[list[Any], ...]
    """Per measure, what it returned for each image."""


def examine_images(
    files: ImageFiles,
    images: Sequence[str],
    *,
    decoding: Decoding = Decoding(),  # noqa: B008 (immutable)
    pixel_measures: Sequence[PixelMeasure] = (),
    progress: Progress | None = None,
    workers: int | None = None,
    processes: bool | None = None,
) -> Examined:
    """Decode every image in full, once.

    Args:
        files: Where the images lie.
        images: Image ids.
        decoding: How files become pixels.
        pixel_measures: What else is made of the pixels of every sound image, by workers, in any order.
        progress: Told as images are done.
        workers: All cores by default.
        processes: Whether the workers are processes; by default from 400 images on.

    Raises:
        DataError: Some files are missing or unreadable; all of them are counted, ten are named, and
            `error.problems` lists (image, reason) for all.
    """
    progress = progress or Silent()
    progress.start("reading images", len(images))
    work = _Examination(files, decoding, tuple(pixel_measures))
    processes = len(images) >= PROCESSES_FROM if processes is None else processes
    facts: list[ImageFacts] = []
    problems: list[tuple[str, str]] = []
    seen: tuple[list[Any], ...] = tuple([] for _ in pixel_measures)
    workers = workers or os.cpu_count() or 1
    chunks = map_in_order(work, _chunks(files, images, workers), processes=processes, workers=workers)
    for done in chunks:
        for result in done:
            if isinstance(result, _Problem):
                problems.append(result)
                continue
            facts.append(result.fact)
            for values, value in zip(seen, result.seen, strict=True):
                values.append(value)
        progress.advance("reading images", len(facts) + len(problems))
    if problems:
        raise UnreadableImages(problems, len(images), Examined(facts, seen))
    return Examined(facts, seen)


class UnreadableImages(DataError):
    """Images that are missing or cannot be decoded.

    `problems` holds (image, reason) for all of them, `examined` what the others showed.
    """

    def __init__(self, problems: Sequence[tuple[str, str]], total: int, examined: Examined) -> None:
        self.problems = [(image, reason) for image, reason in problems]
        self.examined = examined
        reasons = first_few([reason for _, reason in problems], 3)
        super().__init__(f"{len(problems)} of {total} images cannot be used: {reasons}")


class _Problem(NamedTuple):
    image: str
    reason: str


class _Sound(NamedTuple):
    fact: ImageFacts
    seen: tuple[Any, ...]


class _Chunk(NamedTuple):
    first: int
    images: list[str]
    part: ImageFiles | None
    """Where these images lie, if that is less to send than where all do."""


def _chunks(files: ImageFiles, images: Sequence[str], workers: int) -> Iterator[_Chunk]:
    size = max(1, min(_CHUNK, len(images) // (workers * _CHUNKS_PER_WORKER)))
    for first in range(0, len(images), size):
        some = [images[index] for index in range(first, min(first + size, len(images)))]
        part = files.part(some)
        yield _Chunk(first, some, None if part is files else part)


@dataclass(frozen=True)
class _Examination:
    """The work on a chunk of images, in a worker."""

    files: ImageFiles
    decoding: Decoding
    pixel_measures: tuple[PixelMeasure, ...]

    def __call__(self, chunk: _Chunk) -> list[_Sound | _Problem]:
        return [self._examine(chunk, place) for place in range(len(chunk.images))]

    def _examine(self, chunk: _Chunk, place: int) -> _Sound | _Problem:
        index, image = chunk.first + place, chunk.images[place]
        files = self.files if chunk.part is None else chunk.part
        try:
            fact, pixels = _decode(files, image, self.decoding)
        except DataError as error:
            return _Problem(image, str(error))
        return _Sound(fact, tuple(measure(index, pixels) for measure in self.pixel_measures))


def _decode(files: ImageFiles, image: str, decoding: Decoding) -> tuple[ImageFacts, NDArray[np.uint8]]:
    status = files.status(image)  # before reading: a file that changes meanwhile is looked at again next time
    content = files.read(image)
    try:
        decoded = decode_bytes(content, white_level=decoding.white_level, draft_side=decoding.draft_side)
    except DataError as error:
        raise DataError(f"{files.where(image)}: {error}") from error
    pixels = _grey_if_grey(decoded.pixels)
    fact = ImageFacts(
        image=image,
        bytes=status.bytes,
        modified_ns=status.modified_ns,
        white_level=decoding.white_level or 0,
        file_sha256=hashlib.sha256(content).hexdigest(),
        pixels_blake3=_digest(pixels),
        height=decoded.height,
        width=decoded.width,
        draft_side=decoding.draft_side or 0,
    )
    return fact, pixels


def _grey_if_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Take one channel of RGB whose channels are all the same, so that grey is grey in any file."""
    if pixels.shape[2] == 1:
        return pixels
    grey = pixels[:, :, :1]
    for part in (slice(None, 1), slice(None)):  # the first row tells most colours
        if (pixels[part] != grey[part]).any():
            return pixels
    return np.ascontiguousarray(grey)


def _digest(pixels: NDArray[np.uint8]) -> str:
    # BLAKE3 digests a photograph in a third of the time of SHA-256, which took a seventh of the whole intake.
    digest = blake3("{}x{}x{}:".format(*pixels.shape).encode())
    digest.update(pixels.data)
    return digest.hexdigest()
