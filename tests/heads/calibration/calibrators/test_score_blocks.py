"""Blocks keep every row and positive, and fits that begin on them end where others end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.heads.calibration.calibrators import firth, platt
from ova.heads.calibration.calibrators.blocks import in_blocks
from ova.heads.calibration.calibrators.firth import fit_firth
from ova.heads.calibration.calibrators.platt import fit_platt


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
def test_blocks_keep_rows_positives_and_the_mean_score(count, seed):
    draw = np.random.default_rng(seed)
    scores, rows = draw.normal(size=count), draw.integers(1, 4, count).astype(float)
    positives = draw.binomial(rows.astype(int), 0.2).astype(float)
    means, total, found = in_blocks(scores, rows, positives)
    assert len(means) <= 1000
    assert total.sum() == rows.sum()
    assert found.sum() == positives.sum()
    np.testing.assert_allclose(means @ total, scores @ rows, atol=1e-9)
    assert (np.diff(means) >= 0).all()


def test_few_scores_are_their_own_blocks():
    scores = np.array([2.0, -1.0, 0.5])
    means, rows, positives = in_blocks(scores, np.ones(3), np.array([1.0, 0.0, 0.0]))
    assert means.tolist() == [-1.0, 0.5, 2.0]
    assert rows.tolist() == [1, 1, 1]
    assert positives.tolist() == [0, 0, 1]


@pytest.mark.parametrize("positives", [24, 3000])
def test_fits_end_where_they_end_without_blocks(positives, monkeypatch):
    labels = np.repeat([1.0, 0.0], [positives, 20_000 - positives])
    scores = np.random.default_rng(0).normal(4 * labels - 2, 1.6)
    ones = np.ones(len(scores))
    blocks = [fit_platt(scores, labels, shift=1.0), fit_firth(scores, ones, labels)]
    for module in (platt, firth):
        monkeypatch.setattr(module, "MANY", 10**9)
    whole = [fit_platt(scores, labels, shift=1.0), fit_firth(scores, ones, labels)]
    for one, other in zip(blocks, whole, strict=True):
        assert one is not None
        assert other is not None
        assert one.slope == pytest.approx(other.slope, rel=1e-6)
        assert one.intercept == pytest.approx(other.intercept, rel=1e-6)
