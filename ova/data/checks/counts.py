"""How many images of each label are where: the table of `ova data check`."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.data.dataset import Dataset
from ova.data.labels.table import LeftOut


@dataclass(frozen=True)
class PartCounts:
    """Per label and part: positives, negatives, unknown; and what holds for all images."""

    images: int
    parts: dict[str, int]
    """Part -> images."""
    labels: dict[str, dict[str, tuple[int, int, int]]]
    """Label -> part -> (positives, negatives, unknown)."""
    identical: int
    """Images whose pixels are those of another one; they are kept in one part."""
    sizes: dict[str, int]
    """"HEIGHTxWIDTH" -> images, the most frequent first."""
    rows_read: int = 0
    """Rows of the label tables."""
    left_out: tuple[LeftOut, ...] = ()
    """What of the tables is not in `images`, and why."""
    unnamed: int = 0
    """Images beside those of the tables that no row names."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        labels = {
            label: {
                part: dict(zip(("positives", "negatives", "unknown"), counts, strict=True))
                for part, counts in parts.items()
            }
            for label, parts in self.labels.items()
        }
        return {
            "images": self.images,
            "parts": self.parts,
            "labels": labels,
            "identical": self.identical,
            "sizes": self.sizes,
            "rows": self.rows_read,
            "left_out": [asdict(left) for left in self.left_out],
            "unnamed": self.unnamed,
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return a table for people: a label per row, positives of all known labels per part."""
        header = ("label", *(f"{part} ({count})" for part, count in self.parts.items()), "unknown")
        rows = [
            (
                label,
                *(f"{positives} of {positives + negatives}" for positives, negatives, _ in parts.values()),
                str(sum(unknown for _, _, unknown in parts.values())),
            )
            for label, parts in self.labels.items()
        ]
        return [header, *rows]


def count_parts(dataset: Dataset) -> PartCounts:
    """Count labels per part of the split."""
    table, part_of = dataset.table, dataset.split.part_of
    of_image = np.array([part_of[image] for image in table.images])
    names = sorted(set(of_image.tolist()), key=lambda part: (part == "test", part == "validation", part))
    parts = {part: table.values[of_image == part] for part in names}
    counted = {part: [(values == cell).sum(axis=0) for cell in (1, 0, -1)] for part, values in parts.items()}
    labels = {
        label: {part: _triple(counts, column) for part, counts in counted.items()}
        for column, label in enumerate(table.labels)
    }
    pixels = Counter(fact.pixels_blake3 for fact in dataset.facts.values())
    sizes = Counter(f"{fact.height}x{fact.width}" for fact in dataset.facts.values())
    return PartCounts(
        images=len(table.images),
        parts={part: len(values) for part, values in parts.items()},
        labels=labels,
        identical=sum(count for count in pixels.values() if count > 1),
        sizes=dict(sizes.most_common()),
        rows_read=table.rows,
        left_out=table.left_out,
        unnamed=table.unnamed,
    )


def _triple(counts: list[NDArray[np.intp]], column: int) -> tuple[int, int, int]:
    positives, negatives, unknown = (int(count[column]) for count in counts)
    return positives, negatives, unknown
