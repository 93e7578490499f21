from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from ova.analysis.head_result import HeadEvidence
from ova.analysis.report.mistakes import find_mistakes
from ova.heads.calibration.calibration import Calibration

CALIBRATION = Calibration(
    threshold=0.5, slope=2.0, intercept=-1.0, objective="f1", method="auto", positives=9, negatives=9,
    prior=0.5, pos_weight=1.0, f1=None, note=None,
)  # fmt: skip


def mistakes_of(rows, top=3):
    labels, logits = (np.array(column) for column in zip(*rows.values(), strict=True))
    evidence = HeadEvidence("crack", "crack", 0.5, labels.astype(np.int8), logits.astype(float), tuple(rows))
    return find_mistakes(evidence, CALIBRATION, top)


ROWS = {
    "z.png": (0, 3.0), "a.png": (0, 3.0), "b.png": (0, 0.5), "c.png": (0, 0.49), "d.png": (0, 9.0),
    "e.png": (1, -4.0), "f.png": (1, 0.4), "g.png": (1, 0.5), "h.png": (1, 8.0),
}  # fmt: skip


def test_the_worst_come_first_and_equals_by_name_whatever_the_order_of_the_rows():
    for rows in (ROWS, dict(reversed(ROWS.items()))):
        found = mistakes_of(rows)
        assert [each.image for each in found.false_alarms] == ["d.png", "a.png", "z.png"]
        assert [each.image for each in found.missed] == ["e.png", "f.png"]
        assert [each.image for each in found.doubtful] == ["b.png", "g.png", "c.png"]
        assert (found.total_false_alarms, found.total_missed) == (4, 2)
        assert found.images() == ["d.png", "a.png", "z.png", "e.png", "f.png", "b.png", "g.png", "c.png"]


def test_an_answer_is_told_as_a_calibrated_logit_and_its_probability():
    worst = mistakes_of(ROWS).false_alarms[0]
    assert (worst.label, worst.decision, worst.logit, worst.calibrated_logit) == (0, 1, 9.0, 17.0)
    assert worst.probability == pytest.approx(expit(17.0))
    assert mistakes_of(ROWS).to_json()["totals"] == {"false_alarms": 4, "missed": 2}


def test_a_head_without_mistakes_still_has_doubts():
    found = mistakes_of({"a.png": (0, -1.0), "b.png": (1, 0.6)}, top=1)
    assert (found.false_alarms, found.missed) == ((), ())
    assert [each.image for each in found.doubtful] == ["b.png"]
