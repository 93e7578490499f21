"""What is known of image files without reading them again: the table `runs/images.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ova.data.files.image_files import ImageFiles
from ova.errors import ArtefactError, DataError
from ova.storage import read_csv, write_csv

_COLUMNS = (
    "image",
    "bytes",
    "modified_ns",
    "white_level",
    "file_sha256",
    "pixels_blake3",
    "height",
    "width",
    "draft_side",
)


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What one full decode showed of one image file."""

    image: str
    bytes: int
    modified_ns: int
    white_level: int
    """Declared white of 16-bit images; 0 when not declared."""
    file_sha256: str
    pixels_blake3: str
    """Digest of the decoded pixels: equal for two files that show the same."""
    height: int
    """Of the file, upright."""
    width: int
    draft_side: int = 0
    """How small a JPEG may have been decoded; 0 for in full."""


@dataclass(frozen=True)
class Decoding:
    """How the dataset says that files become pixels; see `ova.data.images.decode.decode_image`."""

    white_level: int | None = None
    draft_side: int | None = None


def read_facts(path: Path) -> dict[str, ImageFacts]:
    """Read the facts of an earlier intake; a missing or damaged table is an empty one."""
    try:
        return {
            row["image"]: ImageFacts(
                row["image"],
                int(row["bytes"]),
                int(row["modified_ns"]),
                int(row["white_level"]),
                row["file_sha256"],
                row["pixels_blake3"],
                int(row["height"]),
                int(row["width"]),
                int(row["draft_side"]),
            )
            for row in read_csv(path)
        }
    except (ArtefactError, KeyError, ValueError):
        return {}  # it is only a cache: the images themselves are looked at again


def write_facts(path: Path, facts: Sequence[ImageFacts]) -> None:
    """Write the table that `read_facts` reads."""
    write_csv(path, _COLUMNS, ([getattr(fact, column) for column in _COLUMNS] for fact in facts))


def unchanged(
    files: ImageFiles, image: str, known: dict[str, ImageFacts], decoding: Decoding
) -> ImageFacts | None:
    """Return the known facts of an image if its size, its time and its decoding are still the same."""
    fact = known.get(image)
    if fact is None:
        return None
    try:
        status = files.status(image)
    except DataError:
        return None
    current = (*status, decoding.white_level or 0, decoding.draft_side or 0)
    return fact if (fact.bytes, fact.modified_ns, fact.white_level, fact.draft_side) == current else None
