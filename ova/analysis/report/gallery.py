"""Thumbnails of test images with what they are and what the head says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ova.analysis.pages import Picture, photograph
from ova.analysis.report.mistakes import Judged, Mistakes
from ova.analysis.tables import HeadResult
from ova.data.pictures import Pictures

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

    by_image: Mapping[str, Picture]

    @classmethod
    def of(cls, pictures: Pictures, images: Sequence[str]) -> Thumbnails:
        """Read images.

        Raises:
            DataError: One is missing or has become unreadable.
        """
        return cls(
            {
                image: photograph(pictures.decode(image, 3), image, side=_SIDE, quality=_QUALITY)
                for image in dict.fromkeys(images)
            }
        )

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
                "pictures": [self._item(each, result.label) for each in judged],
            }
            for name, judged in mistakes.lists().items()
        ]

    def _item(self, judged: Judged, label: str) -> dict[str, Any]:
        return {
            "image": judged.image,
            "label": f"labelled {label}" if judged.label else f"labelled not {label}",
            "score": f"probability {judged.probability:.3f}, logit {judged.calibrated_logit:+.2f}",
            "pictures": [self.by_image[judged.image]] if judged.image in self.by_image else [],
        }
