"""Logits and labels -> the map that turns a head's logit into a probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ova.heads.firth import fit_firth
from ova.heads.outliers import within_reach
from ova.heads.platt import Platt, fit_platt

_CONFLICT = 4.6


def fit_probabilities(
    scores: NDArray[np.float32], truth: NDArray[np.int8], shift: float, proper: bool
) -> Platt:
    """Fit MAP-Platt; where the labels contradict its priors, Firth's regression, which has none.

    Logits of a scale that no network has (probabilities, say) lie many deviations from the priors. A gain of
    `_CONFLICT` nats by two parameters is a likelihood-ratio test at about 1 %.

    Args:
        scores: (n,) finite logits.
        truth: (n,) 0 or 1.
        shift: How far training moved the logits up.
        proper: Whether the loss has its minimum at the true probability.

    Raises:
        DataError: The head ranks backwards.
    """
    single, positives = np.ones(scores.size), truth.astype(np.float64)
    drawn = within_reach(scores.astype(np.float64), single, positives)
    platt = fit_platt(drawn, truth, shift=shift, proper=proper)
    free = fit_firth(drawn, single, positives)
    if free is not None and _log_loss(platt, drawn, truth) - _log_loss(free, drawn, truth) > _CONFLICT:
        return free
    return platt


def _log_loss(platt: Platt, scores: NDArray[np.float64], truth: NDArray[np.int8]) -> float:
    """Return the summed cross-entropy in nats."""
    z = platt.log_odds(scores)
    return float(np.sum(np.logaddexp(0.0, z) - truth * z))
