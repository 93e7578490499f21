"""`pos_weight` and what an epoch shows, from what a recipe says against few positives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ova.errors import DataError, RecipeError
from ova.heads.recipe import BalanceSettings

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Balance:
    """How the classes of one head are balanced, from its training rows alone."""

    pos_weight: float
    """Weight of a positive in the loss."""
    per_epoch: tuple[int, int]
    """(negatives, positives) that one epoch shows, repeats counted."""
    log_odds_shift: float
    """How far weight and sampling move a head's logits: log of pos_weight x shown odds / true odds."""
    rarer: int
    """The label that fewer training rows have; 1 if both have as many."""
    lines: tuple[str, ...]
    """What is done, in words, one line per setting; the weight of positives comes first."""

    @property
    def shown(self) -> int:
        """Images that one epoch shows."""
        return sum(self.per_epoch)


def plan_balance(labels: ArrayLike, settings: BalanceSettings) -> Balance:
    """Say what an epoch shows, what a positive weighs, and what both do to the logits.

    First `prototypes` and the cap of negatives leave rows out, then `sampler` repeats rows of the rarer
    class, then `pos_weight` "auto" weighs what is left to correct. A head that minimises cross-entropy on
    that learns the true log-odds plus `log_odds_shift` (Elkan 2001; Saerens et al. 2002).

    Args:
        labels: (n,) of the training rows: 1, 0, or -1 for unknown, which is left out.
        settings: The recipe's `[balance]`.

    Raises:
        DataError: No positive or no negative.
        RecipeError: The settings together correct more than the imbalance, and do not say that they may.
    """
    truth = np.asarray(labels)
    rows = int((truth == 0).sum()), int((truth == 1).sum())
    if not all(rows):
        raise DataError(f"{rows[1]} positives and {rows[0]} negatives cannot be balanced; a head needs both")
    shown, lines = _show(rows, settings)
    weight, reason = _weigh(rows, shown, settings)
    shift = math.log(weight * shown[1] / shown[0]) - math.log(rows[1] / rows[0])
    _refuse_over_correction(rows, shown, weight, shift, settings)
    explained = (f"pos_weight {weight:.3g} ({reason})", *lines, *_others(rows, settings))
    return Balance(weight, shown, shift, int(rows[1] <= rows[0]), explained)


def kept_negatives(negatives: int, settings: BalanceSettings) -> int:
    """Return how many negatives are trained on at all: fewer than there are with `prototypes`."""
    return negatives if settings.prototypes is None else min(settings.prototypes, negatives)


def _show(rows: tuple[int, int], settings: BalanceSettings) -> tuple[tuple[int, int], list[str]]:
    """Return (negatives, positives) of an epoch and what was done to them."""
    lines = []
    negatives, positives = kept_negatives(rows[0], settings), rows[1]
    if settings.prototypes is not None:
        lines.append(f"prototypes: {negatives} of {rows[0]} negatives are trained on, one per cluster")
    cap = _cap(positives, settings)
    if cap is not None:
        kept, all_of_them = min(cap, negatives), negatives
        then = "others in the next" if settings.rotate_negatives else "the same in every epoch"
        lines.append(f"cap of negatives: an epoch shows {kept} of {all_of_them}, {then}")
        negatives = kept
    if settings.sampler != "none":
        rare, name = (positives, "positives") if rows[1] <= rows[0] else (negatives, "negatives")
        repeated = _repeat(rare, positives + negatives - rare, settings.sampler)
        lines.append(f"sampler {settings.sampler}: an epoch shows {repeated} {name} from {rare} rows")
        negatives, positives = (negatives, repeated) if rows[1] <= rows[0] else (repeated, positives)
    return (negatives, positives), lines


def _cap(positives: int, settings: BalanceSettings) -> int | None:
    if settings.negatives_per_positive is not None:
        return max(1, round(settings.negatives_per_positive * positives))
    return settings.max_negatives


def _repeat(rare: int, others: int, sampler: float | str) -> int:
    """Return how many rows an epoch shows of the rarer class; never fewer than there are."""
    if sampler == "balanced":
        return max(rare, others)
    if sampler == "sqrt":
        return max(rare, round(math.sqrt(rare * others)))
    return round(rare * float(sampler))


def _weigh(rows: tuple[int, int], shown: tuple[int, int], settings: BalanceSettings) -> tuple[float, str]:
    """Return the weight of a positive, and why."""
    chosen = settings.pos_weight
    if isinstance(chosen, float | int):
        return float(chosen), "given"
    if chosen == "none":
        return 1.0, "none"
    if chosen == "auto" and settings.loss != "bce":
        return 1.0, f"auto: the {settings.loss} loss corrects already"
    weight = shown[0] / shown[1]
    weight = math.sqrt(weight) if chosen == "sqrt" else weight
    reason = chosen if shown == rows else f"{chosen} of what an epoch shows"
    if settings.pos_weight_cap is not None and weight > settings.pos_weight_cap:
        return settings.pos_weight_cap, f"{reason}: {weight:.3g}, capped"
    return weight, reason


def _refuse_over_correction(
    rows: tuple[int, int], shown: tuple[int, int], weight: float, shift: float, settings: BalanceSettings
) -> None:
    """Refuse two corrections that are each, or together, as strong as the imbalance or stronger."""
    if settings.allow_over_correction:
        return
    full = math.log(rows[0] / rows[1])
    strength, limit = math.copysign(1.0, full) * shift, abs(full)
    if settings.loss == "bce":
        too_much = shown != rows and strength > limit + _TOLERANCE
    else:
        too_much = strength > _TOLERANCE and strength > limit - _TOLERANCE
    if too_much:
        also = "" if settings.loss == "bce" else f", and the {settings.loss} loss corrects too"
        raise RecipeError(
            f"balance corrects twice: an epoch shows {shown[1]} positives and {shown[0]} negatives "
            f"of {rows[1]} and {rows[0]}, and pos_weight is {weight:.3g}{also}; "
            'set balance.pos_weight = "auto" or "none", or balance.allow_over_correction = true'
        )


def _others(rows: tuple[int, int], settings: BalanceSettings) -> list[str]:
    lines = []
    if settings.augment_only == "minority":
        rare = "positives" if rows[1] <= rows[0] else "negatives"
        lines.append(f"augment_only: {rare} alone are augmented")
    if settings.loss == "focal":
        lines.append(f"loss: focal, gamma {settings.focal_gamma:g}; validation shows cross-entropy")
    if settings.loss == "asymmetric":
        lines.append(
            f"loss: asymmetric, gamma {settings.asymmetric_gamma_positive:g} for positives and "
            f"{settings.asymmetric_gamma_negative:g} for negatives, clip {settings.asymmetric_clip:g}; "
            "validation shows cross-entropy"
        )
    return lines
