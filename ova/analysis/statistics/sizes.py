"""How large the images are, and the input size that fits them.

Shape letter: n images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.data.images.facts import ImageFacts

_LARGEST_AREA = 384 * 384
"""Suggested inputs have no more pixels: most backbones were made for 224 to 384, and time grows with area."""
_SMALLEST_SIDE, _LARGEST_SIDE = 32, 4096
"""Most backbones halve the picture five times; recipes take no more."""
_SQUARE = (0.8, 1.25)
"""Median width / height that is near enough to 1 for a square input."""
_QUANTILES = {"minimum": 0.0, "lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75, "maximum": 1.0}


@dataclass(frozen=True)
class Suggestion:
    """An input size, and why."""

    height: int
    width: int
    reason: str

    @property
    def setting(self) -> int | list[int]:
        """As `input.size` of a head's recipe takes it."""
        return self.height if self.height == self.width else [self.height, self.width]


@dataclass(frozen=True)
class SizeStatistics:
    """Sizes of all images."""

    measures: Mapping[str, Mapping[str, float]]
    """height, width, area (pixels), aspect (width / height) and bytes -> minimum, quartiles, maximum."""
    frequent: tuple[tuple[int, int, int], ...]
    """(height, width, images) of the most frequent sizes."""
    sizes: int
    """How many sizes there are."""
    suggestion: Suggestion

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        suggested = {"size": self.suggestion.setting, "reason": self.suggestion.reason}
        frequent = [{"height": h, "width": w, "images": count} for h, w, count in self.frequent]
        measures = {name: dict(values) for name, values in self.measures.items()}
        return {**measures, "sizes": self.sizes, "frequent": frequent, "suggested_input": suggested}


@dataclass(frozen=True, eq=False)
class Sizes:
    """(n,) int64 each: height and width in pixels, and bytes of the file."""

    height: NDArray[np.int64]
    width: NDArray[np.int64]
    bytes: NDArray[np.int64]

    @classmethod
    def of(cls, images: Sequence[str], facts: Mapping[str, ImageFacts]) -> Sizes:
        """Gather the sizes of images."""
        own = [facts[image] for image in images]
        columns = ("height", "width", "bytes")
        return cls(*(np.fromiter(map(attrgetter(name), own), np.int64, len(own)) for name in columns))

    def share_below(self, height: int, width: int) -> float:
        """Return the share of images that an input of this size enlarges, in height or in width."""
        return float(((self.height < height) | (self.width < width)).mean())


def measure_sizes(sizes: Sizes, usable: NDArray[np.bool_], *, most: int = 10) -> SizeStatistics:
    """Describe sizes and suggest an input size.

    Args:
        sizes: Of all n images.
        usable: (n,) images that may choose the suggestion: all but the test rows.
        most: Sizes to list.
    """
    columns = {
        "height": sizes.height,
        "width": sizes.width,
        "area": sizes.height * sizes.width,
        "aspect": sizes.width / sizes.height,
        "bytes": sizes.bytes,
    }
    measures = {
        name: dict(zip(_QUANTILES, np.quantile(values, list(_QUANTILES.values())).tolist(), strict=True))
        for name, values in columns.items()
    }
    pairs, counts = np.unique(sizes.height << 32 | sizes.width, return_counts=True)
    order = np.lexsort((pairs, -counts))[:most]
    frequent = tuple(
        (int(pairs[index]) >> 32, int(pairs[index]) & 0xFFFFFFFF, int(counts[index])) for index in order
    )
    height, width = sizes.height[usable], sizes.width[usable]
    return SizeStatistics(measures, frequent, len(pairs), suggest_input(height, width))


def suggest_input(heights: NDArray[np.int64], widths: NDArray[np.int64]) -> Suggestion:
    """Suggest an input size: the median image, not larger than `_LARGEST_AREA`, in round numbers.

    A median aspect within `_SQUARE` gives a square whose side is the median shorter side; any other gives the
    median height and width, so that shapes are not distorted. Sides are multiples of 32, or of 16 where the
    shorter one is below 128.
    """
    aspect = float(np.median(widths / heights))
    short = float(np.median(np.minimum(heights, widths)))
    square = _SQUARE[0] <= aspect <= _SQUARE[1]
    if square:
        height = width = short
        reason = f"the median shorter side is {short:.0f} pixels and the median aspect {aspect:.2f}"
    else:
        height, width = float(np.median(heights)), float(np.median(widths))
        reason = f"the median image has {height:.0f} x {width:.0f} pixels, an aspect of {aspect:.2f}"
    area = height * width
    if area > _LARGEST_AREA:
        scale = math.sqrt(_LARGEST_AREA / area)
        height, width = height * scale, width * scale
        reason += (
            f"; made smaller to about {_LARGEST_AREA:,} pixels, beyond which training mostly gets slower"
        )
    step = 32 if min(height, width) >= 128 else 16
    rounded = [step * round(side / step) for side in (height, width)]
    high, wide = (min(max(side, _SMALLEST_SIDE), _LARGEST_SIDE) for side in rounded)
    return Suggestion(high, wide, f"{reason}; rounded to multiples of {step}")
