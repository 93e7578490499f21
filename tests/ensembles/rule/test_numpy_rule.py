"""The rule of an ensemble: numpy against brute force, torch against numpy."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from ova.ensembles.rule.numpy_rule import decide, keep_surest
from ova.ensembles.rule.rule import Affine, Rule, Stack, conflicts, longest_chain, plain_rule
from ova.ensembles.rule.torch_rule import Decision
from ova.errors import DataError

NAMES = ("a", "b", "c", "d")
DRAW = np.random.default_rng(5)
LOGITS = DRAW.normal(0, 2, (400, 4)).astype(np.float32)
THRESHOLDS = (0.5, -0.25, 0.0, 1.0)
GROUPS = (("a", "b"), ("b", "c"), ("a", "d"))
STACK = Stack(
    ("b", "d"),
    Affine(((1, 0, 0, 0), (0.5, 0.9, 0, -0.25), (0, 0, 1, 0), (0, 0.125, 0.5, 1.1)), (0, 0.3, 0, -1)),
)
RULES = {
    "plain": plain_rule(THRESHOLDS, "multilabel"),
    "exclusive": replace(plain_rule(THRESHOLDS, "multilabel"), exclusive=GROUPS),
    "stacked": replace(plain_rule(THRESHOLDS, "multilabel"), stack=STACK, exclusive=GROUPS[:1]),
    "odds": plain_rule(THRESHOLDS, "argmax"),
    "margin": replace(plain_rule(THRESHOLDS, "argmax"), coupling="margin", abstain_below=0.5),
    "matrix": replace(
        plain_rule(THRESHOLDS, "argmax"),
        coupling="matrix",
        matrix=Affine(tuple(map(tuple, DRAW.normal(0, 1, (5, 4)).tolist())), (0.1, 0.2, 0.3, 0.4, 0.5)),
        abstain_below=0.6,
        stack=STACK,
    ),
}


@pytest.fixture(scope="module")
def calibrations(small_head):
    return [
        small_head(name, prior=prior, slope=slope, threshold=threshold).calibration
        for name, prior, slope, threshold in zip(
            NAMES, (0.1, 0.3, 0.05, 0.2), (0.5, 1.5, 1.0, 0.75), THRESHOLDS, strict=True
        )
    ]


@pytest.mark.parametrize("kind", RULES)
def test_torch_does_what_numpy_does(kind, calibrations):
    rule = RULES[kind]
    none_prior = 0.6 if rule.coupling else None
    wanted = decide(calibrations, NAMES, rule, none_prior, LOGITS)
    with torch.inference_mode():
        found = [
            each.numpy() for each in Decision(calibrations, NAMES, rule, none_prior)(torch.from_numpy(LOGITS))
        ]
    clear = wanted.slack > 1e-5
    assert clear.mean() > 0.9
    np.testing.assert_allclose(found[0], expit(wanted.log_odds), atol=1e-6)
    np.testing.assert_array_equal(found[1][clear], wanted.decisions[clear])
    if rule.coupling:
        np.testing.assert_allclose(found[2], wanted.scores, atol=1e-5)
        np.testing.assert_allclose(found[3], wanted.posterior, atol=1e-6)
        np.testing.assert_allclose(found[3].sum(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(found[4][clear], wanted.choice[clear])


def test_without_cross_weights_everything_is_the_heads_own_bit_for_bit(calibrations):
    own = Decision(calibrations, NAMES, RULES["plain"], None)
    identity = Affine(tuple(map(tuple, np.eye(4).tolist())), (0.0,) * 4)
    stacked = Decision(calibrations, NAMES, replace(RULES["plain"], stack=Stack((), identity)), None)
    zero = replace(RULES["stacked"], exclusive=())
    mixed = Decision(calibrations, NAMES, zero, None)
    given_logits = torch.from_numpy(LOGITS)
    for one, other, third in zip(own(given_logits), stacked(given_logits), mixed(given_logits), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one[:, [0, 2]], third[:, [0, 2]])  # the heads that are not stacked
        assert not torch.equal(one[:, [1, 3]], third[:, [1, 3]])


def greedy(fired, margins, pairs):
    """The surest first; each silences those that it excludes."""
    kept = np.zeros_like(fired)
    for row in range(len(fired)):
        for head in sorted(range(fired.shape[1]), key=lambda k: (-margins[row, k], k)):
            rivals = [one if two == head else two for one, two in pairs if head in (one, two)]
            kept[row, head] = fired[row, head] and not kept[row, rivals].any()
    return kept


@settings(max_examples=60)
@given(st.data())
def test_of_exclusive_labels_the_surest_stays(data):
    groups = data.draw(
        st.lists(st.lists(st.sampled_from(NAMES), min_size=2, max_size=4, unique=True), max_size=4)
    )
    pairs = conflicts(NAMES, groups)
    margins = np.array(
        data.draw(st.lists(st.lists(st.integers(-2, 2), min_size=4, max_size=4), min_size=1, max_size=6))
    )
    fired = margins >= 0
    kept = keep_surest(fired, margins.astype(float), pairs)
    np.testing.assert_array_equal(kept, greedy(fired, margins, pairs))
    for group in groups:
        assert (kept[:, [NAMES.index(name) for name in group]].sum(axis=1) <= 1).all()
    assert (kept <= fired).all()


def test_chains_are_settled():
    assert longest_chain([]) == 0
    assert longest_chain([(0, 1), (2, 3)]) == 1
    assert longest_chain([(0, 1), (2, 3), (1, 2)]) == 3


@pytest.mark.parametrize("names", list(permutations(range(3))))
def test_margin_chooses_one_of_the_firing_labels(names, calibrations):
    order = list(names)
    rule = replace(RULES["margin"], thresholds=tuple(THRESHOLDS[k] for k in order), abstain_below=None)
    heads = [calibrations[k] for k in order]
    edge = np.concatenate([LOGITS[:, order], np.float32([[rule.thresholds[0], -9, -9], [-9, -9, -9]])])
    found = decide(heads, [NAMES[k] for k in order], rule, 0.6, edge)
    for choice, fired in zip(found.choice, found.decisions, strict=True):
        assert fired[choice] if choice < 3 else not fired.any()


def test_a_choice_is_withheld_where_the_posterior_is_low(calibrations):
    always = decide(calibrations, NAMES, RULES["odds"], 0.6, LOGITS)
    withheld = decide(calibrations, NAMES, replace(RULES["odds"], abstain_below=0.7), 0.6, LOGITS)
    sure = always.posterior.max(axis=1) >= 0.7
    assert 0.1 < sure.mean() < 0.9
    np.testing.assert_array_equal(withheld.choice, np.where(sure, always.choice, 5))


def test_one_head_is_the_binary_rule(calibrations):
    rule = plain_rule(THRESHOLDS[:1], "argmax")
    found = decide(calibrations[:1], NAMES[:1], rule, 1 - calibrations[0].prior, LOGITS[:, :1])
    np.testing.assert_array_equal(found.choice == 0, calibrations[0].probability(LOGITS[:, 0]) >= 0.5)


def test_a_head_without_a_view_changes_no_ranking(calibrations, small_head):
    constant = small_head("e", prior=0.1, slope=1.0, intercept=float(logit(0.1))).calibration
    before = decide(calibrations, NAMES, RULES["odds"], 0.6, LOGITS).scores
    more = np.column_stack([LOGITS, np.zeros(len(LOGITS), np.float32)])
    after = decide(
        [*calibrations, constant], (*NAMES, "e"), plain_rule((*THRESHOLDS, 0.0), "argmax"), 0.6, more
    ).scores
    np.testing.assert_array_equal(after[:, :4], before[:, :4])


def test_a_coupling_needs_the_share_of_none(calibrations):
    with pytest.raises(DataError, match="none of the labels"):
        Decision(calibrations, NAMES, RULES["odds"], None)


@pytest.mark.parametrize(
    ("change", "mode", "told"),
    [
        ({"thresholds": (0.0,)}, "multilabel", "one threshold per head"),
        ({"coupling": "odds"}, "multilabel", "only argmax"),
        ({"coupling": None}, "argmax", "only argmax"),
        ({"coupling": "matrix"}, "argmax", "disagree"),
        ({"coupling": "matrix", "matrix": Affine(((1.0,),), (0.0,))}, "argmax", "damaged"),
        ({"stack": Stack(("a",), Affine(((1.0,),), (0.0,)))}, "multilabel", "damaged"),
        ({"exclusive": (("a", "x"),)}, "multilabel", "does not have"),
        ({"exclusive": (("a", "b"),)}, "argmax", "exclusive"),
        ({"abstain_below": 0.5}, "multilabel", "abstain"),
        ({"abstain_below": 1.5}, "argmax", "abstain"),
    ],
)
def test_contradictions_are_found(change, mode, told):
    rule = replace(plain_rule(THRESHOLDS, mode), **change)
    assert any(wrong and told in text for wrong, text in rule.contradictions(NAMES, mode))
    assert not any(wrong for wrong, _ in plain_rule(THRESHOLDS, mode).contradictions(NAMES, mode))


def test_a_rule_is_a_value():
    assert Rule((0.0,)) == Rule((0.0,))
