"""Thresholds with a promise: a share that holds in production with a stated confidence, or the best there is.

The promises are distribution-free: they hold for rows that are drawn like the calibration rows, whatever the
head does. Few positives promise little, and then the answer says so and how many it would take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, binom

from ova.heads.calibration.ranking import Ranking
from ova.heads.threshold_objectives import Budget, Floor

_STARTS = 5


@dataclass(frozen=True)
class GuaranteedThreshold:
    """A threshold, and why it does not promise what was asked for."""

    threshold: float
    """A logit that float32 holds."""
    note: str | None = None
    """What is unreachable, what is the best, and what it would take; None if the promise holds."""


def guaranteed_threshold(
    ranking: Ranking, objective: Floor | Budget, confidence: float
) -> GuaranteedThreshold:
    """Choose the threshold that keeps a promise at the least price.

    Args:
        ranking: The calibration rows, with at least one positive and one negative.
        objective: The promise.
        confidence: Probability, over the draw of the calibration rows, that it holds; above 0, below 1.
    """
    risk = 1.0 - confidence
    if isinstance(objective, Budget):
        return _alarms(ranking, objective.most, risk)
    if objective.of == "recall":
        return _recall(ranking, objective.least, risk)
    return _precision(ranking, objective, risk)


def _recall(ranking: Ranking, least: float, risk: float) -> GuaranteedThreshold:
    """Flag from the k-th lowest positive on.

    Its recall is below `least` only if at most k - 1 of the P positives fall among the worst 1 - least, whose
    probability is that of a binomial: the largest k with P(Bin(P, 1 - least) <= k - 1) <= risk.
    """
    total = int(ranking.positives)
    below = binom.cdf(np.arange(total), total, 1.0 - least)  # of k = 1, 2, ...
    spare = int(np.searchsorted(below, risk, side="right"))
    wanted = total - max(spare, 1) + 1
    cut = int(np.searchsorted(ranking.tp, wanted))
    threshold = float(ranking.thresholds()[cut + 1])
    if spare:
        return GuaranteedThreshold(threshold)
    needed = math.ceil(math.log(risk) / math.log(least))
    return GuaranteedThreshold(
        threshold,
        f"recall >= {least:g} is unreachable at {1 - risk:.0%}: {total} positives promise at most "
        f"{risk ** (1 / total):.3f}, {needed} are needed; every positive of these rows is flagged",
    )


def _precision(ranking: Ranking, floor: Floor, risk: float) -> GuaranteedThreshold:
    """Walk down from the top while the precision is proven (Learn then Test, Angelopoulos et al. 2021).

    Cuts are tested in an order that does not depend on the labels, from several starts that share the risk,
    each until its first failure: P(Bin(flagged, least) >= TP) <= risk / starts. The lowest proven cut wins.
    The odds that an alarm is right change with the prior by a known factor, so that a floor for another prior
    is one for these rows.
    """
    least = _at_odds(floor.least, 1.0 / floor.odds)
    flagged, tp = ranking.flagged, ranking.tp
    level = risk / _STARTS
    fewest = math.ceil(math.log(level) / math.log(least))
    starts = np.unique(np.searchsorted(flagged, fewest * 2 ** np.arange(_STARTS)))
    starts = starts[starts < len(flagged)]
    proven = binom.sf(tp - 1, flagged, least) <= level
    ends = [start + int(np.argmin(np.append(proven[start:], False))) - 1 for start in starts.tolist()]
    walked = [end for start, end in zip(starts.tolist(), ends, strict=True) if end >= start]
    thresholds = ranking.thresholds()
    if walked:
        return GuaranteedThreshold(float(thresholds[max(walked) + 1]))
    bounds = np.nan_to_num(beta.ppf(level, tp, ranking.fp + 1.0))
    tested = starts if len(starts) else np.array([len(flagged) - 1])
    best = int(tested[np.argmax(bounds[tested])])
    return GuaranteedThreshold(
        float(thresholds[best + 1]),
        f"precision >= {floor.least:g} is unreachable at {1 - risk:.0%}: the best that these rows promise is "
        f"{_at_odds(float(bounds[best]), floor.odds):.3f}; it takes {fewest} right alarms without a "
        "false one, or more with some",
    )


def _at_odds(share: float, odds: float) -> float:
    return share if odds == 1.0 else share * odds / (share * odds + 1.0 - share)


def _alarms(ranking: Ranking, most: float, risk: float) -> GuaranteedThreshold:
    """Flag the m highest of n rows, m the largest number with P(Bin(n, most) <= m) <= risk."""
    total = int(ranking.flagged[-1])
    allowed = int(np.searchsorted(binom.cdf(np.arange(total + 1), total, most), risk, side="right")) - 1
    cut = int(np.searchsorted(ranking.flagged, allowed, side="right"))  # scores that are flagged
    threshold = float(ranking.thresholds()[cut])
    if allowed >= 0:
        return GuaranteedThreshold(threshold)
    needed = math.ceil(math.log(risk) / math.log1p(-most))
    return GuaranteedThreshold(
        threshold,
        f"alarms <= {most:g} is unreachable at {1 - risk:.0%}: {total} rows are too few, {needed} are "
        "needed; none of these rows is flagged",
    )
