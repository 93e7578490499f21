"""Measures of images, kept by the digest of their pixels, so that no image is decoded for them again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ova.data.files.image_files import ImageFiles
from ova.data.images.facts import Decoding, ImageFacts
from ova.data.images.intake import examine_images
from ova.data.images.quality import Qualities, gather_qualities, measure_quality
from ova.errors import ArtefactError, DataError
from ova.progress import Progress
from ova.storage import read_tensors, write_tensors

# Raised when a change to `ova.data.images.quality` gives other values.
QUALITY_FORMAT = "1"
_DIGEST_BYTES = 32


class QualityCache:
    """The file `runs/quality.safetensors` and what came since it was read: a `PixelMeasureStore`."""

    pixel_measure = staticmethod(measure_quality)

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stored: _Stored | None = None
        self._new: dict[str, bytes] = {}

    @property
    def _known(self) -> _Stored:
        """What the file holds, read when it is first asked for; a damaged or older file is an empty one."""
        if self._stored is None:
            self._stored = _read(self._path)
        return self._stored

    def knows(self, fact: ImageFacts) -> bool:
        """Say whether the measures of an image are there."""
        return fact.pixels_blake3 in self._known.row_of or fact.pixels_blake3 in self._new

    def add(self, facts: Sequence[ImageFacts], seen: Sequence[bytes]) -> None:
        """Add the records of images that were decoded."""
        for fact, record in zip(facts, seen, strict=True):
            if not self.knows(fact):
                self._new[fact.pixels_blake3] = record

    def measure(
        self, files: ImageFiles, facts: Sequence[ImageFacts], decoding: Decoding, progress: Progress | None
    ) -> Qualities:
        """Return the measures of n images, a row for each; decode those whose measures are not there.

        Raises:
            DataError: An image cannot be decoded any more, or changes while it is read.
            EnvironmentFault: The measures cannot be written.
        """
        lacking = {fact.pixels_blake3: fact.image for fact in facts if not self.knows(fact)}
        if lacking:
            images, pixel_measures = list(lacking.values()), [self.pixel_measure]
            examined = examine_images(
                files, images, decoding=decoding, pixel_measures=pixel_measures, progress=progress
            )
            self.add(examined.facts, examined.seen[0])
            if changed := [lacking[digest] for digest in lacking if digest not in self._new]:
                raise DataError(f"{files.where(changed[0])}: changed while it was read; run it again")
        self._save({fact.pixels_blake3 for fact in facts})
        rows = [self._known.row_of[fact.pixels_blake3] for fact in facts]
        return self._known.qualities.take(np.array(rows, np.intp))

    def _save(self, wanted: set[str]) -> None:
        """Add what is new to the file, which forgets what nobody wants once that is more than half of it."""
        if not self._new:
            return
        stored, old = self._known, list(self._known.row_of)
        if len(old) > 2 * len(wanted):
            old = [digest for digest in old if digest in wanted]
        kept = stored.qualities.take(np.array([stored.row_of[digest] for digest in old], np.intp))
        self._stored = _Stored.of(kept.join(gather_qualities(list(self._new.values()))), [*old, *self._new])
        self._new = {}
        names = np.frombuffer(bytes.fromhex("".join(self._stored.row_of)), np.uint8)
        tensors = {"digests": names.reshape(-1, _DIGEST_BYTES), **vars(self._stored.qualities)}
        write_tensors(self._path, tensors, {"format": QUALITY_FORMAT})


class _Stored(NamedTuple):
    qualities: Qualities
    row_of: dict[str, int]
    """Digest of pixels -> row."""

    @classmethod
    def of(cls, qualities: Qualities, digests: Sequence[str]) -> _Stored:
        return cls(qualities, {digest: row for row, digest in enumerate(digests)})


def _read(path: Path) -> _Stored:
    empty = _Stored.of(gather_qualities([]), [])
    try:
        tensors, metadata = read_tensors(path)
        digests = tensors.pop("digests")
        known = Qualities(**tensors)
    except (ArtefactError, KeyError, TypeError):
        return empty
    like = vars(empty.qualities)
    sound = all(
        array.dtype == like[name].dtype and array.shape == (len(digests), *like[name].shape[1:])
        for name, array in vars(known).items()
    )
    if metadata.get("format") != QUALITY_FORMAT or not sound or digests.shape[1:] != (_DIGEST_BYTES,):
        return empty
    return _Stored.of(known, [digest.tobytes().hex() for digest in digests])
