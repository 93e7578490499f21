"""Calibrated heads and their calibration rows -> the rule of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ova.digests import digest_json
from ova.ensembles.recipe import EnsembleRecipe
from ova.ensembles.rule.argmax import coupling_constants
from ova.ensembles.rule.matrix_scaling import fit_matrix
from ova.ensembles.rule.micro_f1 import micro_thresholds
from ova.ensembles.rule.numpy_rule import decide
from ova.ensembles.rule.rows import CommonRows, ScoredHead, ThresholdedHead
from ova.ensembles.rule.rule import Rule, plain_rule
from ova.ensembles.rule.stacking import fit_stack
from ova.errors import DataError
from ova.progress import Progress, Silent


def fit_rule(
    recipe: EnsembleRecipe,
    heads: Sequence[ScoredHead],
    none_prior: float | None,
    *,
    progress: Progress | None = None,
) -> Rule:
    """Make the rule that a recipe asks for, from calibration rows alone.

    Args:
        recipe: What is asked for.
        heads: (K,) in the order of the outputs.
        none_prior: Share of images with none of the labels; needed for argmax.
        progress: Told what was decided; the rule's notes say the same.

    Raises:
        DataError: The heads have no calibration row in common that a part of the rule needs.
    """
    rule = plain_rule([head.calibration.threshold for head in heads], recipe.mode)
    present = {head.name for head in heads}
    groups = tuple(tuple(name for name in group if name in present) for group in recipe.exclusive)
    rule = replace(
        rule,
        exclusive=tuple(group for group in groups if len(group) > 1),
        abstain_below=recipe.abstain_below,
        recipe_digest=digest_json(recipe.model_dump(mode="json")),
    )
    thresholded = tuple(map(ThresholdedHead.of, heads))
    if recipe.stacking == "auto" and len(heads) > 1:
        stacked = fit_stack(heads)
        thresholded = stacked.heads
        rule = replace(
            rule,
            stack=stacked.stack,
            thresholds=tuple(head.threshold for head in thresholded),
            notes=stacked.notes,
        )
    if recipe.mode == "argmax":
        rule = _coupled(recipe, heads, rule, none_prior)
    if recipe.objective == "micro-f1":
        found = micro_thresholds(thresholded)
        rule = replace(rule, thresholds=found.thresholds, objective=recipe.objective)
        rule = _noted(rule, found.note)
    if recipe.abstain_below is not None:
        rule = _noted(rule, _abstentions(heads, rule, none_prior))
    for note in rule.notes:
        (progress or Silent()).say(note)
    return rule


def _coupled(
    recipe: EnsembleRecipe, heads: Sequence[ScoredHead], rule: Rule, none_prior: float | None
) -> Rule:
    """Choose where the scores of argmax mode come from."""
    if recipe.coupling in ("odds", "margin"):
        return replace(rule, coupling=recipe.coupling)
    rule = replace(rule, coupling="odds")
    calibrations = [head.calibration for head in heads]
    if any(each.adaptation for each in calibrations):
        return _noted(
            rule, "odds coupling: a head was moved to another prior than that of its calibration rows"
        )
    assert none_prior is not None  # noqa: S101 (argmax mode)
    offsets, none = coupling_constants([each.prior for each in calibrations], none_prior)
    forced = recipe.coupling == "matrix"
    try:
        rows = CommonRows.of(heads).of_one_class()
    except DataError as error:
        if forced:
            raise
        return _noted(rule, f"odds coupling: {error}")
    odds = decide(calibrations, [head.name for head in heads], rule, none_prior, rows.logits).log_odds
    scaled = fit_matrix(odds, rows.classes, np.append(offsets, none), forced=forced)
    if scaled.matrix is not None:
        rule = replace(rule, coupling="matrix", matrix=scaled.matrix)
    return _noted(rule, scaled.note)


def _noted(rule: Rule, note: str) -> Rule:
    return replace(rule, notes=(*rule.notes, note))


def _abstentions(heads: Sequence[ScoredHead], rule: Rule, none_prior: float | None) -> str:
    """Say what the abstain band costs and gains on calibration rows of one class or none."""
    rows = CommonRows.of(heads).of_one_class()
    names, calibrations = [head.name for head in heads], [head.calibration for head in heads]
    withheld = decide(calibrations, names, rule, none_prior, rows.logits).choice
    always = decide(calibrations, names, replace(rule, abstain_below=None), none_prior, rows.logits).choice
    assert withheld is not None and always is not None  # noqa: S101, PT018 (argmax mode)
    sure, right = withheld <= len(heads), always == rows.classes
    if not sure.any():
        return f"no choice is made below {rule.abstain_below:g}: on calibration rows, never"
    return (
        f"no choice is made below {rule.abstain_below:g}: on {np.mean(~sure):.1%} of {len(rows)} calibration "
        f"rows; of the others {np.mean(right[sure]):.1%} are right, of all {np.mean(right):.1%}"
    )
