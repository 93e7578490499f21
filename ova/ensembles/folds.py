"""Folds of calibration rows, for log-loss on rows that a fit has not seen.

Shape letter: n rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FOLDS = 5
_SEED = 20_261_123


def deal_folds(classes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Deal rows of every class to five folds.

    Args:
        classes: (n,) of rows in the order of their names.

    Returns:
        (n,) fold of each row; every fold gets its share of every class.
    """
    draw = np.random.default_rng(_SEED)
    folds = np.empty(len(classes), np.int64)
    for value in np.unique(classes):
        rows = np.flatnonzero(classes == value)
        folds[draw.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return folds


def beyond_error(gains: NDArray[np.float64]) -> tuple[bool, float, float]:
    """Say whether a mean gain (n rows) exceeds one standard error, and return both."""
    mean = float(gains.mean())
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return mean > error, mean, error
