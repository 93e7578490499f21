from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import gumbel_l, gumbel_r, norm

from ova.errors import ArtefactError, DataError, RecipeError
from ova.heads.calibration.calibrate_scores import calibrate_scores, check_disjoint
from ova.heads.calibration.calibration import METHODS, Calibration
from ova.heads.calibration.calibrators.curve import Curve
from ova.heads.calibration.calibrators.platt import fit_platt
from ova.heads.calibration.ranking import Ranking
from ova.heads.calibration.threshold.choose_threshold import plugin
from ova.heads.calibration.threshold.smoothed import smoothed_threshold
from ova.heads.calibration.threshold.sweep import bagged, sweep
from ova.heads.threshold_objectives import FBeta
from ova.metrics import Counts


def table(seed=0, positives=24, negatives=376):
    draw = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives])
    return draw.normal(5.0 * labels - 2.5, 2.0), labels


class Mixture:
    """Normal mixture of (weight, mean, deviation)."""

    def __init__(self, *parts):
        self.weights, self.means, self.deviations = np.array(parts).T

    def rvs(self, size, random_state):
        part = random_state.choice(self.weights.size, size, p=self.weights)
        return random_state.normal(self.means[part], self.deviations[part])

    def sf(self, threshold):
        return self.weights @ norm.sf(threshold, self.means, self.deviations)


FAMILIES = {
    "binormal": (norm(4.6875, 3.75), norm(-4.6875, 3.75)),
    "hard rows": (Mixture((0.85, 4, 1.5), (0.15, -1, 1.5)), Mixture((0.97, -4, 1.5), (0.03, 2, 1.5))),
    "skewed": (gumbel_l(3, 1.2), gumbel_r(-4, 1.3)),
}


def population_f1(family, threshold, prior=0.06):
    found, false = (part.sf(threshold) for part in family)
    return 2 * prior * found / (prior * found + (1 - prior) * false + prior)


def test_auto_loses_less_f1_than_argmax():
    regret = {"auto": [], "argmax": []}
    labels = np.repeat([1, 0], [24, 376])
    for number, family in enumerate(FAMILIES.values()):
        best = max(population_f1(family, threshold) for threshold in np.linspace(-8, 8, 801))
        for repeat in range(60):
            draw = np.random.default_rng([number, repeat])
            scores = np.concatenate(
                [part.rvs(size, random_state=draw) for part, size in zip(family, (24, 376), strict=True)]
            )
            for method, losses in regret.items():
                threshold = calibrate_scores(scores, labels, pos_weight=376 / 24, method=method).threshold
                losses.append(best - population_f1(family, threshold))
    assert np.mean(regret["auto"]) < 0.75 * np.mean(regret["argmax"])
    assert np.mean(regret["auto"]) <= 0.0075
    assert min(regret["argmax"]) > -1e-4


def test_methods_are_the_rules_they_name():
    scores, labels = table()
    rows = scores.astype(np.float32)
    platt = fit_platt(rows, labels, shift=np.log(3.0))
    threshold = {
        method: calibrate_scores(scores, labels, pos_weight=3.0, method=method).threshold
        for method in METHODS
    }
    assert threshold["argmax"] == sweep(scores, labels).threshold
    assert threshold["bagged"] == bagged(scores, labels)
    assert threshold["plugin"] == plugin(rows, platt)
    assert threshold["auto"] == smoothed_threshold(Ranking.of(rows, labels), FBeta()).threshold
    assert len(set(threshold.values())) == len(METHODS)


def test_what_a_calibration_says_of_itself():
    scores, labels = table()
    found = calibrate_scores(scores, labels, pos_weight=4.0)
    assert (found.positives, found.negatives, found.prior) == (24, 376, 0.06)
    assert (found.objective, found.method, found.pos_weight) == ("f1", "auto", 4.0)
    assert (found.note, found.weights_digest) == (None, None)
    assert float(np.float32(found.threshold)) == found.threshold
    assert found.f1 == Counts.of(labels, found.decide(scores)).f1
    with pytest.raises(FrozenInstanceError):
        found.threshold = 0.0


def test_a_focal_loss_is_calibrated_by_the_data_more_than_by_the_weight():
    scores, labels = table()
    narrow, wide = (
        calibrate_scores(scores, labels, pos_weight=50.0, proper_loss=proper) for proper in (True, False)
    )
    platt = fit_platt(scores, labels, shift=np.log(50.0), proper=False)
    assert (wide.slope, wide.intercept) == pytest.approx((platt.slope, platt.intercept), rel=1e-6)
    assert wide.intercept > narrow.intercept  # the weight of these scores was 1


@pytest.mark.parametrize("method", METHODS)
def test_order_of_rows_does_not_matter(method):
    scores, labels = table(2)
    scores = np.round(scores, 1)
    order = np.random.default_rng(0).permutation(labels.size)
    first = calibrate_scores(scores, labels, method=method)
    again = calibrate_scores(scores[order], labels[order], method=method)
    assert again.threshold == pytest.approx(first.threshold, rel=1e-6)
    assert again.slope == pytest.approx(first.slope, rel=1e-9)
    assert again.intercept == pytest.approx(first.intercept, rel=1e-9)
    assert calibrate_scores(scores, labels, method=method) == first


def test_unknown_rows_are_left_out():
    scores, labels = table(3)
    more = np.concatenate([scores, [9.0, -9.0, 0.0]])
    assert calibrate_scores(more, np.append(labels, [-1, -1, -1])) == calibrate_scores(scores, labels)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_counts_hold_for_the_exported_comparison(dtype, method):
    scores, labels = table(4)
    scores = scores.astype(dtype)
    found = calibrate_scores(scores, labels.astype(bool), method=method)
    deployed = scores.astype(np.float32) >= np.float32(found.threshold)
    assert found.decide(scores).tolist() == deployed.tolist()
    assert found.f1 == Counts.of(labels, deployed).f1
    assert found == calibrate_scores(scores.tolist(), labels.tolist(), method=method)


def test_decisions_include_the_threshold_and_are_taken_in_float32():
    found = calibrate_scores(*table(4))
    at = np.float32(found.threshold)
    below = np.nextafter(at, np.float32(-np.inf))
    assert found.decide([at, below]).tolist() == [True, False]
    rounds_up = float(at) - 0.25 * (float(at) - float(below))
    assert found.decide(np.array([[rounds_up]])).tolist() == [[True]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        (np.linspace(-3, 3, 40), np.repeat([0, 1], [36, 4]), "4 positives"),
        (np.linspace(-3, 3, 40), np.zeros(40, int), "0 positives"),
        (np.linspace(-3, 3, 40), np.ones(40, int), "no negatives"),
        (np.full(40, 1.25), np.repeat([0, 1], [30, 10]), "all logits are equal"),
        (np.array([2.0]), np.array([1]), "1 positives"),
    ],
)
def test_too_little_data_keeps_one_half_and_says_so(scores, labels, words, method):
    found = calibrate_scores(scores, labels, pos_weight=8.0, method=method)
    assert words in found.note
    assert (found.threshold, found.slope, found.method) == (0.0, 1.0, "default")
    assert found.intercept == pytest.approx(-np.log(8.0))
    assert found.f1 == Counts.of(labels, scores >= 0).f1


def test_five_positives_are_enough():
    scores, labels = table(5, positives=5, negatives=60)
    assert calibrate_scores(scores, labels).note is None


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([0.0, np.nan], [0, 1], "1 of 2 logits are not finite, first in row 1"),
        ([np.inf, 0.0], [0, 1], "first in row 0"),
        ([1e39, 0.0], [0, 1], "first in row 0"),
        ([0.0, 1.0], [0], "one label per logit"),
        ([[0.0, 1.0]], [[0, 1]], "one label per logit"),
        ([0.0, 1.0], [0, 2], "not 2 .row 1"),
        ([0.0, 1.0], [np.nan, 1], "not nan .row 0"),
        ([0.0, 1.0], [-1, -1], "no row has a label"),
        ([], [], "no row has a label"),
    ],
)
def test_bad_rows_are_refused_in_one_line(scores, labels, words):
    with pytest.raises(DataError, match=words) as caught:
        calibrate_scores(scores, labels)
    assert "\n" not in str(caught.value)


def test_a_backwards_head_is_refused():
    scores, labels = table(6, positives=100)
    with pytest.raises(DataError, match="ranks backwards"):
        calibrate_scores(-scores, labels)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "best"},
        {"objective": "f0"},
        {"objective": "best"},
        {"confidence": 1.0},
        {"method": "bagged", "objective": "recall >= 0.9"},
        {"pos_weight": 0.0},
        {"pos_weight": np.nan},
    ],
)
def test_unknown_arguments_are_refused(wrong):
    with pytest.raises(RecipeError, match=str(next(iter(wrong.values())))):
        calibrate_scores(*table(), **wrong)


def test_probabilities_undo_pos_weight_and_are_stable():
    draw = np.random.default_rng(7)
    truth = draw.normal(-3.0, 2.0, 20_000)
    labels = (draw.random(20_000) < expit(truth)).astype(int)
    found = calibrate_scores(truth + np.log(12.0), labels, pos_weight=12.0, method="plugin")
    assert found.probability(truth + np.log(12.0)) == pytest.approx(expit(truth), abs=0.02)
    assert found.probability(truth).mean() != pytest.approx(labels.mean(), abs=0.02)
    assert found.probability([-1e30, 1e30]).tolist() == [0.0, 1.0]
    assert found.probability(np.zeros((2, 3), np.float16)).shape == (2, 3)
    assert found.probability(np.float32(1.0)).dtype == np.float64


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from(METHODS), st.floats(0.05, 40.0), st.none() | st.just("ab" * 32)
)
def test_json_round_trip_is_exact(seed, method, pos_weight, digest):
    scores, labels = table(seed, positives=8, negatives=50)
    found = calibrate_scores(scores, labels, pos_weight=pos_weight, method=method)
    if digest is not None:
        bound = found.bound_to(digest)
        assert (bound.weights_digest, found.weights_digest) == (digest, None)
        found = bound
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Calibration.from_json(json.loads(text)) == found


def test_json_of_the_default_reads_back():
    found = calibrate_scores([0.5, -0.5], [0, 0])
    assert found.f1 is None
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"extra": 1}, "extra is not a key"),
        ({"slope": None}, "slope must be float"),
        ({"slope": -1.0}, "slope must be above 0"),
        ({"slope": float("nan")}, "slope must be float"),
        ({"intercept": float("inf")}, "intercept must be float"),
        ({"intercept": 10**400}, "intercept must be float"),
        ({"threshold": "0.5"}, "threshold must be float"),
        ({"threshold": True}, "threshold must be float"),
        ({"threshold": 0.1}, "exact in float32"),
        ({"threshold": 1e300}, "exact in float32"),
        ({"positives": 24.0}, "positives must be int"),
        ({"positives": True}, "positives must be int"),
        ({"negatives": -1}, "counts must not be negative"),
        ({"prior": 1.5}, "prior must lie"),
        ({"pos_weight": 0.0}, "pos_weight must be above 0"),
        ({"f1": 1.5}, "f1 must lie"),
        ({"f1": "high"}, r"f1 must be float \| None"),
        ({"objective": "gmean"}, "objective is unknown"),
        ({"method": "guess"}, "method is unknown"),
        ({"note": 3}, r"note must be str \| None"),
        ({"weights_digest": 3}, "weights_digest must be str"),
    ],
)
def test_damaged_json_is_refused(change, words):
    content = calibrate_scores(*table()).to_json()
    with pytest.raises(ArtefactError, match=words):
        Calibration.from_json(content | change)


def test_incomplete_or_foreign_json_is_refused():
    content = calibrate_scores(*table()).to_json()
    for name in content.keys() - {"curve"}:  # calibrations from before there were curves are read
        with pytest.raises(ArtefactError, match=f"{name} is missing"):
            Calibration.from_json({key: value for key, value in content.items() if key != name})
    for foreign in ([], None, "threshold", 3.0):
        with pytest.raises(ArtefactError, match="not an object"):
            Calibration.from_json(foreign)


def test_a_curve_is_read_back_and_older_calibrations_have_none():
    scores, labels = table(positives=200, negatives=2000)
    curve = Curve("beta", (-2.0, 0.5, 1.0), (-3.0, -1.0, 4.0))
    found = replace(calibrate_scores(scores, labels), curve=curve)
    content = json.loads(json.dumps(found.to_json()))
    assert content["curve"] == {
        "kind": "beta",
        "knots": [-2.0, 0.5, 1.0],
        "log_odds": [-3.0, -1.0, 4.0],
    }
    again = Calibration.from_json(content)
    assert again == found
    assert again.calibrated([0.5, 2.0]).tolist() == [-1.0, 14.0]
    del content["curve"]
    assert Calibration.from_json(content).curve is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"knots": [0.0, 0.0, 1.0]}, "knots must increase"),
        ({"log_odds": [0.0, 1.0]}, "as many log_odds as knots"),
        ({"knots": [0.0, None, 1.0]}, "curve: knots must be"),
        ({"knots": 3.0}, "curve: knots must be"),
        ({"kind": "spline"}, "unknown kind"),
        ({"more": 1}, "curve: more is not a key"),
    ],
)
def test_a_damaged_curve_is_refused(change, words):
    curve = {"kind": "beta", "knots": [-2.0, 0.5, 1.0], "log_odds": [-3.0, -1.0, 4.0]}
    with pytest.raises(ArtefactError, match=words):
        Calibration.from_json(calibrate_scores(*table()).to_json() | {"curve": curve | change})


def test_a_number_that_lost_its_point_is_still_read():
    content = calibrate_scores(*table()).to_json() | {"threshold": 2}
    threshold = Calibration.from_json(content).threshold
    assert threshold == 2.0
    assert isinstance(threshold, float)


def test_rows_seen_in_training_are_refused():
    check_disjoint(["a.png", "b.png"], ["c.png"])
    with pytest.raises(DataError, match=r"^7 calibration images .*: 0\.png, 1\.png, .* and 2 more"):
        check_disjoint([f"{number}.png" for number in range(7)], [f"{number}.png" for number in range(20)])


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.1, np.nan])
def test_an_impossible_prior_is_refused(prior):
    with pytest.raises(RecipeError, match="prior lies between 0 and 1"):
        calibrate_scores(*table(), prior=prior)


def test_a_precision_at_another_prior_is_a_promise_about_other_rows():
    scores, labels = table(positives=200, negatives=800)
    here = calibrate_scores(scores, labels, objective="precision >= 0.9")
    rarer = calibrate_scores(scores, labels, objective="precision >= 0.9", prior=0.15)
    assert rarer.threshold > here.threshold
    unreachable = calibrate_scores(scores, labels, objective="precision >= 0.9", prior=0.0005)
    assert "precision >= 0.9 is unreachable" in (unreachable.note or "")
