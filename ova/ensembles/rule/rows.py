"""The calibration rows that all heads have scored, their folds, and heads as their thresholds see them.

Shape letters: n rows, K heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ova.errors import DataError
from ova.heads.calibration.calibration import Calibration
from ova.heads.calibration.threshold.choose_threshold import ThresholdTask, choose_threshold
from ova.heads.recipe import KEPT_DEFAULT, CalibrationSettings
from ova.heads.scores import Scores

FOLDS = 5
_SEED = 20_261_123


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


def deal_folds(classes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Deal rows of every class to five folds.

    Args:
        classes: (n,) of rows in the order of their names.

    Returns:
        (n,) fold of each row; every fold gets its share of every class.
    """
    draw = np.random.default_rng(_SEED)
    folds = np.empty(len(classes), np.int64)
    for value in np.unique(classes):
        rows = np.flatnonzero(classes == value)
        folds[draw.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return folds


def beyond_error(gains: NDArray[np.float64]) -> tuple[bool, float, float]:
    """Say whether a mean gain (n rows) exceeds one standard error, and return both."""
    mean = float(gains.mean())
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return mean > error, mean, error


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
class ThresholdedHead:
    """The values of a head, the threshold that they are compared with, and how that was chosen."""

    name: str
    task: ThresholdTask
    """What the threshold was chosen for."""
    scores: Scores
    """Raw logits, or log odds where the head is stacked."""
    threshold: float
    free: bool
    """Whether rows chose the threshold; it was left at the default otherwise."""

    @classmethod
    def of(cls, head: ScoredHead) -> ThresholdedHead:
        """Take a head that decides alone."""
        calibration, settings = head.calibration, head.settings
        task = ThresholdTask(
            pos_weight=calibration.pos_weight,
            proper_loss=head.proper_loss,
            objective=settings.objective,
            method=settings.method,
            confidence=settings.confidence,
            prior=calibration.prior if calibration.adaptation else None,
        )
        return cls(head.name, task, head.scores, calibration.threshold, calibration.method != KEPT_DEFAULT)

    def choose(self, objective: str) -> float:
        """Choose a threshold for another objective, by the method of the head's recipe."""
        task = replace(self.task, objective=objective)
        return choose_threshold(self.scores.logits, self.scores.labels, task).threshold
