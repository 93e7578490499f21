"""Curves from logits to log odds inside the graph: what `ova.heads.curve` does in numpy and float64.

A curve is its first value plus one climb per piece, and a piece climbs as far as the logit has come on it:
slope * clamp(logit - start, 0, length). Every climb rises with the logit, so that nothing is subtracted
and float32 is enough.

Shape letters: B images, K heads, S pieces of the curve that has most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ova.errors import ArtefactError
from ova.heads.curve import Curve

# Stands for no end: the first piece goes on to the left and the last to the right.
_ENDLESS = 1e30


class Curves(nn.Module):
    """Logits and the log odds of the lines (B, K) -> log odds, from the curve where a head has one.

    Args:
        curves: (K,) in the order of the logits, None for a head with a line.

    Raises:
        ArtefactError: A curve does not rise, or is not exact in float32.
    """

    bent: Tensor
    first: Tensor
    starts: Tensor
    slopes: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, curves: Sequence[Curve | None]) -> None:
        super().__init__()
        problems = [problem for curve in curves if curve is not None for problem in curve.problems()]
        if problems:
            raise ArtefactError(f"a calibration's {problems[0]}; calibrate the heads again")
        shape = len(curves), max(len(curve.knots) - 1 for curve in curves if curve is not None)
        first, bent = np.zeros(shape[0]), np.array([curve is not None for curve in curves])
        starts, slopes, least, most = np.zeros((4, *shape))
        for row, curve in enumerate(curves):
            if curve is None:
                continue
            pieces, lengths = len(curve.knots) - 1, np.diff(curve.knots)
            first[row], starts[row, :pieces] = curve.log_odds[0], curve.knots[:-1]
            slopes[row, :pieces], most[row, :pieces] = np.diff(curve.log_odds) / lengths, lengths
            least[row, 0], most[row, pieces - 1] = -_ENDLESS, _ENDLESS
        self.register_buffer("bent", torch.from_numpy(bent))
        for name, values in (
            ("first", first),
            ("starts", starts),
            ("slopes", slopes),
            ("least", least),
            ("most", most),
        ):
            self.register_buffer(name, torch.from_numpy(values).to(torch.float32))

    def forward(self, logits: Tensor, lines: Tensor) -> Tensor:
        """Return log odds (B, K) float32."""
        way = torch.minimum(torch.maximum(logits[:, :, None] - self.starts, self.least), self.most)
        return torch.where(self.bent, self.first + (self.slopes * way).sum(dim=2), lines)
