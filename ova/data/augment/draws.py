"""Random numbers that belong to an image, not to a moment: a pure function of (seed, image, epoch, repeat).

The same image gets the same numbers in the same epoch whatever the batch, the worker count, the machine or
the point of resuming, and nothing has to be kept to go on after an interruption.

The generator is Philox4x64-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3" (SC 2011), bit for bit that of `numpy.random.Philox`, computed for all images at once.

Shape letters: N images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

# One column per use, for ever: what is new takes a new column, so that old draws stay.
ORDER, FLIP_ROWS, FLIP_COLUMNS, TURN, SHIFT_ROWS, SHIFT_COLUMNS, BRIGHTNESS, CONTRAST, MIX = range(9)
ROTATION, SCALE, SHEAR_ROWS, SHEAR_COLUMNS = range(9, 13)
CROP_AREA, CROP_ASPECT, CROP_ROW, CROP_COLUMN = range(13, 17)
PERSPECTIVE = slice(17, 25)  # inwards of the four corners: rows, then columns
EXPOSURE, SATURATION, HUE, SHARPNESS, BLUR, NOISE, NOISE_SEED = range(25, 32)
ERASE_AREA, ERASE_ASPECT, ERASE_ROW, ERASE_COLUMN = range(32, 36)
DRAWS = 40

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)  # golden ratio and sqrt(3) - 1, in 64 bits
_ROUNDS = 10
_LOW, _HALF = np.uint64(2**32 - 1), np.uint64(32)
_CHUNK = 8192  # 64 KiB per word: the working set stays in the cache, several times faster than without


def image_keys(images: Sequence[str]) -> Words:
    """Return (N,) 64-bit keys of image ids, the same on every machine."""
    digests = (hashlib.sha256(image.encode()).digest()[:8] for image in images)
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def draw(
    keys: Words,
    seed: int,
    epoch: int,
    repeats: NDArray[np.integer] | None = None,
    *,
    columns: int = DRAWS,
) -> NDArray[np.float64]:
    """Draw uniform numbers in [0, 1): row n depends on (keys[n], seed, epoch, repeats[n]) alone.

    Args:
        keys: (N,) keys of images.
        seed: Any integer; it counts modulo 2**64.
        epoch: From 0.
        repeats: (N,) which showing of its image in this epoch a row is, from 0, where a sampler shows some
            images more than once. All are 0 if not given.
        columns: How many columns are wanted, from the first on (1 is ORDER alone); no value depends on it.

    Returns:
        (N, columns), 53 random bits each.
    """
    key = (seed % 2**64, epoch)
    # numpy counts up before it draws, so its first block of four columns has number 1.
    blocks = np.arange(1, -(-columns // 4) + 1, dtype=np.uint64)[:, None]
    nothing = np.zeros((1, 1), np.uint64)
    rows = np.empty((len(keys), columns))
    step = max(1, _CHUNK // max(1, len(blocks)))
    for start in range(0, len(keys), step):
        part = slice(start, start + step)
        repeat = nothing if repeats is None else repeats[None, part].astype(np.uint64)
        words = np.stack(philox((blocks, repeat, nothing, keys[None, part]), key), axis=1)
        rows[part] = (words.reshape(4 * len(blocks), -1)[:columns] >> np.uint64(11)).T * 2.0**-53
    return rows


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, ...]:
    """Encrypt counters with Philox4x64-10.

    Args:
        counter: Four arrays that broadcast: the words of all counters, lowest first.
        key: Two words of 64 bits.

    Returns:
        Four arrays: the four random words of every counter.
    """
    first, second, third, fourth = counter
    low_key, high_key = key
    for _ in range(_ROUNDS):
        high_of_first, low_of_first = _product(_MULTIPLIERS[0], first)
        high_of_third, low_of_third = _product(_MULTIPLIERS[1], third)
        first, second = high_of_third ^ second ^ np.uint64(low_key), low_of_third
        third, fourth = high_of_first ^ fourth ^ np.uint64(high_key), low_of_first
        low_key, high_key = (low_key + _WEYL[0]) % 2**64, (high_key + _WEYL[1]) % 2**64
    return first, second, third, fourth


def _product(factor: int, words: Words) -> tuple[Words, Words]:
    """Return the high and the low 64 bits of a product, by halves, as numpy has no wider integers."""
    factor_high, factor_low = np.uint64(factor >> 32), np.uint64(factor % 2**32)
    low, high = words & _LOW, words >> _HALF
    carry = factor_low * low
    carry >>= _HALF
    upper = factor_high * low
    upper += carry
    lower = factor_low * high
    lower += upper & _LOW
    lower >>= _HALF
    upper >>= _HALF
    high *= factor_high
    high += upper
    high += lower
    return high, np.uint64(factor) * words
