"""The rule of an ensemble as a network: logits in; probabilities, decisions and, for argmax, a choice out.

It computes in float32 what `ova.ensembles.decide` does in float64, and follows the heads in a combined model.

Shape letters: B images, K heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ova.ensembles.coupling import coupling_constants
from ova.ensembles.curves import Curves
from ova.ensembles.decide import LEAST_MARGIN, Mapped, levels, stacked_heads
from ova.ensembles.rule import Rule, conflicts, longest_chain
from ova.errors import ArtefactError, DataError


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
        """Do as `ova.ensembles.decide.keep_surest`."""
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
