"""One class per image from heads that were trained apart: odds coupling with an explicit none class.

If the heads' scores are conditionally independent given the class, and the images of class j are typical
negatives of head k, then P(k | scores) is proportional to prior_k * LR_k with the likelihood ratio
LR_k = odds_k / (prior_k / (1 - prior_k)). In logs, with none as the reference:

    score_k    = logit p_k + log(1 - prior_k)
    score_none = log(prior_none)

and a softmax of the scores gives class probabilities that sum to one, none included. With one head and
prior_none = 1 - prior this is the binary rule p >= 1/2.

Ties: the head that comes first in the ensemble's order wins, and none wins only when its score is strictly
greater than every head's, because it comes last and the first maximum is taken.

These numpy functions are the reference of the rule inside a combined model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ova.errors import DataError

TIE_RULE = "the first head in order wins; none wins only when its score is strictly greater"


def couple(logits: ArrayLike, priors: Sequence[float], none_prior: float) -> NDArray[np.float64]:
    """Turn calibrated logits into scores of K classes and none.

    Args:
        logits: (n, K) calibrated logits, logit p_k = slope_k * logit_k + intercept_k.
        priors: (K,) share of positives of each head in its calibration rows, in [0, 1).
        none_prior: Share of images with none of the labels, in (0, 1]; see `none_prior_of`.

    Returns:
        (n, K + 1) scores, none last.

    Raises:
        DataError: A prior is outside its range.
    """
    offsets, none = coupling_constants(priors, none_prior)
    scores = np.asarray(logits, np.float64) + offsets
    return np.column_stack([scores, np.full(len(scores), none)])


def coupling_constants(priors: Sequence[float], none_prior: float) -> tuple[NDArray[np.float64], float]:
    """Return log(1 - prior_k), (K,), and log(prior_none).

    Raises:
        DataError: A prior is outside its range: a head saw no negatives, or every image has a label.
    """
    if not all(0 <= prior < 1 for prior in priors):
        raise DataError(
            f"argmax mode needs priors in [0, 1), got {list(priors)}; a head without negatives is left out"
        )
    if not 0 < none_prior <= 1:
        raise DataError(f"argmax mode needs a none prior in (0, 1], got {none_prior}")
    return np.log1p(-np.asarray(priors, np.float64)), math.log(none_prior)


def choose(scores: ArrayLike) -> NDArray[np.int64]:
    """Return the index of the winning class of each row, (n,); K means none. Ties: see the module."""
    return np.argmax(np.asarray(scores), axis=1).astype(np.int64)


def class_probabilities(scores: ArrayLike) -> NDArray[np.float64]:
    """Softmax of scores (n, K + 1); rows sum to one."""
    values = np.asarray(scores, np.float64)
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def none_prior_of(values: NDArray[np.int8]) -> float:
    """Estimate the share of images that have none of the labels, always inside (0, 1).

    Args:
        values: (n, K) labels of the calibration rows: 1, 0, or negative for unknown. A row without a 1
            whose labels are not all known says nothing and is left out.

    Returns:
        (count + 1/2) / (n + 1) over the rows that say something: never 0, so that its log is finite.
    """
    some = (values == 1).any(axis=1)
    none = (values == 0).all(axis=1)
    return (int(none.sum()) + 0.5) / (int(none.sum()) + int(some.sum()) + 1)
