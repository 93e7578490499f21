import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from ova.heads.calibration.calibrators.blocks import balanced_starts
from ova.heads.calibration.calibrators.isotonic import fit_isotonic


@pytest.mark.parametrize("seed", range(5))
def test_pools_are_those_of_scikit_learn(seed):
    draw = np.random.default_rng(seed)
    z = np.sort(draw.normal(0.0, 2.0, 40))
    rows = draw.integers(20, 60, 40).astype(np.float64)
    positives = draw.binomial(rows.astype(int), expit(1.5 * np.floor(z))).astype(np.float64)
    knots, values = fit_isotonic(z, rows, positives)
    starts = balanced_starts(rows, positives, 60)
    total, found = np.add.reduceat(rows, starts), np.add.reduceat(positives, starts)
    middle = np.add.reduceat(z * rows, starts) / total
    expected = IsotonicRegression().fit_transform(
        np.arange(len(starts)), (found + expit(middle)) / (total + 1), sample_weight=total + 1
    )
    drawn = middle - float((total + 1) @ middle / (total + 1).sum())
    assert expit(np.interp(middle, knots, values) - 1e-3 * drawn) == pytest.approx(expected, abs=1e-9)
    assert (np.diff(knots) > 0).all()
    assert (np.diff(values) > 0).all()


def test_it_meets_the_share_of_positives_and_finds_the_truth():
    draw = np.random.default_rng(8)
    z = np.sort(draw.uniform(-5.0, 5.0, 60_000))
    true = 0.1 + 0.5 * (z > -1) + 0.3 * (z > 2)
    positives = (draw.random(z.size) < true).astype(np.float64)
    knots, values = fit_isotonic(z, np.ones(z.size), positives)
    found = expit(np.interp(z, knots, values))
    assert found.mean() == pytest.approx(positives.mean(), abs=0.005)
    assert np.abs(found - true).mean() < 0.02


def test_pools_of_one_class_stay_finite():
    z = np.linspace(-5.0, 5.0, 2000)
    knots, values = fit_isotonic(z, np.ones(2000), (z > 0).astype(np.float64))
    assert np.isfinite([*knots, *values]).all()
    assert values[1] < logit(0.05) < logit(0.95) < values[-2]


def test_beyond_the_pools_it_stays_level():
    z = np.linspace(-5.0, 5.0, 2000)
    knots, values = fit_isotonic(z, np.ones(2000), (z > 0).astype(np.float64))
    for pair in (slice(0, 2), slice(-2, None)):
        assert 0 < np.diff(values[pair]) < 0.01 * np.diff(knots[pair])
