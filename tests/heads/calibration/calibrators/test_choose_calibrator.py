import numpy as np
import pytest
from scipy.special import expit

from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibrators.choose_calibrator import choose_curve
from ova.heads.calibration.prior_shift import most_likely_prior
from ova.heads.calibration.ranking import Ranking


def logistic(seed, rows=2000, slope=1.3, intercept=-3.5):
    draw = np.random.default_rng(seed)
    scores = draw.normal(0.0, 2.0, rows)
    return scores, (draw.random(rows) < expit(slope * scores + intercept)).astype(np.int8)


def heavy_tails(seed, positives=1000, negatives=9000):
    draw = np.random.default_rng(seed)
    labels = np.repeat([1, 0], [positives, negatives]).astype(np.int8)
    return np.where(labels, 3.0, -3.0) + 1.2 * draw.standard_t(2, labels.size), labels


def steps(seed, rows=8000):
    draw = np.random.default_rng(seed)
    scores = draw.uniform(-6.0, 6.0, rows)
    share = np.select([scores < -3, scores < 0, scores < 3], [0.01, 0.3, 0.35], 0.95)
    return scores, (draw.random(rows) < share).astype(np.int8)


@pytest.mark.slow
def test_logistic_rows_keep_the_line():
    kept = [choose_curve(Ranking.of(*logistic(seed))) is None for seed in range(40)]
    assert np.mean(kept) >= 0.9
    kept = [choose_curve(Ranking.of(*logistic(seed, 10_000))) is None for seed in range(20)]
    assert np.mean(kept) >= 0.9


@pytest.mark.parametrize(("table", "kinds"), [(heavy_tails, {"beta", "isotonic"}), (steps, {"isotonic"})])
def test_far_from_logistic_a_curve_is_chosen_and_closer_to_the_truth(table, kinds):
    for seed in range(3):
        scores, labels = table(seed)
        found = calibrate_scores(scores, labels)
        assert found.curve is not None
        assert found.curve.kind in kinds
        new, truth = table(100 + seed)
        line = found.slope * new + found.intercept
        curved = found.calibrated(new)
        loss = [np.mean(np.logaddexp(0.0, z) - truth * z) for z in (line, curved)]
        assert loss[1] < loss[0] - 0.01
        assert found.probability(new).mean() == pytest.approx(truth.mean(), abs=0.02)


def test_few_of_either_class_keep_the_line():
    scores, labels = heavy_tails(1, 99, 5000)
    assert choose_curve(Ranking.of(scores, labels)) is None
    assert choose_curve(Ranking.of(-scores, 1 - labels)) is None
    scores, labels = heavy_tails(1, 100, 5000)
    assert choose_curve(Ranking.of(scores, labels)).kind == "beta"
    scores, labels = steps(1, 2000)
    assert labels.sum() < 1000
    found = choose_curve(Ranking.of(scores, labels))
    assert found is None or found.kind == "beta"


@pytest.mark.parametrize("table", [heavy_tails, steps])
def test_the_order_of_the_rows_has_no_consequence(table):
    scores, labels = table(4)
    scores = np.round(scores, 2)  # with ties
    order = np.random.default_rng(0).permutation(len(scores))
    first, again = (
        choose_curve(Ranking.of(scores, labels)),
        choose_curve(Ranking.of(scores[order], labels[order])),
    )
    assert first is not None
    assert first == again


def test_the_map_of_scores_on_another_scale_is_the_same():
    scores, labels = steps(5)
    one = calibrate_scores(scores, labels)
    other = calibrate_scores(0.25 * scores - 8.0, labels)
    at = np.linspace(-5.9, 5.9, 200)
    assert one.curve is not None
    assert other.probability(0.25 * at - 8.0) == pytest.approx(one.probability(at), abs=1e-4)


def test_probabilities_rise_with_the_logit_and_are_finite_beyond_the_rows():
    for table in (heavy_tails, steps):
        found = calibrate_scores(*table(6))
        probabilities = found.calibrated(np.linspace(-1e4, 1e4, 100_001))
        assert np.isfinite(probabilities).all()
        assert (np.diff(probabilities) > 0).all()


def test_another_prior_moves_the_curve():
    scores, labels = heavy_tails(7)
    here, rarer = calibrate_scores(scores, labels), calibrate_scores(scores, labels, prior=0.02)
    assert here.curve is not None
    assert rarer.curve is not None
    moved = rarer.calibrated(scores) - here.calibrated(scores)
    assert moved == pytest.approx(np.full(len(scores), rarer.intercept - here.intercept), abs=1e-9)


def test_the_threshold_is_none_of_its_business(monkeypatch):
    scores, labels = heavy_tails(8)
    for objective in ("f1", "recall >= 0.9", "cost 10:1"):
        bent = calibrate_scores(scores, labels, objective=objective)
        with monkeypatch.context() as patch:
            patch.setattr("ova.heads.calibration.calibrate_scores.choose_curve", lambda _: None)
            plain = calibrate_scores(scores, labels, objective=objective)
        assert bent.curve is not None
        assert plain.curve is None
        assert bent.threshold == plain.threshold
        assert (bent.slope, bent.intercept) == (plain.slope, plain.intercept)


def test_the_prior_of_its_own_rows_comes_back():
    scores, labels = heavy_tails(9)
    found = calibrate_scores(scores, labels)
    assert found.curve is not None
    mean = float(found.probability(scores).mean())
    assert most_likely_prior(found.calibrated(scores), mean)[0] == pytest.approx(mean, abs=1e-9)
    assert mean == pytest.approx(found.prior, rel=0.03)
