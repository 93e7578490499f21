"""Mean and standard deviation of pixels per channel, from exact sums that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_VARIANCE = 1e-4
"""In grey levels squared: a constant channel divides by something above 0."""


@dataclass(frozen=True, eq=False)
class ChannelSums:
    """Sums over pixels, exact integers; those of several images are added.

    Attributes:
        count: Pixels.
        total: (C,) int64, sum of the values 0..255.
        squares: (C,) int64, sum of their squares.
    """

    count: int
    total: NDArray[np.int64]
    squares: NDArray[np.int64]

    @classmethod
    def of(cls, pixels: NDArray[np.uint8]) -> ChannelSums:
        """Sum pixels of shape (..., C)."""
        values = pixels.reshape(-1, pixels.shape[-1]).astype(np.int64)
        return cls(len(values), values.sum(0), (values**2).sum(0))

    def __add__(self, other: ChannelSums) -> ChannelSums:
        return ChannelSums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def mean_and_deviation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation per channel, in shares of white.

        Rounded to what float32 holds anyway: a recipe, a record and a graph then say the same number.
        """
        mean = self.total / self.count
        deviation = np.sqrt(np.maximum(self.squares / self.count - mean**2, SMALLEST_VARIANCE))
        return tuple((mean / 255).round(6).tolist()), tuple((deviation / 255).round(6).tolist())
