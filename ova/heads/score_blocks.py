"""A few blocks of like scores that stand for many rows: where a fit on all rows begins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# From so many scores on, a first fit on blocks is cheaper than the steps that it saves.
MANY = 5000
_BLOCKS = 1000


def in_blocks(
    scores: FloatArray, rows: FloatArray, positives: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Join neighbouring scores to blocks of about equally many, each at its mean score.

    Args:
        scores: (n,) scores in any order, n >= 1.
        rows: (n,) rows at each score, above 0.
        positives: (n,) positive rows at each score.

    Returns:
        Scores, rows and positives of at most 1,000 blocks.
    """
    order = np.argsort(scores)
    starts = np.unique(np.linspace(0, len(scores), _BLOCKS, endpoint=False).astype(np.intp))
    total = np.add.reduceat(rows[order], starts)
    mean = np.add.reduceat((scores * rows)[order], starts) / total
    return mean, total, np.add.reduceat(positives[order], starts)
