"""What a search may change in a recipe, and the recipe that a choice makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from ova.errors import RecipeError
from ova.heads.network.backbones import classifier_keys
from ova.heads.network.packages import WEIGHTS_PACKAGES, find_package
from ova.heads.recipe import HeadRecipe
from ova.heads.training.probe import is_probe, refuse_what_a_probe_cannot
from ova.recipes import Settings, check_recipe

AugmentName = Literal["recipe", "none", "light", "strong"]
BalanceName = Literal["recipe", "weight", "sqrt", "sampler", "focal"]
_BACKBONES = ("resnet10t", "regnetx_002", "regnety_004", "mobilenetv3_small_100")
_AT_HAND = tuple(package.backbone for package in WEIGHTS_PACKAGES)
_AUGMENT: dict[str, dict[str, Any]] = {
    "none": {},
    "light": {"flips": True, "shift": 0.05, "brightness": 0.05, "contrast": 0.1},
    "strong": {
        "flips": True,
        "rotation": 15.0,
        "scale": 0.1,
        "brightness": 0.1,
        "contrast": 0.25,
        "noise": 0.02,
    },
}
_BALANCE: dict[str, dict[str, Any]] = {
    "weight": {"pos_weight": "auto"},
    "sqrt": {"pos_weight": "sqrt"},
    "sampler": {"sampler": "balanced"},
    "focal": {"loss": "focal", "pos_weight": "none"},
}
_RELATIVE_SIZES = (0.75, 1.5)
_RATE_REACH = 10.0


class SpaceSettings(Settings):
    """What is searched; what the recipe itself says is always among the choices."""

    backbones: tuple[str, ...] | None = None
    """As `backbone.name`; four small ones if not given, or for a trunk that stays frozen those that pip has
    brought (the recipe's alone if it names `weights`)."""
    sizes: tuple[int | tuple[int, int], ...] | None = None
    """Input sizes; 3/4 and 3/2 of the recipe's if not given."""
    learning_rate: tuple[float, float] | None = None
    """Lowest and highest; a tenth and ten times the recipe's if not given."""
    batch_sizes: tuple[int, ...] = (16, 32, 64)
    """Images per step."""
    augment: tuple[AugmentName, ...] = ("none", "light", "strong")
    """Sets of augmentation."""
    balance: tuple[BalanceName, ...] = ("weight", "sqrt", "sampler")
    """What is done about few positives."""
    epochs: int | None = Field(default=None, ge=1)
    """Of every trial; the recipe's if not given."""
    folds: int | None = Field(default=None, ge=1)
    """Train so many folds in a trial, all if not given."""

    @model_validator(mode="after")
    def _agree(self) -> SpaceSettings:
        if self.learning_rate is not None and not 0 < self.learning_rate[0] <= self.learning_rate[1]:
            raise ValueError("learning_rate is [lowest, highest], both above 0")
        return self


class Space:
    """The choices around one recipe.

    Args:
        recipe: Where the search begins.
        settings: What may be changed.
        largest: The longest side that the dataset's `draft_side` allows, if it says any.

    Raises:
        RecipeError: A backbone is unknown or does not take these images.
    """

    def __init__(self, recipe: HeadRecipe, settings: SpaceSettings, largest: int | None = None) -> None:
        self.recipe, self.settings = recipe, settings
        own = recipe.backbone
        tied = own.weights is not None or own.unfreeze_from is not None
        known = tuple(filter(find_package, _AT_HAND)) if own.stays_frozen else _BACKBONES
        names = settings.backbones if settings.backbones is not None else () if tied else known
        self.backbones = _distinct([own.name, *names])
        self.sizes = {_text(size): size for size in _sizes(recipe, settings, largest)}
        low, high = settings.learning_rate or (1 / _RATE_REACH, _RATE_REACH)
        rate = recipe.training.learning_rate
        scale = 1.0 if settings.learning_rate else rate
        self.rates = min(low * scale, rate), max(high * scale, rate)
        self.batch_sizes = _distinct([recipe.training.batch_size, *settings.batch_sizes])
        if is_probe(recipe):  # a fit without epochs has neither
            self.rates, self.batch_sizes = (rate, rate), self.batch_sizes[:1]
        self.augment = self._presets("augment", settings.augment, _AUGMENT)
        self.balance = self._presets("balance", settings.balance, _BALANCE)
        for name in self.backbones:
            classifier_keys(name, channels=recipe.input.channels, size=recipe.input.shape)

    def start(self) -> dict[str, Any]:
        """Return the choices that are the recipe as it is."""
        return {
            "backbone": self.backbones[0],
            "size": next(iter(self.sizes)),
            "learning_rate": self.recipe.training.learning_rate,
            "batch_size": self.batch_sizes[0],
            "augment": "recipe",
            "balance": "recipe",
        }

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Ask an `optuna.trial.Trial` for one choice of everything."""
        return {
            "backbone": trial.suggest_categorical("backbone", self.backbones),
            "size": trial.suggest_categorical("size", list(self.sizes)),
            "learning_rate": trial.suggest_float("learning_rate", *self.rates, log=True),
            "batch_size": trial.suggest_categorical("batch_size", self.batch_sizes),
            "augment": trial.suggest_categorical("augment", list(self.augment)),
            "balance": trial.suggest_categorical("balance", list(self.balance)),
        }

    def make(self, choice: Mapping[str, Any]) -> HeadRecipe:
        """Return the recipe of a choice; all that is not searched stays as it is.

        Raises:
            RecipeError: The choices contradict each other or the rest of the recipe.
        """
        content = self.recipe.as_toml()
        content.setdefault("training", {})
        content["backbone"] |= {"name": choice["backbone"]}
        content["input"] = content.get("input", {}) | {"size": self.sizes[choice["size"]]}
        content["training"] |= {"learning_rate": choice["learning_rate"], "batch_size": choice["batch_size"]}
        if self.settings.epochs is not None:
            content["training"] |= {"epochs": self.settings.epochs}
        content["augment"] = self.augment[choice["augment"]]
        content["balance"] = self.balance[choice["balance"]]
        return check_recipe(content, HeadRecipe, "this choice")

    def to_json(self) -> dict[str, Any]:
        """Return everything that decides the search space."""
        return {"recipe": self.recipe.as_toml(), "settings": self.settings.model_dump(mode="json")} | {
            name: value for name, value in vars(self).items() if name not in ("recipe", "settings")
        }

    def _presets(
        self, section: str, names: Sequence[str], known: Mapping[str, Any]
    ) -> dict[str, dict[str, Any]]:
        """Return the chosen sets by name, the recipe's first, without those that say the same."""
        own = self.recipe.as_toml().get(section, {})
        found = {"recipe": own}
        for name in names:
            if name != "recipe" and self._differs(section, known[name], found.values()):
                found[name] = known[name]
        return found

    def _differs(self, section: str, preset: dict[str, Any], others: Any) -> bool:
        content = self.recipe.as_toml()
        try:
            mine = check_recipe(content | {section: preset}, HeadRecipe, section)
            refuse_what_a_probe_cannot(mine)
        except RecipeError:  # "minority" augmentation and no augmentation, or a frozen trunk and light
            return False
        return all(mine != check_recipe(content | {section: each}, HeadRecipe, section) for each in others)


def _sizes(recipe: HeadRecipe, settings: SpaceSettings, largest: int | None) -> list[int | tuple[int, int]]:
    """Return the recipe's size, then the others: multiples of 8 that JPEGs are decoded large enough for."""
    if settings.sizes is not None:
        return _distinct([recipe.input.size, *settings.sizes])
    scaled = [
        tuple(max(8, round(side * share / 8) * 8) for side in recipe.input.shape) for share in _RELATIVE_SIZES
    ]
    others = [height if height == width else (height, width) for height, width in scaled]
    return _distinct(
        [recipe.input.size, *(size for size in others if largest is None or max(_shape(size)) <= largest)]
    )


def _shape(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _text(size: int | tuple[int, int]) -> str:
    height, width = _shape(size)
    return f"{height}x{width}"


def _distinct(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
