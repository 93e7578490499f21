"""Thumbnails of test images with what they are, what the head says, and where it looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ova.analysis.head_result import HeadResult
from ova.analysis.html import photograph
from ova.analysis.report.heat import HeatMap
from ova.analysis.report.mistakes import JudgedImage, Mistakes
from ova.data.images.contact_sheet import GridRow, picture_grid_png
from ova.data.images.originals import Pictures

Photo = NDArray[np.uint8]

_SIDE = 128  # page pixels
_QUALITY = 85  # of JPEG: a page may hold thousands
_TITLES = {
    "false_alarms": "Worst false alarms",
    "missed": "Worst misses",
    "doubtful": "Most doubtful, nearest to the threshold",
}


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """The images that a page shows, each decoded once."""

    photos: Mapping[str, Photo]
    """By image: (height, width, 3), at most 128 pixels long; empty if they could not be read."""
    heat: Mapping[tuple[str, str], HeatMap] = field(default_factory=dict)
    """By head and image, where they were asked for."""

    @classmethod
    def of(
        cls, pictures: Pictures, images: Sequence[str], heat: Mapping[tuple[str, str], HeatMap]
    ) -> Thumbnails:
        """Read images.

        Raises:
            DataError: One is missing or has become unreadable.
        """
        return cls({image: _fit(pictures.decode(image, 3)) for image in dict.fromkeys(images)}, heat)

    def galleries(self, result: HeadResult, mistakes: Mistakes) -> list[dict[str, Any]]:
        """Return what the page shows of a head's mistakes."""
        totals = {
            "false_alarms": f"{mistakes.total_false_alarms:,} in all",
            "missed": f"{mistakes.total_missed:,} in all",
            "doubtful": "right or wrong",
        }
        return [
            {
                "title": _TITLES[name],
                "note": f"({totals[name]})",
                "pictures": [self._item(each, result) for each in judged],
            }
            for name, judged in mistakes.lists().items()
        ]

    def grid(self, result: HeadResult, mistakes: Mistakes) -> bytes | None:
        """Draw the same as one PNG: a row per list, below each the heat maps; None where nothing is shown."""
        rows: list[GridRow] = []
        for name, judged in mistakes.lists().items():
            images = [each.image for each in judged if each.image in self.photos]
            maps = [
                (image, self.heat[result.name, image])
                for image in images
                if (result.name, image) in self.heat
            ]
            rows += (
                [GridRow(_TITLES[name], [_squared(self.photos[image]) for image in images])] if images else []
            )
            tiles = [_squared(heat.over(self.photos[image])) for image, heat in maps]
            rows += [GridRow("where the head looked", tiles)] if tiles else []
        columns = [str(number + 1) for number in range(max((len(row.tiles) for row in rows), default=0))]
        return picture_grid_png([f"{result.name}: test images"], columns, rows) if rows else None

    def _item(self, judged: JudgedImage, result: HeadResult) -> dict[str, Any]:
        photo = self.photos.get(judged.image)
        heat = self.heat.get((result.name, judged.image))
        shown = [] if photo is None else [(photo, judged.image)]
        if photo is not None and heat is not None:
            shown.append((heat.over(photo), f"where the head looked in {judged.image}"))
        lines = [
            f"labelled {result.label}" if judged.label else f"labelled not {result.label}",
            f"probability {judged.probability:.3f}",
            f"logit {judged.calibrated_logit:+.2f}",
        ]
        if heat is not None:
            lines.append(f"strongest colour: {heat.strongest:.2f} logits")
        pictures = [photograph(pixels, text, side=_SIDE, quality=_QUALITY) for pixels, text in shown]
        return {"image": judged.image, "lines": lines, "pictures": pictures}


def _fit(pixels: Photo) -> Photo:
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    return np.asarray(image)


def _squared(photo: Photo) -> Photo:
    """Put a photograph into the middle of a white square, as a grid wants tiles of one size."""
    height, width = photo.shape[:2]
    square = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    top, left = (_SIDE - height) // 2, (_SIDE - width) // 2
    square[top : top + height, left : left + width] = photo
    return square
