"""How good a head is on rows that it was not trained on: the figures by which runs and recipes are chosen.

Both use scores of validation or out-of-fold rows, and never a test row. The log-loss is that of probabilities
that are made as the head's own will be, beta and isotonic curves included: a curve is chosen and fitted
without the rows that it is judged on, like the line.

Shape letter: n rows.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ova.errors import DataError, RecipeError
from ova.heads.curve_choice import choose_curve
from ova.heads.probabilities import fit_probabilities
from ova.heads.ranking import Ranking
from ova.metrics import average_precision

Criterion = Literal["average-precision", "log-loss"]
CRITERIA: tuple[Criterion, ...] = ("average-precision", "log-loss")
_PARTS = 5


@dataclass(frozen=True)
class HeldOut:
    """The figures of one head on held-out rows."""

    rows: int
    positives: int
    average_precision: float
    """Of all rows pooled: higher is better."""
    log_loss: float | None
    """Mean cross-entropy in nats, each fifth of the rows calibrated on the others: lower is better.
    None if the head ranks backwards, so that it cannot be calibrated."""

    def gain(self, criterion: Criterion) -> float:
        """Return the figure of a criterion, turned so that higher is better."""
        if criterion == "average-precision":
            return self.average_precision
        return -math.inf if self.log_loss is None else -self.log_loss

    def figure(self, criterion: Criterion) -> float | None:
        """Return the figure of a criterion as it is."""
        return self.average_precision if criterion == "average-precision" else self.log_loss


def read_criterion(text: str) -> Criterion:
    """Check the name of a criterion.

    Raises:
        RecipeError: It is none.
    """
    for criterion in CRITERIA:
        if text == criterion:
            return criterion
    raise RecipeError(f"{text!r} is no criterion; choose from {', '.join(CRITERIA)}")


def measure_held_out(
    images: Sequence[str],
    labels: NDArray[np.int8],
    logits: NDArray[np.float64],
    *,
    shift: float = 0.0,
    proper: bool = True,
) -> HeldOut:
    """Measure held-out scores.

    Args:
        images: (n,) ids; they decide the fifths, so that the order of rows does not matter.
        labels: (n,) 0 or 1, with some of both.
        logits: (n,) raw scores.
        shift: What weights and sampling added to the logits (`HeadRecord.log_odds_shift`).
        proper: Whether the loss has its minimum at the true probability.

    Raises:
        DataError: There is no positive or no negative.
    """
    if len(np.unique(labels)) < 2:
        raise DataError(
            f"{len(labels)} held-out rows hold {int(labels.sum())} positives; both kinds are needed"
        )
    precision = average_precision(labels, logits)
    assert precision is not None  # noqa: S101 (there is a positive)
    part = np.array([_part(image) for image in images])
    try:
        loss = _nested_log_loss(labels, logits, part, shift, proper)
    except DataError:
        loss = None
    return HeldOut(len(labels), int(labels.sum()), precision, loss)


def _nested_log_loss(
    labels: NDArray[np.int8], logits: NDArray[np.float64], part: NDArray[np.int64], shift: float, proper: bool
) -> float:
    losses = np.empty(len(labels))
    for number in np.unique(part):
        inside = part == number
        scores, truth = logits[~inside].astype(np.float32), labels[~inside]
        line = fit_probabilities(scores, truth, shift, proper)
        curve = choose_curve(Ranking.of(scores, truth)) if truth.any() else None
        odds = line.log_odds(logits[inside]) if curve is None else curve(logits[inside])
        losses[inside] = np.logaddexp(0.0, odds) - labels[inside] * odds
    return float(losses.mean())


def _part(image: str) -> int:
    return hashlib.sha256(image.encode()).digest()[0] % _PARTS
