"""The rule in numpy and float64: the reference of `torch_rule`.

Importing this module is light: numpy alone.

Shape letters: n images, K heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.arrays import FloatArray
from ova.ensembles.rule.argmax import choose, class_probabilities, couple
from ova.ensembles.rule.rule import Rule, conflicts, longest_chain
from ova.heads.calibration.calibrators.curve import Curve

LEAST_MARGIN = 1e-6
"""How far below none a label that does not fire lies at least, in the coupling `margin`."""


class Mapped(Protocol):
    """Logit -> log odds, and the prior that they are for: a calibration, or a head's entry in a manifest."""

    @property
    def slope(self) -> float:
        """Log odds = slope * logit + intercept."""
        ...

    @property
    def intercept(self) -> float:
        """See `slope`."""
        ...

    @property
    def curve(self) -> Curve | None:
        """Logit -> log odds in place of slope and intercept."""
        ...

    @property
    def prior(self) -> float:
        """Share of positives."""
        ...


@dataclass(frozen=True)
class Decided:
    """What the rule says about n images."""

    log_odds: FloatArray
    """(n, K) of each label on its own."""
    decisions: NDArray[np.bool_]
    """(n, K)."""
    slack: FloatArray
    """(n,) how far the nearest decision is from tipping."""
    scores: FloatArray | None = None
    """(n, K + 1), argmax mode."""
    posterior: FloatArray | None = None
    """(n, K + 1) class probabilities, argmax mode."""
    choice: NDArray[np.int64] | None = None
    """(n,) argmax mode: K is none, K + 1 no choice."""


def decide(
    heads: Sequence[Mapped], names: Sequence[str], rule: Rule, none_prior: float | None, logits: ArrayLike
) -> Decided:
    """Apply a rule.

    Args:
        heads: (K,) calibrations.
        names: (K,) names of the heads.
        rule: What to do.
        none_prior: Share of images with none of the labels; needed if the rule has a coupling.
        logits: (n, K) raw logits.
    """
    raw = np.asarray(logits, np.float32).astype(np.float64)
    own = calibrate_all(heads, raw)
    odds, values, stacked = own, raw, stacked_heads(rule, names)
    if rule.stack is not None:
        matrix = np.array(rule.stack.matrix.weights)
        odds = np.where(stacked, own @ matrix.T + np.array(rule.stack.matrix.biases), own)
        values = np.where(stacked, odds, raw)
    thresholds = np.array(rule.thresholds)
    fired = values >= thresholds
    slack = (np.abs(values - thresholds) / (1.0 + np.abs(thresholds))).min(axis=1)
    margins = odds - levels(heads, rule, names)
    pairs = conflicts(names, rule.exclusive)
    for one, other in pairs:
        both = fired[:, one] & fired[:, other]
        slack = np.where(both, np.minimum(slack, np.abs(margins[:, one] - margins[:, other])), slack)
    decisions = keep_surest(fired, margins, pairs)
    if rule.coupling is None:
        return Decided(odds, decisions, slack)
    assert none_prior is not None  # noqa: S101 (checked with the manifest)
    scores = coupled = couple(odds, [head.prior for head in heads], none_prior)
    if rule.matrix is not None:
        scores = coupled = odds @ np.array(rule.matrix.weights).T + np.array(rule.matrix.biases)
    if rule.coupling == "margin":
        signed = np.where(fired, np.maximum(margins, 0.0), np.minimum(margins, -LEAST_MARGIN))
        scores = np.column_stack([signed, np.zeros(len(signed))])
    return _with_choice(Decided(odds, decisions, slack), scores, coupled, rule)


def _with_choice(decided: Decided, scores: FloatArray, coupled: FloatArray, rule: Rule) -> Decided:
    posterior, choice = class_probabilities(coupled), choose(scores)
    ranked = np.sort(scores, axis=1)
    slack = np.minimum(decided.slack, ranked[:, -1] - ranked[:, -2])
    if rule.abstain_below is not None:
        sure = np.take_along_axis(posterior, choice[:, None], axis=1)[:, 0]
        slack = np.minimum(slack, np.abs(sure - rule.abstain_below))
        choice = np.where(sure >= rule.abstain_below, choice, scores.shape[1])
    return Decided(decided.log_odds, decided.decisions, slack, scores, posterior, choice)


def calibrate_all(heads: Sequence[Mapped], logits: FloatArray) -> FloatArray:
    """Return log odds (n, K) of raw logits (n, K)."""
    odds = logits * [head.slope for head in heads] + [head.intercept for head in heads]
    for place, head in enumerate(heads):
        if head.curve is not None:
            odds[:, place] = head.curve(logits[:, place])
    return odds


def stacked_heads(rule: Rule, names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which heads are stacked, (K,)."""
    stacked = rule.stack.heads if rule.stack is not None else ()
    return np.array([name in stacked for name in names])


def levels(heads: Sequence[Mapped], rule: Rule, names: Sequence[str]) -> FloatArray:
    """Return the log odds (K,) at which each head fires."""
    thresholds = np.array(rule.thresholds)
    return np.where(stacked_heads(rule, names), thresholds, calibrate_all(heads, thresholds[None])[0])


def keep_surest(
    fired: NDArray[np.bool_], margins: FloatArray, pairs: Sequence[tuple[int, int]]
) -> NDArray[np.bool_]:
    """Silence every label that conflicts with a firing one of greater margin; of equal ones the first stays.

    A label that is itself silenced silences nobody: rounds go on until that is settled.

    Args:
        fired: (n, K) before.
        margins: (n, K) log odds above the threshold.
        pairs: Positions that exclude each other.
    """
    kept = fired
    for _ in range(longest_chain(pairs)):
        silenced = np.zeros_like(fired)
        for one, other in pairs:
            first = margins[:, one] >= margins[:, other]
            silenced[:, other] |= kept[:, one] & first
            silenced[:, one] |= kept[:, other] & ~first
        kept = fired & ~silenced
    return kept
