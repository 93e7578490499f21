"""The most likely prior of unlabelled scores, against a direct search and against its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.prior_shift import mixture_p_value, most_likely_prior, prior_deviation


def draw_scores(prior, count, seed):
    draw = np.random.default_rng(seed)
    labels = (draw.random(count) < prior).astype(np.int8)
    return draw.normal(4.0 * labels - 2.0, 1.6), labels


def test_calibration_rows_give_back_their_own_prior():
    scores, labels = draw_scores(0.1, 600, 0)
    logits = calibrate_scores(scores, labels).calibrated(scores)
    mean = float(expit(logits).mean())
    assert most_likely_prior(logits, mean)[0] == pytest.approx(mean, abs=1e-9)


@settings(max_examples=50)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=40), st.floats(0.01, 0.9))
def test_it_is_the_maximum_of_the_likelihood(logits, base):
    ratio = np.exp(np.array(logits) - logit(base))
    found, _ = most_likely_prior(logits, base)

    def loss(share):
        return -np.log(share * ratio + 1 - share).sum()

    best = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-12})
    assert loss(found) <= min(best.fun, loss(0.0), loss(1.0)) + 1e-6


def test_edges_stay_within_bounds():
    assert most_likely_prior([-9.0, -8.0], 0.1)[0] == 0.0
    assert most_likely_prior([900.0, 8.0], 0.1)[0] == 1.0
    assert most_likely_prior([900.0, -900.0], 0.1)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("prior", [0.02, 0.06, 0.3])
def test_a_known_shift_is_found_within_its_deviation(prior):
    scores, labels = draw_scores(0.06, 4_000, 1)
    head = calibrate_scores(scores, labels)
    mean = float(head.probability(scores).mean())
    errors = []
    for seed in range(20):
        unlabeled, truth = draw_scores(prior, 1_000, 100 + seed)
        found, deviation = most_likely_prior(head.calibrated(unlabeled), mean)
        errors.append((found - truth.mean()) / deviation)
    assert abs(np.mean(errors)) < 1.0
    assert np.max(np.abs(errors)) < 4.0


def test_mixtures_pass_and_other_scores_do_not():
    scores, labels = draw_scores(0.1, 800, 2)
    mixed = [mixture_p_value(scores, labels, draw_scores(0.4, 500, seed)[0], 0.4) for seed in range(20)]
    assert min(mixed) > 0.001
    assert np.mean(mixed) > 0.2
    moved = draw_scores(0.1, 500, 3)[0] + 1.5
    assert mixture_p_value(scores, labels, moved, 0.1) < 1e-6


def test_few_positives_make_the_prior_less_certain():
    unlabeled = draw_scores(0.06, 1_000, 4)[0]
    few, many = (
        prior_deviation(*draw_scores(0.06, count, 5), unlabeled, 0.0, proper=True) for count in (400, 8_000)
    )
    assert few > 2 * many > 0


def test_the_order_of_rows_does_not_matter():
    scores, labels = draw_scores(0.1, 300, 6)
    unlabeled = draw_scores(0.2, 200, 7)[0]
    order = np.random.default_rng(8).permutation(300)
    one = prior_deviation(scores, labels, unlabeled, 0.0, proper=True)
    other = prior_deviation(scores[order], labels[order], unlabeled, 0.0, proper=True)
    assert one == other
