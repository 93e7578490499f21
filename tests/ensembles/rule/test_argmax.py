from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, softmax

from ova.ensembles.rule.argmax import choose, class_probabilities, couple, none_prior_of
from ova.errors import DataError

_priors = st.floats(0.01, 0.99)
_logits = st.floats(-30, 30)


@settings(max_examples=200, deadline=None)
@given(_logits, _priors)
def test_one_head_is_the_binary_rule(calibrated: float, prior: float) -> None:
    scores = couple([[calibrated]], [prior], 1 - prior)
    if abs(calibrated) > 1e-9:  # at p = 1/2 the last bit of two logs decides
        assert (choose(scores)[0] == 0) == (expit(calibrated) > 0.5)
    np.testing.assert_allclose(class_probabilities(scores)[0, 0], expit(calibrated), atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 6))
def test_heads_may_be_permuted(data: st.DataObject, heads: int) -> None:
    logits = np.array([data.draw(st.lists(_logits, min_size=heads, max_size=heads)) for _ in range(4)])
    priors = np.array(data.draw(st.lists(_priors, min_size=heads, max_size=heads)))
    order = np.array(data.draw(st.permutations(range(heads))))
    straight = class_probabilities(couple(logits, priors.tolist(), 0.4))
    permuted = class_probabilities(couple(logits[:, order], priors[order].tolist(), 0.4))
    np.testing.assert_allclose(permuted, straight[:, [*order, heads]], rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(straight.sum(axis=1), 1.0, rtol=1e-12)


def test_probabilities_are_the_posterior_of_independent_heads() -> None:
    random = np.random.default_rng(3)
    ratios = np.exp(random.normal(0, 2, (50, 3)))  # likelihood ratio of each head's score
    priors, none = np.array([0.2, 0.1, 0.05]), 0.65
    odds = ratios * priors / (1 - priors)
    # Bayes: the class k explains the scores LR_k times better than none does
    joint = np.column_stack([ratios * priors, np.full(50, none)])
    posterior = joint / joint.sum(axis=1, keepdims=True)
    scores = couple(logit(odds / (1 + odds)), priors.tolist(), none)
    np.testing.assert_allclose(class_probabilities(scores), posterior, rtol=1e-9)
    np.testing.assert_allclose(class_probabilities(scores), softmax(scores, axis=1), rtol=1e-12)


def test_a_constant_head_leaves_the_ranking_of_the_others() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (40, 3))
    alone = couple(logits, [0.2, 0.3, 0.1], 0.4)
    beside = couple(np.column_stack([logits, np.full(40, -2.0)]), [0.2, 0.3, 0.1, 0.05], 0.4)
    np.testing.assert_array_equal(np.argsort(beside[:, [0, 1, 2, 4]]), np.argsort(alone))


def test_ties_go_to_the_first_head_and_never_to_none() -> None:
    assert choose([[1.0, 1.0, 1.0]]).tolist() == [0]
    assert choose([[0.0, 1.0, 1.0]]).tolist() == [1]
    assert choose([[0.0, 0.0, 0.1]]).tolist() == [2]
    assert choose([[0.0, 0.0, 0.1]]).dtype == np.int64


def test_huge_scores_do_not_overflow() -> None:
    probabilities = class_probabilities(couple([[800.0, -800.0], [-800.0, -800.0]], [0.5, 0.5], 0.5))
    np.testing.assert_allclose(probabilities, [[1, 0, 0], [0, 0, 1]], atol=1e-300)


@pytest.mark.parametrize(
    ("priors", "none"), [([1.0], 0.5), ([-0.1], 0.5), ([0.5], 0.0), ([0.5], 1.1), ([np.nan], 0.5)]
)
def test_impossible_priors_are_refused(priors: list[float], none: float) -> None:
    with pytest.raises(DataError, match="argmax mode needs"):
        couple([[0.0]], priors, none)


def test_none_prior_counts_only_rows_that_say_something() -> None:
    values = np.array([[0, 0], [1, 0], [1, -1], [0, -1], [-1, -1], [0, 0]], np.int8)
    assert none_prior_of(values) == (2 + 0.5) / (4 + 1)
    assert none_prior_of(np.ones((9, 2), np.int8)) == 0.5 / 10
    assert none_prior_of(np.zeros((9, 2), np.int8)) == 9.5 / 10
