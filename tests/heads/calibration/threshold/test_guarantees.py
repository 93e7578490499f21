from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import binom, norm

from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.guarantees import guaranteed_threshold
from ova.heads.threshold_objectives import Budget, Floor


def draw_rows(draw, positives, negatives, distance=3.0):
    labels = np.repeat([1, 0], [positives, negatives])
    return draw.normal(distance * labels, 1.0), labels


def thresholds(objective, positives, negatives, repeats=400):
    draw = np.random.default_rng(5)
    for _ in range(repeats):
        yield guaranteed_threshold(Ranking.of(*draw_rows(draw, positives, negatives)), objective, 0.95)


def holds(kept, repeats=400):
    """At least 95 % of the promises, but for the chance of this many repeats."""
    return binom.cdf(sum(kept), repeats, 0.95) > 1e-3


@pytest.mark.parametrize(("positives", "least"), [(29, 0.9), (60, 0.9), (200, 0.8)])
def test_recall_is_kept_as_often_as_promised(positives, least):
    found = list(thresholds(Floor("recall", least), positives, 100))
    assert all(each.note is None for each in found)
    assert holds([norm.sf(each.threshold, 3.0) >= least for each in found])


def test_recall_is_not_bought_too_dear():
    recalls = [norm.sf(each.threshold, 3.0) for each in thresholds(Floor("recall", 0.8), 200, 100)]
    assert np.mean(recalls) < 0.88
    assert np.mean(np.array(recalls) < 0.8) > 0.005  # 5 % at most may fall below, so some do


def test_recall_takes_29_positives():
    objective = Floor("recall", 0.9)
    assert all(each.note is None for each in thresholds(objective, 29, 50, repeats=5))
    for found in thresholds(objective, 24, 50, repeats=5):
        assert "24 positives promise at most 0.883, 29 are needed" in found.note
    draw = np.random.default_rng(1)
    scores, labels = draw_rows(draw, 24, 50)
    assert (
        guaranteed_threshold(Ranking.of(scores, labels), objective, 0.95).threshold
        <= scores[labels == 1].min()
    )


@pytest.mark.parametrize(("confidence", "needed"), [(0.9, 22), (0.95, 29), (0.99, 44)])
def test_what_it_takes_depends_on_the_confidence(confidence, needed):
    draw = np.random.default_rng(2)
    for count, reached in ((needed - 1, False), (needed, True)):
        found = guaranteed_threshold(
            Ranking.of(*draw_rows(draw, count, 30)), Floor("recall", 0.9), confidence
        )
        assert (found.note is None) == reached


def population_precision(threshold, positives, negatives):
    found, false = positives * norm.sf(threshold, 3.0), negatives * norm.sf(threshold, 0.0)
    return found / (found + false)


def test_precision_is_kept_as_often_as_promised():
    found = list(thresholds(Floor("precision", 0.8), 150, 1500))
    reached = [each for each in found if each.note is None]
    assert len(reached) > 380
    kept = [population_precision(each.threshold, 150, 1500) >= 0.8 for each in reached]
    assert holds(kept, len(kept))
    # And it finds most of what a known population would allow.
    grid = np.linspace(-2, 6, 4001)
    lowest = grid[np.argmax(population_precision(grid, 150, 1500) >= 0.8)]
    assert np.mean([norm.sf(each.threshold, 3.0) for each in reached]) > 0.75 * norm.sf(lowest, 3.0)


def test_unreachable_precision_says_what_is_best():
    draw = np.random.default_rng(3)
    labels = np.repeat([1, 0], [30, 300])
    found = guaranteed_threshold(Ranking.of(draw.normal(size=330), labels), Floor("precision", 0.9), 0.95)
    best, takes = re.search(r"promise is ([\d.]+); it takes (\d+) right alarms", found.note).groups()
    assert float(best) < 0.9
    assert 0.9 ** int(takes) <= 0.05 / 5 < 0.9 ** (int(takes) - 1)


def test_fewer_rows_than_a_proof_takes():
    found = guaranteed_threshold(Ranking.of([3.0, 1.0, 0.0], [1, 0, 0]), Floor("precision", 0.9), 0.95)
    assert "unreachable" in found.note


@pytest.mark.parametrize("most", [0.05, 0.3])
def test_alarms_stay_within_the_budget_as_often_as_promised(most):
    found = list(thresholds(Budget(most), 40, 360))
    shares = [0.1 * norm.sf(each.threshold, 3.0) + 0.9 * norm.sf(each.threshold, 0.0) for each in found]
    assert all(each.note is None for each in found)
    assert holds([share <= most for share in shares])
    assert np.mean(shares) > 0.5 * most


def test_a_budget_takes_rows():
    for size, reached in ((58, False), (59, True)):
        rows = Ranking.of(np.arange(size, dtype=float), np.arange(size) % 3 == 0)
        found = guaranteed_threshold(rows, Budget(0.05), 0.95)
        assert (found.note is None) == reached
        assert found.threshold > size - 1.5  # nothing, or one row, is flagged
        if not reached:
            assert "58 rows are too few, 59 are needed" in found.note


def test_ties_are_flagged_together_or_not_at_all():
    scores, labels = np.array([2.0] * 50 + [1.0] * 50), np.array([1, 0] * 50)
    found = guaranteed_threshold(Ranking.of(scores, labels), Budget(0.4), 0.95)
    assert found.threshold > 2.0  # the 50 highest are one group, and 50 of 100 are too many
