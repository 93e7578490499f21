"""`heads/NAME.toml`: everything that decides how one head is made."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from ova.data.augment.recipe import AugmentSettings
from ova.digests import digest_json
from ova.errors import RecipeError
from ova.heads.threshold_objectives import Budget, Floor, parse_objective
from ova.recipes import Settings, load_named
from ova.workspace import Workspace

_FOCAL_GAMMA = 2.0
_ASYMMETRIC_GAMMA_POSITIVE, _ASYMMETRIC_GAMMA_NEGATIVE, _ASYMMETRIC_CLIP = 1.0, 4.0, 0.05
Method = Literal["auto", "argmax", "bagged", "plugin"]
METHODS: tuple[Method, ...] = get_args(Method)
KEPT_DEFAULT = "default"  # the method of a calibration that had too few positives to choose
TAIL_RATE = 1e-8  # what a step table that ends early goes on with


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
    focal_gamma: float = Field(default=_FOCAL_GAMMA, gt=0, le=10)
    """How much the focal loss holds easy rows back."""
    asymmetric_gamma_positive: float = Field(default=_ASYMMETRIC_GAMMA_POSITIVE, ge=0, le=10)
    """How much the asymmetric loss holds easy positives back."""
    asymmetric_gamma_negative: float = Field(default=_ASYMMETRIC_GAMMA_NEGATIVE, ge=0, le=10)
    """How much it holds easy negatives back."""
    asymmetric_clip: float = Field(default=_ASYMMETRIC_CLIP, ge=0, lt=1)
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
        if self.loss != "focal" and self.focal_gamma != _FOCAL_GAMMA:
            raise ValueError('focal_gamma needs loss = "focal"')
        asymmetric = (self.asymmetric_gamma_positive, self.asymmetric_gamma_negative, self.asymmetric_clip)
        usual = (_ASYMMETRIC_GAMMA_POSITIVE, _ASYMMETRIC_GAMMA_NEGATIVE, _ASYMMETRIC_CLIP)
        if self.loss != "asymmetric" and asymmetric != usual:
            raise ValueError('asymmetric_gamma_... and asymmetric_clip need loss = "asymmetric"')
        return self


class BackboneSettings(Settings):
    """The network below the one logit."""

    name: str
    """Any timm model, or torchvision/NAME."""
    pretrained: bool = False
    """Start from published weights: of an installed package, or of timm's hub."""
    weights: str | None = None
    """Start from a local safetensors file, relative to the workspace."""
    pooling: Literal["mean", "mean+max"] = "mean"
    """How the last map becomes features: the family's own way, or mean and maximum side by side."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of features dropped before the logit."""
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Share of residual branches dropped, where the family has it."""
    freeze: bool = False
    """Train the classifier alone until `unfreeze_epoch` (or to the end)."""
    unfreeze_epoch: int | None = Field(default=None, ge=1)
    """First epoch, counted from 1, in which the trunk is trained too."""
    unfreeze_from: str | int | None = None
    """Unfreeze from this layer on; the whole trunk if not given."""

    @property
    def stays_frozen(self) -> bool:
        """Whether the trunk is never trained."""
        return self.freeze and self.unfreeze_epoch is None and self.unfreeze_from is None

    @model_validator(mode="after")
    def _agree(self) -> BackboneSettings:
        if self.pretrained and self.weights:
            raise ValueError("pretrained = true and weights name two sources; keep one")
        if not self.freeze and (self.unfreeze_epoch is not None or self.unfreeze_from is not None):
            raise ValueError("unfreeze_epoch and unfreeze_from need freeze = true")
        return self


class InputSettings(Settings):
    """What the network reads."""

    size: int | tuple[int, int] = 224
    """Side in pixels, or [height, width]."""
    channels: Literal[1, 3] = 3
    """1 reads grey, 3 reads RGB."""
    crop: float = Field(default=1.0, ge=0.1, le=1.0)
    """Share of height and width that is read, in the middle, in training as in use; in steps of 0.001."""
    mean: tuple[float, ...] | None = None
    """Share of white per channel; of the training rows if not given (of the pretrained weights, if any)."""
    std: tuple[float, ...] | None = None
    """As `mean`."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def thousandths(self) -> int:
        """`crop` as a whole number."""
        return round(self.crop * 1000)

    @model_validator(mode="after")
    def _agree(self) -> InputSettings:
        if not all(1 <= side <= 4096 for side in self.shape):
            raise ValueError("sides go from 1 to 4096 pixels")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given together or not at all")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} needs {self.channels} values")
        if self.std is not None and not all(value > 0 for value in self.std):
            raise ValueError("std must be above 0")
        return self


class TrainingSettings(Settings):
    """How the network is optimised."""

    epochs: int = Field(default=30, ge=1, le=100_000)
    """Passes over the training rows."""
    batch_size: int = Field(default=32, ge=2)
    """Images per step."""
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adamw"
    """By its usual name; sgd is with Nesterov momentum."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The peak of one-cycle, the start of the others."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Not applied to biases and normalisation layers."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """For sgd and rmsprop."""
    schedule: Literal["constant", "steps", "cosine", "one-cycle", "plateau"] = "one-cycle"
    """How the rate moves."""
    warmup_epochs: int = Field(default=0, ge=0)
    """Epochs of linear rise before a constant or cosine schedule."""
    steps: dict[str, float] = Field(default_factory=dict)
    """For `steps`: epochs (counted from 1) and their rate, {"1-10" = 1e-3, "11-20" = 1e-4}."""
    plateau_patience: int = Field(default=2, ge=0)
    """Epochs without a better validation loss before the rate is halved."""
    plateau_factor: float = Field(default=0.5, gt=0, lt=1)
    """What the rate is multiplied with then."""
    plateau_min: float = Field(default=1e-5, ge=0)
    """Where it stops falling."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Targets become x / 2 and 1 - x / 2."""
    mixup: float = Field(default=0.0, ge=0, le=1)
    """Strength of mixing pairs of images and their labels (0 is off)."""
    clip: float | None = Field(default=None, gt=0)
    """Largest norm of the gradient."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that is scored and kept (0 is off)."""
    early_stop: int | None = Field(default=None, ge=1)
    """Stop after so many epochs without a better validation average precision."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto is bfloat16 where the accelerator gains from it."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Everything random follows from it."""

    @field_validator("steps")
    @classmethod
    def _ranges(cls, steps: dict[str, float]) -> dict[str, float]:
        step_table(steps)
        return steps

    @model_validator(mode="after")
    def _agree(self) -> TrainingSettings:
        if (self.schedule == "steps") != bool(self.steps):
            raise ValueError('schedule = "steps" and the table training.steps need each other')
        if self.warmup_epochs and self.schedule not in ("constant", "cosine"):
            raise ValueError("warmup_epochs goes with a constant or cosine schedule")
        return self


def step_table(steps: dict[str, float]) -> list[tuple[int, int, float]]:
    """Parse {"1-10": rate, "11": rate} into (first, last, rate), sorted.

    Raises:
        ValueError: A range that is not FIRST-LAST, runs backwards, overlaps another, or a rate below 0.
    """
    table = []
    for text, rate in steps.items():
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.replace(" ", ""))
        if not match:
            raise ValueError(f'steps: {text!r} is not a range of epochs like "1-10"')
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last or not (rate >= 0 and math.isfinite(rate)):
            raise ValueError(f"steps: {text!r} = {rate} runs backwards or has a rate below 0")
        table.append((first, last, rate))
    table.sort()
    for before, after in pairwise(table):
        if after[0] <= before[1]:
            raise ValueError(f"steps: epochs {before[0]}-{before[1]} and {after[0]}-{after[1]} overlap")
    return table


class ScoringSettings(Settings):
    """How an image is scored, here and in the exported model."""

    views: Literal["none", "flips", "dihedral"] = "none"
    """Average the logit over 1, 4 (mirrored) or 8 (mirrored and turned) copies."""


class CalibrationSettings(Settings):
    """How threshold and probability are fitted; changing it needs no training."""

    objective: str = "f1"
    """What the threshold is best at: f1, f2, cost 10:1, recall >= 0.9, precision >= 0.8, alarms <= 0.05."""
    method: Method = "auto"
    """How the threshold is chosen; not for recall, precision and alarms, which are promises."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """With which a promise holds."""

    @model_validator(mode="after")
    def _agree(self) -> CalibrationSettings:
        try:
            aim = parse_objective(self.objective)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        if isinstance(aim, Floor | Budget) and self.method != "auto":
            raise ValueError(f"method does not go with the objective {self.objective!r}; leave it out")
        return self


class HeadRecipe(Settings):
    """One head."""

    label: str
    """Column of the label table."""
    backbone: BackboneSettings
    input: InputSettings = InputSettings()
    training: TrainingSettings = TrainingSettings()
    balance: BalanceSettings = BalanceSettings()
    augment: AugmentSettings = AugmentSettings()
    scoring: ScoringSettings = ScoringSettings()
    calibration: CalibrationSettings = CalibrationSettings()

    @model_validator(mode="after")
    def _agree(self) -> HeadRecipe:
        height, width = self.input.shape
        if height != width and (self.augment.quarter_turns or self.scoring.views == "dihedral"):
            raise ValueError("quarter_turns and dihedral views need a square input.size")
        if self.balance.augment_only == "minority" and self.augment == AugmentSettings():
            raise ValueError('balance.augment_only = "minority" needs an augmentation in [augment]')
        return self

    def training_digest(self) -> str:
        """Digest everything but the calibration, which may change without a new training."""
        settings = self.model_dump(mode="json", exclude={"calibration"})
        # A setting that came later counts only where it is set: runs from before it stay what they are.
        if settings["backbone"]["pooling"] == "mean":
            del settings["backbone"]["pooling"]
        return digest_json(settings)

    def as_toml(self) -> dict[str, Any]:
        """Settings that differ from the defaults, ready for TOML."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude_none=True)


def read_head_recipe(workspace: Workspace, name: str) -> HeadRecipe:
    """Read `heads/NAME.toml`.

    Raises:
        RecipeError: There is no such head, or its recipe is wrong.
    """
    return load_named(workspace.head_recipe(name), HeadRecipe, "head", workspace.head_names())
