"""From calibrated heads and their rows to a rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scored import Scored
from told import Told

from ova.digests import digest_json
from ova.ensembles.recipe import EnsembleRecipe
from ova.ensembles.rule.fit_rule import fit_rule
from ova.ensembles.rule.rows import CommonRows
from ova.errors import DataError
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibration import Adaptation
from ova.heads.recipe import CalibrationSettings
from ova.heads.scores import Scores


def scored_heads(seed=0, rows=600, power=3.0):
    """Three heads of classes of 20, 10 and 5 %; the rest is none."""
    draw = np.random.default_rng(seed)
    classes = draw.choice(4, rows, p=[0.2, 0.1, 0.05, 0.65])
    images = tuple(f"{row:04d}.png" for row in range(rows))
    heads = []
    for index, name in enumerate("abc"):
        labels = (classes == index).astype(np.int8)
        logits = draw.normal(power * labels - power / 2, 1.0).astype(np.float32).astype(np.float64)
        scores = Scores(images, labels, logits)
        heads.append(Scored(name, calibrate_scores(logits, labels), CalibrationSettings(), scores))
    return heads


def recipe_of(**settings):
    return EnsembleRecipe(heads=("a", "b", "c"), **settings)


@pytest.mark.slow
def test_by_default_the_heads_decide_alone():
    heads = scored_heads()
    rule = fit_rule(recipe_of(), heads, None)
    assert rule.thresholds == tuple(head.calibration.threshold for head in heads)
    assert (rule.coupling, rule.stack, rule.exclusive, rule.notes) == (None, None, (), ())
    assert rule.recipe_digest == digest_json(recipe_of().model_dump(mode="json"))
    argmax = fit_rule(recipe_of(mode="argmax"), heads, 0.6)
    assert (argmax.coupling, argmax.matrix) == ("odds", None)
    assert "odds coupling" in argmax.notes[0]
    assert fit_rule(recipe_of(mode="argmax", coupling="margin"), heads, 0.6).coupling == "margin"


def test_groups_lose_the_heads_that_are_not_there():
    recipe = recipe_of(exclusive=(("a", "b"), ("a", "b", "c")))
    assert fit_rule(recipe, scored_heads()[1:], None).exclusive == (("b", "c"),)


def test_micro_f1_moves_thresholds_and_says_so():
    told = Told()
    heads = scored_heads(power=2.0)
    rule = fit_rule(recipe_of(objective="micro-f1"), heads, None, progress=told)
    assert rule.objective == "micro-f1"
    assert rule.thresholds != tuple(head.calibration.threshold for head in heads)
    assert list(rule.notes) == told.lines
    assert "micro F1 over 3 heads" in rule.notes[0]


@pytest.mark.slow
def test_a_matrix_may_be_asked_for():
    rule = fit_rule(recipe_of(mode="argmax", coupling="matrix"), scored_heads(), 0.6)
    assert rule.coupling == "matrix"
    assert rule.matrix.fits(4, 3)


def test_without_rows_in_common_argmax_still_couples_odds():
    first, *rest = scored_heads()
    away = Scores(
        tuple(f"x{image}" for image in first.scores.images), first.scores.labels, first.scores.logits
    )
    heads = [Scored("a", first.calibration, first.settings, away), *rest]
    rule = fit_rule(recipe_of(mode="argmax"), heads, 0.6)
    assert rule.coupling == "odds"
    assert "no calibration row in common" in rule.notes[0]
    with pytest.raises(DataError, match="in common"):
        fit_rule(recipe_of(mode="argmax", coupling="matrix"), heads, 0.6)


def test_heads_at_another_prior_neither_stack_nor_learn_a_matrix():
    first, *rest = scored_heads()
    moved = replace(
        first.calibration, adaptation=Adaptation(100, 0.2, 0.3, 0.4, "d", "calibration-0001.json")
    )
    heads = [Scored("a", moved, first.settings, first.scores), *rest]
    rule = fit_rule(recipe_of(mode="argmax", stacking="auto"), heads, 0.6)
    assert (rule.stack, rule.matrix) == (None, None)
    assert all("another prior" in note for note in rule.notes)


@pytest.mark.slow
def test_the_cost_of_withheld_choices_is_told():
    heads = scored_heads()
    rule = fit_rule(recipe_of(mode="argmax", abstain_below=0.9), heads, 0.65)
    assert rule.abstain_below == 0.9
    assert "of 600 calibration rows" in rule.notes[-1]


def test_rows_in_common_do_not_depend_on_their_order():
    heads = scored_heads()
    order = np.random.default_rng(1).permutation(600)
    first = heads[0].scores
    shuffled = Scores(tuple(first.images[row] for row in order), first.labels[order], first.logits[order])
    fewer = Scores(first.images[:400], first.labels[:400], first.logits[:400])
    other = [Scored("a", heads[0].calibration, heads[0].settings, shuffled), *heads[1:]]
    np.testing.assert_array_equal(CommonRows.of(other).logits, CommonRows.of(heads).logits)
    few = [Scored("a", heads[0].calibration, heads[0].settings, fewer), *heads[1:]]
    assert len(CommonRows.of(few)) == 400
    none = Scored(
        "a", heads[0].calibration, heads[0].settings, Scores(("x",), first.labels[:1], first.logits[:1])
    )
    with pytest.raises(DataError, match="no calibration row in common"):
        CommonRows.of([none, *heads[1:]])


def test_rows_with_several_labels_have_no_class():
    labels = np.array([[1, 1], [0, 0], [0, 1]], np.int8)
    rows = CommonRows(("x", "y", "z"), np.zeros((3, 2)), labels).of_one_class()
    assert rows.images == ("y", "z")
    assert rows.classes.tolist() == [2, 1]
    with pytest.raises(DataError, match="several labels"):
        CommonRows(("x",), np.zeros((1, 2)), labels[:1]).of_one_class()
