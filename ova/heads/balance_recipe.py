"""What a head's recipe may say against few positives; light, so that recipes are read without torch."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ova.recipes import Settings

FOCAL_GAMMA = 2.0
ASYMMETRIC_GAMMA_POSITIVE, ASYMMETRIC_GAMMA_NEGATIVE, ASYMMETRIC_CLIP = 1.0, 4.0, 0.05


class BalanceSettings(Settings):
    """What is done about few positives; all of it looks at training rows alone."""

    pos_weight: float | Literal["auto", "sqrt", "none"] = "auto"
    """Weight of a positive in the loss; auto is negatives / positives of what an epoch shows."""
    pos_weight_cap: float | None = Field(default=None, gt=0)
    """Upper limit of auto and sqrt."""
    sampler: float | Literal["none", "balanced", "sqrt"] = "none"
    """How often an epoch repeats rows of the rarer class; balanced is until both classes are equal."""
    max_negatives: int | None = Field(default=None, ge=1)
    """Most negatives in an epoch."""
    negatives_per_positive: float | None = Field(default=None, gt=0)
    """Most negatives in an epoch, as a multiple of the positives."""
    rotate_negatives: bool = True
    """Show other negatives in every epoch, so that all are seen in time; false keeps one subset."""
    prototypes: int | None = Field(default=None, ge=1)
    """Train on so many negatives, those nearest to the centres of as many clusters."""
    augment_only: Literal["all", "minority"] = "all"
    """Augment all rows, or those of the rarer class alone."""
    loss: Literal["bce", "focal", "asymmetric"] = "bce"
    """Cross-entropy, or one that holds easy rows (focal) or easy negatives (asymmetric) back."""
    focal_gamma: float = Field(default=FOCAL_GAMMA, gt=0, le=10)
    """How much the focal loss holds easy rows back."""
    asymmetric_gamma_positive: float = Field(default=ASYMMETRIC_GAMMA_POSITIVE, ge=0, le=10)
    """How much the asymmetric loss holds easy positives back."""
    asymmetric_gamma_negative: float = Field(default=ASYMMETRIC_GAMMA_NEGATIVE, ge=0, le=10)
    """How much it holds easy negatives back."""
    asymmetric_clip: float = Field(default=ASYMMETRIC_CLIP, ge=0, lt=1)
    """Negatives below this probability cost nothing."""
    allow_over_correction: bool = False
    """Train although sampling, weight and loss together correct more than the imbalance."""

    @property
    def proper(self) -> bool:
        """Whether the shift of the logits is known from weight and sampling alone."""
        return self.loss == "bce" and self.prototypes is None

    @field_validator("pos_weight")
    @classmethod
    def _positive(cls, value: float | str) -> float | str:
        if isinstance(value, float | int) and not (value > 0 and math.isfinite(value)):
            raise ValueError("pos_weight must be above 0")
        return value

    @field_validator("sampler")
    @classmethod
    def _repeats(cls, value: float | str) -> float | str:
        if isinstance(value, float | int) and not 1 <= value <= 10_000:
            raise ValueError("sampler repeats rows from 1 to 10000 times")
        return value

    @model_validator(mode="after")
    def _agree(self) -> BalanceSettings:
        capped = self.max_negatives is not None or self.negatives_per_positive is not None
        if self.max_negatives is not None and self.negatives_per_positive is not None:
            raise ValueError("max_negatives and negatives_per_positive are two caps; keep one")
        if not self.rotate_negatives and not capped:
            raise ValueError("rotate_negatives = false needs max_negatives or negatives_per_positive")
        if self.pos_weight_cap is not None and self.pos_weight not in ("auto", "sqrt"):
            raise ValueError('pos_weight_cap limits pos_weight = "auto" or "sqrt"')
        if self.loss != "focal" and self.focal_gamma != FOCAL_GAMMA:
            raise ValueError('focal_gamma needs loss = "focal"')
        asymmetric = (self.asymmetric_gamma_positive, self.asymmetric_gamma_negative, self.asymmetric_clip)
        usual = (ASYMMETRIC_GAMMA_POSITIVE, ASYMMETRIC_GAMMA_NEGATIVE, ASYMMETRIC_CLIP)
        if self.loss != "asymmetric" and asymmetric != usual:
            raise ValueError('asymmetric_gamma_... and asymmetric_clip need loss = "asymmetric"')
        return self
