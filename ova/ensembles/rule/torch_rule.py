"""The rule as a network: logits in; probabilities, decisions and, for argmax, a choice out.

It computes in float32 what `ova.ensembles.rule.numpy_rule` does in float64, and follows the heads in a
combined model.

Shape letters: B images, K heads, S pieces of the curve that has most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ova.ensembles.rule.argmax import coupling_constants
from ova.ensembles.rule.numpy_rule import LEAST_MARGIN, Mapped, levels, stacked_heads
from ova.ensembles.rule.rule import Rule, conflicts, longest_chain
from ova.errors import ArtefactError, DataError
from ova.heads.calibration.calibrators.curve import Curve

# Stands for no end: the first piece goes on to the left and the last to the right.
_ENDLESS = 1e30


class Decision(nn.Module):
    """Logits (B, K) -> the outputs of a combined model that follow the logits.

    Args:
        calibrations: (K,) in the order of the logits.
        names: (K,) names of the heads.
        rule: What to do.
        none_prior: Share of images with none of the labels, in (0, 1]; needed for a coupling.

    Raises:
        ArtefactError: A number is not finite, or a threshold is not exact in float32.
        DataError: A prior that a coupling needs is missing or outside its range.
    """

    thresholds: Tensor
    slopes: Tensor
    intercepts: Tensor
    stack: Tensor
    stack_biases: Tensor
    stacked: Tensor
    levels: Tensor
    offsets: Tensor
    none_score: Tensor
    matrix: Tensor
    matrix_biases: Tensor

    def __init__(
        self, calibrations: Sequence[Mapped], names: Sequence[str], rule: Rule, none_prior: float | None
    ) -> None:
        super().__init__()
        self.rule = rule
        self._pairs = conflicts(names, rule.exclusive)
        self._keep("thresholds", rule.thresholds)
        if self.thresholds.tolist() != list(rule.thresholds):
            raise ArtefactError("a threshold is not exact in float32; calibrate the heads again")
        self._keep("slopes", [each.slope for each in calibrations])
        self._keep("intercepts", [each.intercept for each in calibrations])
        bent = any(each.curve is not None for each in calibrations)
        self.curves = Curves([each.curve for each in calibrations]) if bent else None
        if rule.stack is not None:
            self._keep("stack", rule.stack.matrix.weights)
            self._keep("stack_biases", rule.stack.matrix.biases)
            self.register_buffer("stacked", torch.from_numpy(stacked_heads(rule, names)))
        if rule.exclusive or rule.coupling == "margin":
            self._keep("levels", levels(calibrations, rule, names).tolist())
        if rule.coupling is not None:
            self._couple([each.prior for each in calibrations], none_prior)
        self.eval()

    def forward(self, logits: Tensor) -> tuple[Tensor, ...]:
        """Judge logits (B, K) float32.

        Returns:
            probabilities (B, K) float32, decisions (B, K) bool. With a coupling also scores (B, K + 1)
            float32, none last, class probabilities (B, K + 1), and choice (B,) int64: the first greatest
            score; K is none, K + 1 that no choice is made.
        """
        odds = self.slopes * logits + self.intercepts
        if self.curves is not None:
            odds = self.curves(logits, odds)
        values = logits
        if self.rule.stack is not None:
            mixed = torch.matmul(odds, self.stack.T) + self.stack_biases
            odds = torch.where(self.stacked, mixed, odds)
            values = torch.where(self.stacked, mixed, logits)
        fired = values >= self.thresholds
        outputs = (torch.sigmoid(odds), self._keep_surest(fired, odds))
        return outputs if self.rule.coupling is None else (*outputs, *self._choose(odds, fired))

    def _keep_surest(self, fired: Tensor, odds: Tensor) -> Tensor:
        """Do as `ova.ensembles.rule.numpy_rule.keep_surest`."""
        if not self._pairs:
            return fired
        margins = odds - self.levels
        fired_columns, margin = list(fired.unbind(dim=1)), list(margins.unbind(dim=1))
        kept = fired_columns
        for _ in range(longest_chain(self._pairs)):
            free = list(fired_columns)
            for one, other in self._pairs:
                first = margin[one] >= margin[other]
                free[other] = free[other] & ~(kept[one] & first)
                free[one] = free[one] & ~(kept[other] & ~first)
            kept = free
        return torch.stack(kept, dim=1)

    def _choose(self, odds: Tensor, fired: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        none = self.none_score.expand(odds.shape[0], 1)
        scores = torch.cat([odds + self.offsets, none], dim=1)
        if self.rule.matrix is not None:
            scores = torch.matmul(odds, self.matrix.T) + self.matrix_biases
        posterior = torch.softmax(scores, dim=1)
        if self.rule.coupling == "margin":
            margins = odds - self.levels
            signed = torch.where(fired, margins.clamp(min=0.0), margins.clamp(max=-LEAST_MARGIN))
            scores = torch.cat([signed, torch.zeros_like(none)], dim=1)
        choice = torch.argmax(scores, dim=1)
        if self.rule.abstain_below is not None:
            sure = torch.gather(posterior, 1, choice[:, None])[:, 0] >= self.rule.abstain_below
            choice = torch.where(sure, choice, torch.full_like(choice, scores.shape[1]))
        return scores, posterior, choice

    def _couple(self, priors: Sequence[float], none_prior: float | None) -> None:
        if none_prior is None:
            raise DataError("argmax mode needs the share of images with none of the labels")
        offsets, none_score = coupling_constants(priors, none_prior)
        self._keep("offsets", offsets.tolist())
        self._keep("none_score", [none_score])
        if self.rule.matrix is not None:
            self._keep("matrix", self.rule.matrix.weights)
            self._keep("matrix_biases", self.rule.matrix.biases)

    def _keep(self, name: str, values: Sequence[float] | Sequence[Sequence[float]]) -> None:
        flat = [value for line in values for value in (line if isinstance(line, Sequence) else (line,))]
        if not all(math.isfinite(value) for value in flat):
            raise ArtefactError(f"calibration {name} {flat} are not finite; calibrate the heads again")
        self.register_buffer(name, torch.tensor(values, dtype=torch.float32))


class Curves(nn.Module):
    """Logits and the log odds of the lines (B, K) -> log odds, from the curve where a head has one.

    A curve is its first value plus one climb per piece, and a piece climbs as far as the logit has come on
    it: slope * clamp(logit - start, 0, length). Every climb rises with the logit, so that nothing is
    subtracted and float32 is enough.

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
