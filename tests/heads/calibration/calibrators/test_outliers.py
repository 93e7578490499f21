from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibrators.blocks import clip_outliers


def reach(scores, labels):
    return clip_outliers(scores, np.ones(len(scores)), labels.astype(float))


def test_normal_scores_stay_and_one_wild_score_is_drawn_in():
    draw = np.random.default_rng(0)
    labels = np.repeat([1, 0], [24, 376])
    scores = draw.normal(5.0 * labels - 2.5, 2.0)
    assert (reach(scores, labels) == scores).all()
    scores[-1] = 1e6
    drawn = reach(scores, labels)
    assert (drawn[:-1] == scores[:-1]).all()
    assert scores[:-1].max() < drawn[-1] < 40


def test_a_wild_score_does_not_turn_a_head_around():
    draw = np.random.default_rng(1)
    labels = np.repeat([1, 0], [24, 376])
    scores = draw.normal(5.0 * labels - 2.5, 1.5)
    plain = calibrate_scores(scores, labels)
    scores[-1] = 1e5
    wild = calibrate_scores(scores, labels)
    assert wild.f1 > 0.9 * plain.f1
    assert wild.threshold == pytest.approx(plain.threshold, abs=1.0)


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(0, 1)), min_size=1, max_size=30))
def test_the_order_of_scores_stays(rows):
    scores, labels = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    drawn = reach(scores, labels)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(drawn[order]) >= 0).all()
    assert drawn.min() >= scores.min()
    assert drawn.max() <= scores.max()
