"""What the statistics consist of: counts without an image, and measures of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ova.analysis.statistics.balance import HeadBalance
from ova.analysis.statistics.labels import LabelStatistics
from ova.analysis.statistics.pairs import ConfusablePairs
from ova.analysis.statistics.parts import PartStatistics
from ova.analysis.statistics.pixels import PixelStatistics
from ova.analysis.statistics.row_check import RowCheck
from ova.analysis.statistics.sizes import SizeStatistics


@dataclass(frozen=True, eq=False)
class DataCounts:
    """What is known without decoding an image."""

    rows: RowCheck
    labels: LabelStatistics
    parts: PartStatistics
    sizes: SizeStatistics
    heads: tuple[HeadBalance, ...]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is in the data."""

    counts: DataCounts
    pixels: PixelStatistics
    pairs: ConfusablePairs

    def to_json(self) -> dict[str, Any]:
        """Return the object that `ova data stats --json` prints."""
        counts = self.counts
        return {
            **counts.rows.to_json(),
            **counts.labels.to_json(),
            "parts": counts.parts.to_json(),
            "heads": [head.to_json() for head in counts.heads],
            "sizes": counts.sizes.to_json(),
            "pixels": self.pixels.to_json(),
            "pairs": self.pairs.to_json(),
        }
