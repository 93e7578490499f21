"""The calibration rows that all heads of an ensemble have scored and whose labels are all known.

Shape letters: n rows, K heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ova.errors import DataError
from ova.heads.calibration import Calibration
from ova.heads.recipe import CalibrationSettings
from ova.heads.scores import Scores


class ScoredHead(Protocol):
    """What a rule must know of a head."""

    @property
    def name(self) -> str:
        """Name of the head, a slug."""
        ...

    @property
    def calibration(self) -> Calibration:
        """Logit -> probability, and the threshold."""
        ...

    @property
    def settings(self) -> CalibrationSettings:
        """How it was fitted."""
        ...

    @property
    def scores(self) -> Scores:
        """Its calibration rows."""
        ...

    @property
    def proper_loss(self) -> bool:
        """Whether its loss has its minimum at the true probability."""
        ...


@dataclass(frozen=True, eq=False)
class CommonRows:
    """Rows in the order of their names."""

    images: tuple[str, ...]
    """(n,) names."""
    logits: NDArray[np.float64]
    """(n, K) raw."""
    labels: NDArray[np.int8]
    """(n, K) 0 or 1."""

    @classmethod
    def of(cls, heads: Sequence[ScoredHead]) -> CommonRows:
        """Gather the rows.

        Raises:
            DataError: There is none.
        """
        common = sorted(set.intersection(*(set(head.scores.images) for head in heads)))
        if not common:
            raise DataError("the heads have no calibration row in common; train them on the same split")
        logits, labels = [], []
        for head in heads:
            row_of = {image: row for row, image in enumerate(head.scores.images)}
            rows = [row_of[image] for image in common]
            logits.append(head.scores.logits[rows])
            labels.append(head.scores.labels[rows])
        return cls(tuple(common), np.stack(logits, axis=1), np.stack(labels, axis=1))

    def __len__(self) -> int:
        return len(self.logits)

    def of_one_class(self) -> CommonRows:
        """Leave out the rows that have several labels at once.

        Raises:
            DataError: None is left.
        """
        single = self.labels.sum(axis=1) <= 1
        if not single.any():
            raise DataError("every calibration row has several labels; argmax mode needs one class per image")
        images = tuple(image for image, kept in zip(self.images, single.tolist(), strict=True) if kept)
        return CommonRows(images, self.logits[single], self.labels[single])

    @property
    def classes(self) -> NDArray[np.int64]:
        """(n,) the first label of each row; K is none."""
        found = np.where(self.labels.any(axis=1), self.labels.argmax(axis=1), self.labels.shape[1])
        return found.astype(np.int64)
