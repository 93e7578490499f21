"""Heads that listen to each other: only where it is proven to help."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scored import Scored

from ova.ensembles.recipe import EnsembleRecipe
from ova.ensembles.rule.fit_rule import fit_rule
from ova.ensembles.rule.numpy_rule import calibrate_all, decide
from ova.ensembles.rule.rows import CommonRows
from ova.ensembles.rule.stacking import RIDGE, _fit, fit_stack
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.recipe import CalibrationSettings
from ova.heads.scores import Scores

PLUGIN = CalibrationSettings(method="plugin")
POWERS = np.array([2.2, 2.8])


def draw_rows(seed, rows, dependence):
    """Cracks on 22 % of cells, inactive regions on 6 %; P(crack | inactive) = dependence; errors independent."""
    draw = np.random.default_rng(seed)
    inactive = draw.random(rows) < 0.06
    crack = draw.random(rows) < np.where(inactive, dependence, (0.22 - dependence * 0.06) / 0.94)
    labels = np.stack([crack, inactive], axis=1).astype(np.int8)
    logits = draw.normal(0, 1, (rows, 2)) * POWERS + np.where(labels == 1, 0.5, -0.5) * POWERS**2
    return labels, logits.astype(np.float32).astype(np.float64)


def make_heads(labels, logits):
    images = tuple(f"{row:05d}" for row in range(len(labels)))
    return [
        Scored(
            name,
            calibrate_scores(logits[:, k], labels[:, k], method="plugin"),
            PLUGIN,
            Scores(images, labels[:, k], logits[:, k]),
        )
        for k, name in enumerate(("crack", "inactive"))
    ]


def test_independent_labels_are_left_alone():
    accepted = [fit_stack(make_heads(*draw_rows(seed, 400, 0.22))).stack is not None for seed in range(20)]
    assert np.mean(accepted) <= 0.1


def test_labels_that_come_together_are_used_and_told():
    heads = make_heads(*draw_rows(1, 2_000, 0.9))
    recipe = EnsembleRecipe(heads=("crack", "inactive"), stacking="auto")
    rule = fit_rule(recipe, heads, None)
    assert rule.stack is not None
    assert "inactive" in rule.stack.heads
    assert rule.stack.matrix.weights[1][0] > 0
    assert any("inactive listens to crack +" in note for note in rule.notes)
    labels, logits = draw_rows(99, 20_000, 0.9)
    names = [head.name for head in heads]
    found = decide([head.calibration for head in heads], names, rule, None, logits)
    alone = fit_rule(EnsembleRecipe(heads=("crack", "inactive")), heads, None)
    before = decide([head.calibration for head in heads], names, alone, None, logits)

    def f1(decisions):
        return (
            2 * (decisions & (labels == 1)).sum(axis=0) / (decisions.sum(axis=0) + labels.sum(axis=0))
        ).mean()

    def log_loss(odds):
        return float(np.mean(np.logaddexp(0, odds) - labels * odds))

    assert f1(found.decisions) > f1(before.decisions)
    assert log_loss(found.log_odds) < log_loss(before.log_odds)


def test_the_fit_is_the_minimum_of_its_penalised_loss():
    labels, logits = draw_rows(2, 300, 0.6)
    design = np.column_stack([logits[:, 0], np.ones(300), logits[:, 1]])
    truth = labels[:, 0].astype(float)

    def loss(point):
        z = design @ point
        penalty = ((point[0] - 1) / 0.5) ** 2 + (point[1] / 1.5) ** 2 + RIDGE * point[2] ** 2
        return np.sum(np.logaddexp(0, z) - truth * z) + 0.5 * penalty

    best = minimize(loss, [1.0, 0.0, 0.0], tol=1e-10)
    np.testing.assert_allclose(_fit(design, truth), best.x, atol=1e-4)


def test_heads_with_few_rows_stay_alone():
    labels, logits = draw_rows(3, 120, 0.9)
    assert labels[:, 1].sum() < 10
    stacked = fit_stack(make_heads(labels, logits))
    assert "inactive" not in (stacked.stack.heads if stacked.stack else ())


def test_neither_order_of_rows_nor_of_heads_matters():
    labels, logits = draw_rows(1, 1_000, 0.9)
    heads = make_heads(labels, logits)
    order = np.random.default_rng(0).permutation(1_000)
    moved = []
    for head in heads[::-1]:
        images = tuple(head.scores.images[row] for row in order)
        scores = Scores(images, head.scores.labels[order], head.scores.logits[order])
        moved.append(Scored(head.name, head.calibration, head.settings, scores))
    one, other = fit_stack(heads), fit_stack(moved)
    assert one.stack is not None
    assert set(one.stack.heads) == set(other.stack.heads)
    np.testing.assert_allclose(
        np.array(one.stack.matrix.weights), np.array(other.stack.matrix.weights)[::-1, ::-1], atol=1e-9
    )


def test_the_matrix_is_the_standardised_fit():
    heads = make_heads(*draw_rows(1, 1_000, 0.9))
    stack = fit_stack(heads).stack
    rows = CommonRows.of(heads)
    odds = calibrate_all([head.calibration for head in heads], rows.logits)
    truth = rows.labels[:, 1].astype(float)
    other = (odds[:, 0] - odds[:, 0].mean()) / odds[:, 0].std()
    design = np.column_stack([odds[:, 1], np.ones(len(odds)), other])
    wanted = design @ _fit(design, truth)
    np.testing.assert_allclose(
        odds @ np.array(stack.matrix.weights[1]) + stack.matrix.biases[1], wanted, atol=1e-9
    )


@pytest.mark.parametrize("constant", [0.0, -3.0])
def test_a_head_that_says_nothing_is_no_help(constant):
    labels, logits = draw_rows(4, 500, 0.9)
    heads = make_heads(labels, logits)
    silent = Scores(heads[1].scores.images, labels[:, 1], np.full(500, constant))
    still = Scored("inactive", calibrate_scores(silent.logits, silent.labels), PLUGIN, silent)
    stack = fit_stack([heads[0], still]).stack
    assert stack is not None
    assert stack.heads == ("inactive",)  # the silent head hears the other, and nobody hears the silent one
