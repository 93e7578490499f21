"""The test images that a head gets most wrong, and those that it is least sure of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.analysis.head_result import HeadEvidence
from ova.heads.calibration.calibration import Calibration


@dataclass(frozen=True)
class JudgedImage:
    """A head's answer on one test image."""

    image: str
    label: int
    """What the table says: 0 or 1."""
    decision: int
    """What the head says: 0 or 1."""
    logit: float
    calibrated_logit: float
    """The log-odds of the probability."""
    probability: float


@dataclass(frozen=True)
class Mistakes:
    """Images worth a look, each list in the order of its name.

    Attributes:
        false_alarms: Negatives that the head calls positive, the highest logit first.
        missed: Positives that it does not find, the lowest logit first.
        doubtful: Images nearest to the threshold, right or wrong.
        total_false_alarms: How many there are in all.
        total_missed: How many there are in all.
    """

    false_alarms: tuple[JudgedImage, ...]
    missed: tuple[JudgedImage, ...]
    doubtful: tuple[JudgedImage, ...]
    total_false_alarms: int
    total_missed: int

    def lists(self) -> dict[str, tuple[JudgedImage, ...]]:
        """Return the lists by name."""
        return {"false_alarms": self.false_alarms, "missed": self.missed, "doubtful": self.doubtful}

    def images(self) -> list[str]:
        """Return the images of all lists, each once."""
        return list(dict.fromkeys(each.image for judged in self.lists().values() for each in judged))

    def to_json(self) -> dict[str, Any]:
        """Return the lists and the totals."""
        lists = {name: [asdict(each) for each in judged] for name, judged in self.lists().items()}
        totals = {"false_alarms": self.total_false_alarms, "missed": self.total_missed}
        return {**lists, "totals": totals}


def find_mistakes(evidence: HeadEvidence, calibration: Calibration, top: int) -> Mistakes:
    """Rank a head's test rows; of equals the image whose id comes first.

    Args:
        evidence: The head's answers on test rows.
        calibration: What makes a probability of a logit; it keeps the order.
        top: How many images of each kind.
    """
    scores, wrong = evidence.scores.astype(np.float64), evidence.decisions != (evidence.labels == 1)
    alarms = np.flatnonzero(wrong & evidence.decisions)
    missed = np.flatnonzero(wrong & ~evidence.decisions)
    distance = np.abs(scores - np.float32(evidence.threshold))

    def judged(rows: Iterable[int], keys: NDArray[np.float64]) -> tuple[JudgedImage, ...]:
        first = sorted(rows, key=lambda row: (keys[row], evidence.images[row]))[:top]
        return tuple(_judge(evidence, calibration, row) for row in first)

    return Mistakes(
        judged(alarms, -scores),
        judged(missed, scores),
        judged(range(scores.size), distance),
        alarms.size,
        missed.size,
    )


def _judge(evidence: HeadEvidence, calibration: Calibration, row: int) -> JudgedImage:
    logit = float(evidence.logits[row])
    return JudgedImage(
        evidence.images[row],
        int(evidence.labels[row]),
        int(evidence.decisions[row]),
        logit,
        float(calibration.calibrated(logit)),
        float(calibration.probability(logit)),
    )
