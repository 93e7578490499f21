from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from scipy import stats

from ova.analysis.measures.f1 import NESTED_FOLDS, _folds, honest_f1, measured_f1, nested_f1
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibration import Adaptation
from ova.metrics import Counts, f1_interval

# Population F1 is known: (positives, negatives) as in the reference's "unequal variance" and "two clusters".
FAMILIES = {
    "unequal variance": ([(1, 2.5, 2.6)], [(1, -2.5, 1.3)]),
    "two clusters": ([(0.5, 6, 1), (0.5, 0.5, 1)], [(0.9, -6, 1.5), (0.1, -1.2, 0.8)]),
}
argmax = partial(calibrate_scores, method="argmax")


def draw(side, size, generator):
    parts = generator.choice(len(side), size, p=[weight for weight, *_ in side])
    means, spreads = np.array([part[1] for part in side]), np.array([part[2] for part in side])
    return generator.normal(means[parts], spreads[parts])


def sample(seed, family="unequal variance", positives=24, rows=400):
    generator = np.random.default_rng(seed)
    one, other = FAMILIES[family]
    scores = np.concatenate([draw(one, positives, generator), draw(other, rows - positives, generator)])
    labels = (np.arange(rows) < positives).astype(np.int8)
    return scores, labels, [f"{row:04d}.png" for row in range(rows)]


def population_f1(threshold, family, prior):
    found, false = (
        sum(weight * stats.norm.sf(threshold, mean, spread) for weight, mean, spread in side)
        for side in FAMILIES[family]
    )
    return 2 * prior * found / (prior * found + (1 - prior) * false + prior)


@pytest.mark.parametrize("family", FAMILIES)
def test_nested_f1_is_honest_where_the_apparent_one_is_not(family):
    apparent, nested = [], []
    for seed in range(25):
        scores, labels, images = sample([seed, 3], family)
        calibration = argmax(scores, labels)
        true = population_f1(calibration.threshold, family, 0.06)
        apparent.append(calibration.f1 - true)
        nested.append(nested_f1(scores, labels, images, argmax).value - true)
    assert abs(np.mean(nested)) <= 0.015
    assert np.mean(apparent) > 0.025


def test_nested_f1_is_that_of_the_written_out_loop():
    scores, labels, images = sample(1)
    decided = np.zeros(len(scores), bool)
    for others, fold in _folds(labels, images):
        decided[fold] = scores[fold].astype(np.float32) >= argmax(scores[others], labels[others]).threshold
    counts = Counts.of(labels, decided)
    found = nested_f1(scores, labels, images, argmax)
    assert (found.value, found.low, found.high) == (counts.f1, *f1_interval(counts))


@pytest.mark.parametrize("size", [1, 6])
def test_folds_part_no_group_and_share_the_positives(size):
    _, labels, _ = sample(0, positives=60, rows=600)
    groups = [f"cell-{row // size}" for row in range(600)]
    folds = _folds(labels, groups)
    assert len(folds) == NESTED_FOLDS
    seen = np.concatenate([fold for _, fold in folds])
    assert sorted(seen) == list(range(600))
    for others, fold in folds:
        assert not {groups[row] for row in others} & {groups[row] for row in fold}
        assert labels[fold].sum() == 12
        assert len(others) + len(fold) == 600


def test_order_of_rows_does_not_matter():
    scores, labels, images = sample(2)
    groups = [image[:3] for image in images]
    order = np.random.default_rng(0).permutation(len(scores))
    shuffled = nested_f1(scores[order], labels[order], [groups[row] for row in order], argmax)
    assert shuffled == nested_f1(scores, labels, groups, argmax)


def test_three_figures_stand_side_by_side():
    scores, labels, images = sample(3)
    calibration = calibrate_scores(scores, labels, objective="f2")
    test = Counts(tp=10, fp=3, fn=4, tn=80)
    found = honest_f1(scores, labels, images, calibration, test)
    assert found.apparent.value == calibration.f1
    assert found.test == measured_f1(test)
    again = nested_f1(scores, labels, images, partial(calibrate_scores, objective="f2"))
    assert found.nested == again
    assert found.nested != nested_f1(scores, labels, images, calibrate_scores)


def test_a_default_threshold_chose_nothing_so_that_its_f1_is_honest():
    scores, labels, images = sample(4, positives=4)
    found = honest_f1(scores, labels, images, calibrate_scores(scores, labels), Counts())
    assert found.nested == found.apparent
    assert found.apparent.value is not None
    assert found.test.value is None
    assert found.test.reason == "no labelled rows"


def test_a_threshold_that_was_adapted_without_labels_has_no_nested_f1():
    scores, labels, images = sample(7)
    adaptation = Adaptation(100, 0.06, 0.02, 0.03, "0" * 64, "1" * 64)
    calibration = replace(calibrate_scores(scores, labels), adaptation=adaptation)
    found = honest_f1(scores, labels, images, calibration, Counts())
    assert (found.nested.value, found.nested.reason[:25]) == (None, "the threshold was adapted")


@pytest.mark.parametrize(
    ("positives", "rows", "group", "reason"),
    [
        (6, 400, lambda row: row, "4 positives are left to choose a threshold by, 5 are needed"),
        (30, 400, lambda row: row // 100, "there are too few groups for 5 folds"),
    ],
)
def test_what_cannot_be_nested_is_none_with_the_reason(positives, rows, group, reason):
    scores, labels, _ = sample(5, positives=positives, rows=rows)
    found = nested_f1(scores, labels, [str(group(row)) for row in range(rows)], argmax)
    assert (found.value, found.low) == (None, None)
    assert found.reason == reason


def test_a_head_that_ranks_backwards_without_a_fold_has_no_nested_f1():
    scores, labels, images = sample(6)

    def backwards(logits, truth):
        return calibrate_scores(-logits, truth)

    found = nested_f1(scores, labels, images, backwards)
    assert found.value is None
    assert "ranks backwards" in found.reason
