"""Look at every image once: is it sound, what is in it, and its pixels at every size that a head reads.

One pass decodes each image a single time, whatever the number of heads: it checks the file, digests its
bytes and pixels, and fills all pixel stores that are missing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ova.data.files import ImageFiles
from ova.data.images import decode_image
from ova.errors import ArtefactError, DataError, first_few
from ova.progress import Progress, Silent
from ova.storage import read_csv, write_csv

T = TypeVar("T")
Visit = Callable[[int, NDArray[np.uint8]], None]
_COLUMNS = ("image", "bytes", "modified_ns", "white_level", "file_sha256", "pixels_sha256", "height", "width")


@dataclass(frozen=True)
class ImageFacts:
    """What one full decode showed of one image file."""

    image: str
    bytes: int
    modified_ns: int
    white_level: int
    """Declared white of 16-bit images; 0 when not declared."""
    file_sha256: str
    pixels_sha256: str
    """Digest of the decoded RGB pixels: equal for two files that show the same."""
    height: int
    width: int


def read_facts(path: Path) -> dict[str, ImageFacts]:
    """Read the facts of an earlier intake; a missing or damaged table is an empty one."""
    try:
        rows = read_csv(path)
        return {
            row["image"]: ImageFacts(
                row["image"],
                int(row["bytes"]),
                int(row["modified_ns"]),
                int(row["white_level"]),
                row["file_sha256"],
                row["pixels_sha256"],
                int(row["height"]),
                int(row["width"]),
            )
            for row in rows
        }
    except (ArtefactError, KeyError, ValueError):
        return {}  # it is only a cache: the images themselves are looked at again


def write_facts(path: Path, facts: Sequence[ImageFacts]) -> None:
    """Write the table that `read_facts` reads."""
    write_csv(path, _COLUMNS, ([getattr(fact, column) for column in _COLUMNS] for fact in facts))


def unchanged(
    files: ImageFiles, image: str, known: dict[str, ImageFacts], white_level: int | None
) -> ImageFacts | None:
    """Return the known facts of an image if its size, time and declared white are still the same."""
    fact = known.get(image)
    try:
        status = files.status(image)
    except DataError:
        return None
    current = (*status, white_level or 0)
    return fact if fact and (fact.bytes, fact.modified_ns, fact.white_level) == current else None


def examine_images(
    files: ImageFiles,
    images: Sequence[str],
    *,
    white_level: int | None = None,
    visit: Visit | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> list[ImageFacts]:
    """Decode every image in full and return its facts, in the order of `images`.

    Args:
        files: Where the images lie.
        images: Image ids.
        white_level: Value that becomes white in 16-bit images.
        visit: Called with (index, RGB pixels uint8 (height, width, 3)) for every sound image, from several
            threads, in any order.
        progress: Told after every image.
        workers: Threads; all cores by default (decoding releases the interpreter lock).

    Raises:
        DataError: Some files are missing or unreadable; all of them are counted, ten are named, and
            `error.problems` lists (image, reason) for all.
    """
    progress = progress or Silent()
    progress.start("reading images", len(images))

    def examine(index: int) -> ImageFacts | tuple[str, str]:
        try:
            fact, pixels = _examine(files, images[index], white_level)
        except DataError as error:
            return images[index], str(error)
        if visit is not None:
            visit(index, pixels)
        return fact

    facts: list[ImageFacts] = []
    problems: list[tuple[str, str]] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done, result in enumerate(_bounded_map(pool, examine, len(images)), start=1):
            if isinstance(result, ImageFacts):
                facts.append(result)
            else:
                problems.append(result)
            progress.advance("reading images", done)
    if problems:
        raise UnreadableImages(problems, len(images))
    return facts


class UnreadableImages(DataError):
    """Images that are missing or cannot be decoded; `problems` holds (image, reason) for all of them."""

    def __init__(self, problems: list[tuple[str, str]], total: int) -> None:
        self.problems = problems
        reasons = first_few([reason for _, reason in problems], 3)
        super().__init__(f"{len(problems)} of {total} images cannot be used: {reasons}")


def _examine(files: ImageFiles, image: str, white_level: int | None) -> tuple[ImageFacts, NDArray[np.uint8]]:
    status = files.status(image)  # before reading: a file that changes meanwhile is looked at again next time
    content = files.read(image)
    try:
        pixels = decode_image(content, channels=3, white_level=white_level)
    except DataError as error:
        raise DataError(f"{files.where(image)}: {str(error).split(': ', 1)[-1]}") from error
    shape = f"{pixels.shape[0]}x{pixels.shape[1]}:".encode()
    fact = ImageFacts(
        image=image,
        bytes=status.bytes,
        modified_ns=status.modified_ns,
        white_level=white_level or 0,
        file_sha256=hashlib.sha256(content).hexdigest(),
        pixels_sha256=hashlib.sha256(shape + pixels.tobytes()).hexdigest(),
        height=pixels.shape[0],
        width=pixels.shape[1],
    )
    return fact, pixels


def _bounded_map(pool: ThreadPoolExecutor, work: Callable[[int], T], count: int) -> Iterator[T]:
    """Map in order with a short queue, so that memory does not grow with the number of images."""
    indices = iter(range(count))
    waiting = [pool.submit(work, index) for index in islice(indices, 64)]
    while waiting:
        yield waiting.pop(0).result()
        for index in islice(indices, 1):
            waiting.append(pool.submit(work, index))
