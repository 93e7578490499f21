"""What every part of a split should hold: its share, at least k positives per label, or N per class.

Shape letters: c clusters, f traits, k labels, s signatures, p parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ova.data.split.traits import Traits

ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Quotas:
    """What p parts should hold.

    Attributes:
        traits: (f, p) images of every trait.
        signatures: (s, p) clusters of every signature, as exact shares.
        free: (s,) signatures whose clusters are not bound to their shares.
        minimums: (k, p) positives of every label that a part should have at least.
    """

    traits: NDArray[np.float64]
    signatures: NDArray[np.float64]
    free: NDArray[np.bool_]
    minimums: NDArray[np.intp]


def by_share(traits: Traits, shares: NDArray[np.float64], minimums: NDArray[np.intp]) -> Quotas:
    """Want a share of everything, and a smallest number of positives of every label.

    Args:
        traits: Of all clusters that are to be divided.
        shares: (p,) adding up to 1.
        minimums: (k, p) positives that a part should have at least.
    """
    wanted = np.outer(traits.totals, shares)
    wanted[traits.per_label] = _raised(wanted[traits.per_label], minimums)
    scarce = np.any((minimums > 0) & (wanted[traits.per_label] < minimums + 1), axis=1)
    holders = np.asarray((traits.counts[:, traits.per_label] @ scarce.astype(np.int64)) > 0)
    free = np.zeros(traits.signatures, np.bool_)
    free[traits.signature[holders]] = True
    return Quotas(wanted, np.outer(traits.per_signature, shares), free, minimums)


def per_class(traits: Traits, number: int) -> tuple[Traits, Quotas]:
    """Want so many positives of every label, and so many images of none, in the second of two parts.

    Of a label at most half of the positives are wanted, so that as many are left to learn from. Where groups
    do not allow the exact number, a few more are better than fewer.

    Returns:
        The traits, with no weight on any other, and what is wanted of them.
    """
    asked = slice(1, 2 + traits.labels)
    weights = np.zeros_like(traits.weights)
    weights[asked] = traits.weights[asked]
    totals = traits.totals
    wanted = np.zeros((len(totals), 2))
    wanted[asked, 1] = np.minimum(number, totals[asked] // 2)
    wanted[:, 0] = totals - wanted[:, 1]
    nothing, free = np.zeros((traits.signatures, 2)), np.ones(traits.signatures, np.bool_)
    minimums = np.repeat(wanted[traits.per_label, 1].astype(np.intp)[:, None], 2, axis=1)
    return replace(traits, weights=weights), Quotas(wanted, nothing, free, minimums)


def bound_to(quotas: Quotas, whole: NDArray[np.float64]) -> Quotas:
    """Bind the clusters of a signature to their shares of a larger whole, wherever that can be met.

    After some clusters were drawn, what is left of a signature may not divide as well as the whole of it did.

    Args:
        quotas: Of the clusters that are left.
        whole: (s, p) exact shares of all clusters, also of those that are gone.
    """
    left = quotas.signatures.sum(axis=1)
    base = np.floor(whole + ROUNDING)
    most = base + (whole - base > ROUNDING)
    fits = (base.sum(axis=1) <= left + ROUNDING) & (left - ROUNDING <= most.sum(axis=1))
    return replace(quotas, signatures=np.where(fits[:, None], whole, quotas.signatures))


def _raised(wanted: NDArray[np.float64], minimums: NDArray[np.intp]) -> NDArray[np.float64]:
    """Raise what is below the fewest, and take it from the others in proportion to what they have.

    The fewest of all parts together must not be more than the wanted of all parts together.
    """
    low = np.zeros(wanted.shape, np.bool_)
    raised = wanted
    for _ in range(wanted.shape[1]):  # taking from a part can bring it below its own fewest
        low |= raised < minimums
        rest = np.where(low, 0.0, wanted)
        spare = (wanted - np.where(low, minimums, 0)).sum(axis=1, keepdims=True)
        whole = np.maximum(rest.sum(axis=1, keepdims=True), ROUNDING)
        raised = np.where(low, minimums, rest * spare / whole)
    return raised
