"""Measures of one decoded image: is it sharp, empty, grey, over-exposed, and what does it look like.

They are taken from the pixels while intake has them, so that no image is decoded for them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEASURED_SIDE = 256
"""Images are judged at this long side, so that sharpness compares; smaller ones as they are."""
THUMB = 32
_BLACK, _WHITE = 5, 250
_LEVELS = np.arange(256.0)
_RECORD = np.dtype(
    [(name, np.float32) for name in ("sharpness", "spread", "chroma", "black", "white")]
    + [("hashes", np.uint64), ("turned_hashes", np.uint64, 2), ("thumbs", np.uint8, (THUMB, THUMB))]
)


@dataclass(frozen=True, eq=False)
class Qualities:
    """Measures of n images, a row each.

    Attributes:
        sharpness: (n,) float32, variance of the Laplacian of the luma at `MEASURED_SIDE`, in squared grey
            levels. A blurred image has less than another of the same scene (Pech-Pacheco et al., "Diatom
            autofocusing in brightfield microscopy", ICPR 2000, doi:10.1109/ICPR.2000.903548).
        spread: (n,) float32, standard deviation of the luma at `MEASURED_SIDE`, in grey levels; 0 for
            a single shade.
        chroma: (n,) float32, largest difference between R, G and B of a pixel of the thumbnail, in levels.
        black: (n,) float32, share of the pixels at `MEASURED_SIDE` with a luma of at most 5.
        white: (n,) float32, share of the pixels at `MEASURED_SIDE` with a luma of at least 250.
        hashes: (n,) uint64, perceptual hash (`imagehash.phash`) of the thumbnail.
        turned_hashes: (n, 2) uint64, the same of the thumbnail turned upright in two ways (`upright`).
        thumbs: (n, `THUMB`, `THUMB`) uint8, luma.
    """

    sharpness: NDArray[np.float32]
    spread: NDArray[np.float32]
    chroma: NDArray[np.float32]
    black: NDArray[np.float32]
    white: NDArray[np.float32]
    hashes: NDArray[np.uint64]
    turned_hashes: NDArray[np.uint64]
    thumbs: NDArray[np.uint8]

    def take(self, rows: NDArray[np.intp]) -> Qualities:
        """Take some rows, in the order given."""
        return Qualities(*(getattr(self, field.name)[rows] for field in fields(self)))

    def join(self, other: Qualities) -> Qualities:
        """Put the rows of another one below these."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Qualities(*(np.concatenate(pair) for pair in pairs))


def measure_image(pixels: NDArray[np.uint8]) -> bytes:
    """Measure one image.

    Args:
        pixels: (height, width, 1 or 3), uint8, grey or RGB.

    Returns:
        A record of about 1 kB, for `gather_qualities`; bytes, because they travel between processes.
    """
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    luma = _at_most(image.convert("L"), MEASURED_SIDE)
    # In floats: rows and columns that are rounded one after the other tell an image from its quarter turn.
    thumb = np.rint(np.asarray(_resize(luma.convert("F"), (THUMB, THUMB)))).astype(np.uint8)
    luma = np.asarray(luma)
    shades = np.bincount(luma.ravel(), minlength=256) / luma.size
    mean = shades @ _LEVELS
    record = np.zeros((), _RECORD)
    record["sharpness"] = laplacian(luma).astype(np.float32).var()
    record["spread"] = np.sqrt(shades @ np.square(_LEVELS - mean))
    record["chroma"] = 0 if grey else _chroma(image)
    record["black"] = shades[: _BLACK + 1].sum()
    record["white"] = shades[_WHITE:].sum()
    record["hashes"] = perceptual_hash(thumb)
    record["turned_hashes"] = [perceptual_hash(upright(thumb[None], rank)[0]) for rank in (0, 1)]
    record["thumbs"] = thumb
    return record.tobytes()


def measure_quality(_: int, pixels: NDArray[np.uint8], /) -> bytes:
    """Measure an image while intake has its pixels: an `ova.data.images.intake.PixelMeasure`."""
    return measure_image(pixels)


def gather_qualities(records: Sequence[bytes]) -> Qualities:
    """Put the records of n images below each other."""
    table = np.frombuffer(b"".join(records), _RECORD)
    return Qualities(*(np.ascontiguousarray(table[name]) for name in _RECORD.names or ()))


def laplacian(luma: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return the sum of the four neighbours minus four times the pixel, (height, width), edges repeated."""
    padded = np.pad(luma, 1, "edge").astype(np.int16)
    neighbours = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    return neighbours - 4 * padded[1:-1, 1:-1]


def perceptual_hash(thumb: NDArray[np.uint8]) -> np.uint64:
    """Hash a luma thumbnail into 64 bits, of which about as many differ as two images look unlike.

    Each bit says whether one of the 64 lowest frequencies is above their median: half of the bits are set, so
    that distances between two hashes are even.
    """
    bits = imagehash.phash(Image.fromarray(thumb)).hash
    return np.packbits(bits.ravel()).view(">u8")[0].astype(np.uint64)


def upright(thumbs: NDArray[np.uint8], rank: int = 0) -> NDArray[np.uint8]:
    """Turn and mirror thumbnails so that the flips and quarter turns of one image become the same.

    Of the eight ways to lay an image, the one is taken that goes best with a fixed uneven pattern. Noise may
    swap the first two where they go nearly as well, so whoever compares looks at both.

    Args:
        thumbs: (n, `THUMB`, `THUMB`), uint8.
        rank: 0 for the best way, 1 for the second best.

    Returns:
        The same shape, always a new array.
    """
    scores = thumbs.reshape(len(thumbs), THUMB * THUMB).astype(np.int64) @ _patterns()
    ways = np.argsort(-scores, axis=1, kind="stable")[:, rank]
    turned = np.empty_like(thumbs)
    for way, lay in enumerate(_ways(thumbs)):
        turned[ways == way] = lay[ways == way]
    return turned


def _ways(squares: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the eight ways to lay squares (n, side, side), as views."""
    mirrored = squares.swapaxes(1, 2)
    return [np.rot90(each, turns, axes=(1, 2)) for each in (squares, mirrored) for turns in range(4)]


@cache
def _patterns() -> NDArray[np.int64]:
    """Lay the pattern so that image @ pattern is what the image, laid in each way, has with the plain one.

    Returns:
        (`THUMB` * `THUMB`, 8), int64, because the order of integer sums does not matter.
    """
    wave = np.cos(np.pi * np.outer(np.arange(5), np.arange(THUMB) + 0.5) / THUMB)
    weights = np.sin(
        [[3 * down + 5 * across + down * across + 1 for across in range(5)] for down in range(5)]
    )
    pattern = np.rint(1000 * wave.T @ weights @ wave).astype(np.int64)
    places = np.arange(THUMB * THUMB).reshape(1, THUMB, THUMB)
    laid = np.empty((THUMB * THUMB, 8), np.int64)
    for way, lay in enumerate(_ways(places)):
        laid[lay.ravel(), way] = pattern.ravel()
    return laid


def _chroma(image: Image.Image) -> int:
    channels = np.asarray(_resize(image, (THUMB, THUMB)))
    return int((channels.max(axis=2) - channels.min(axis=2)).max())


def _at_most(luma: Image.Image, side: int) -> Image.Image:
    scale = side / max(luma.size)
    if scale >= 1:
        return luma
    width, height = (max(1, round(length * scale)) for length in luma.size)
    return _resize(luma, (width, height))


def _resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
