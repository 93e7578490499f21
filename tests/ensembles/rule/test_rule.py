"""Which heads a decision hangs on, and a rule in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ova.ensembles.rule.numpy_rule import decide
from ova.ensembles.rule.rule import Affine, Stack, describe_rule, heads_needed, plain_rule
from ova.heads.calibration.calibrators.platt import Platt

NAMES = "abcde"
STACK = Stack(
    ("b", "d"),
    Affine(
        ((1, 0, 0, 0, 0), (0.9, 1, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 1, -0.8), (0, 0, 0, 0, 1)),
        (0.0, 0.2, 0.0, 0.1, 0.0),
    ),
)
PLAIN = plain_rule([0.0] * 5, "multilabel")
RULES = {
    "plain": (PLAIN, ["a", "b", "c", "d", "e"]),
    "stacked": (replace(PLAIN, stack=STACK), ["a", "ab", "c", "de", "e"]),
    "groups": (replace(PLAIN, exclusive=(("a", "b"), ("b", "c"))), ["abc", "abc", "abc", "d", "e"]),
    "both": (replace(PLAIN, stack=STACK, exclusive=(("c", "d"),)), ["a", "ab", "cde", "cde", "e"]),
}


class Mapped(Platt):
    prior, curve = 0.5, None


@pytest.mark.parametrize("kind", RULES)
def test_only_heads_that_are_needed_can_change_a_decision(kind):
    rule, wanted = RULES[kind]
    needed = heads_needed(NAMES, rule)
    assert ["".join(NAMES[place] for place in sorted(places)) for places in needed] == wanted
    heads = [Mapped(1.0, 0.0)] * 5
    draw = np.random.default_rng(1)
    logits = draw.normal(size=(4000, 5))
    before = decide(heads, NAMES, rule, None, logits).decisions
    for place in range(5):
        other = logits.copy()
        other[:, place] = draw.normal(size=4000)
        moved = (decide(heads, NAMES, rule, None, other).decisions != before).any(axis=0)
        assert moved.tolist() == [place in places for places in needed]


def test_a_rule_in_words():
    labels = {name: f"label {name}" for name in NAMES}
    assert describe_rule(PLAIN, NAMES, labels) == ()
    assert describe_rule(plain_rule([0.0] * 5, "argmax"), NAMES, labels) == ()
    rule = replace(RULES["both"][0], objective="micro-f1")
    assert describe_rule(rule, NAMES, labels) == (
        "label b is decided by its own score together with those of label a (stacking).",
        "label d is decided by its own score together with those of label e (stacking).",
        "Thresholds are set together, for the micro F1 of all labels.",
        "Of label c, label d at most one is answered, the surest.",
    )
