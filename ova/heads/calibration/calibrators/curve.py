"""A monotone curve, straight between its knots, from a head's logit to calibrated log odds.

The one form of every map that is no straight line, because an exported graph can hold it exactly. Importing
this module is light, as a manifest holds curves: numpy is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Array = NDArray[np.float64]


CURVE_KINDS = ("beta", "isotonic")
_MOST_KNOTS = 256


@dataclass(frozen=True)
class Curve:
    """Logit -> log odds: straight between the knots, and outside as steep as the first and last piece."""

    kind: str
    """What it was fitted as, one of `CURVE_KINDS`."""
    knots: tuple[float, ...]
    """Logits, exact in float32, strictly increasing, two or more."""
    log_odds: tuple[float, ...]
    """Calibrated log odds at the knots, strictly increasing."""

    def __call__(self, logits: ArrayLike) -> Array:
        """Calibrated log odds of raw logits: any shape, float64."""
        import numpy as np

        x, knots, values = np.asarray(logits, np.float64), np.array(self.knots), np.array(self.log_odds)
        slopes = np.diff(values) / np.diff(knots)
        below, above = np.minimum(x - knots[0], 0.0), np.maximum(x - knots[-1], 0.0)
        return np.asarray(np.interp(x, knots, values) + slopes[0] * below + slopes[-1] * above, np.float64)

    def at_odds(self, odds: float) -> Curve:
        """The curve where the odds of a positive are multiplied and scores of either class stay the same."""
        shift = math.log(odds)
        return Curve(self.kind, self.knots, tuple(value + shift for value in self.log_odds))

    def problems(self) -> list[str]:
        """Return what is wrong with the numbers, in words; empty if they are sound."""
        import numpy as np

        if not 2 <= len(self.knots) == len(self.log_odds) <= _MOST_KNOTS:
            return ["curve must have as many log_odds as knots, two or more"]
        with np.errstate(over="ignore"):
            exact = all(float(np.float32(knot)) == knot for knot in self.knots)
        checks = {
            "curve is of an unknown kind": self.kind in CURVE_KINDS,
            "curve must be finite": bool(np.isfinite([*self.knots, *self.log_odds]).all()),
            "knots must be exact in float32": exact,
            "knots must increase": _increases(self.knots),
            "log_odds must increase": _increases(self.log_odds),
        }
        return [problem for problem, good in checks.items() if not good]


def curve_through(kind: str, knots: Array, log_odds: Array) -> Curve | None:
    """Make a curve of knots that rise nearly strictly; of knots that are one in float32 the first is kept.

    Args:
        kind: What it was fitted as.
        knots: (m,) logits.
        log_odds: (m,) at the knots as float32 holds them.

    Returns:
        The curve; None if fewer than two knots can be told apart.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        exact = knots.astype(np.float32).astype(np.float64)
    kept: list[int] = []
    for index in np.flatnonzero(np.isfinite(exact) & np.isfinite(log_odds)):
        if not kept or (exact[index] > exact[kept[-1]] and log_odds[index] > log_odds[kept[-1]]):
            kept.append(int(index))
    if len(kept) < 2:
        return None
    return Curve(kind, tuple(exact[kept].tolist()), tuple(log_odds[kept].tolist()))


def _increases(values: Sequence[float]) -> bool:
    return all(one < other for one, other in pairwise(values))
