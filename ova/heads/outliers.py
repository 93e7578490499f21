"""Outlying logits: a regression must not turn on one score that is thousands away from all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_REACH = 8.0


def within_reach(
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
            lows.append(low - _REACH * (high - low))
            highs.append(high + _REACH * (high - low))
    return np.clip(scores, min(lows), max(highs))
