"""What keeps every fit quick and sound: like scores in blocks, outlying ones drawn in.

Shape letters: g distinct scores, or scores of single rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ova.arrays import FloatArray

# From so many scores on, a first fit on blocks is cheaper than the steps that it saves.
MANY = 5000
_MOST_BLOCKS = 1000
_QUARTILE_RANGES = 8.0


def in_blocks(
    scores: FloatArray, rows: FloatArray, positives: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Join neighbouring scores to blocks of about equally many, each at its mean score.

    Args:
        scores: (g,) scores in any order, g >= 1.
        rows: (g,) rows at each score, above 0.
        positives: (g,) positive rows at each score.

    Returns:
        Scores, rows and positives of at most 1,000 blocks.
    """
    order = np.argsort(scores)
    starts = np.unique(np.linspace(0, len(scores), _MOST_BLOCKS, endpoint=False).astype(np.intp))
    total = np.add.reduceat(rows[order], starts)
    mean = np.add.reduceat((scores * rows)[order], starts) / total
    return mean, total, np.add.reduceat(positives[order], starts)


def balanced_starts(rows: FloatArray, positives: FloatArray, blocks: int) -> NDArray[np.intp]:
    """Cut a row of neighbouring scores into blocks that hold like shares of the positives and negatives.

    Where positives are rare, blocks of equally many rows would hold most positives in a few of them.

    Args:
        rows: (g,) rows at each score, in the order of the scores.
        positives: (g,) positive rows at each score, some of both kinds in all.
        blocks: How many at most.

    Returns:
        Positions at which blocks start, the first 0.
    """
    negatives = rows - positives
    mass = np.cumsum(positives / positives.sum() + negatives / negatives.sum()) / 2.0
    cuts = np.searchsorted(mass, np.arange(1, blocks) / blocks, side="left") + 1
    return np.unique(np.concatenate([[0], cuts[cuts < len(rows)]])).astype(np.intp)


def clip_outliers(
    scores: NDArray[np.float64], rows: NDArray[np.float64], positives: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw scores in to 8 quartile ranges beyond the quartiles of either class.

    For normal scores that is 11 standard deviations: nothing happens. Of Cauchy scores it is about 3 %.

    Args:
        scores: (g,) finite scores.
        rows: (g,) rows at each score.
        positives: (g,) positive rows at each score.

    Returns:
        (g,) scores in the same order.
    """
    lows, highs = [], []
    for counts in (positives, rows - positives):
        side = np.repeat(scores, counts.astype(np.intp))
        if side.size:
            low, high = np.percentile(side, [25.0, 75.0])
            lows.append(low - _QUARTILE_RANGES * (high - low))
            highs.append(high + _QUARTILE_RANGES * (high - low))
    return np.clip(scores, min(lows), max(highs))
