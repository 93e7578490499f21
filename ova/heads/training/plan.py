"""What one head will be trained, validated and tested on, and the digest that identifies the result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.dataset import Dataset
from ova.data.images.store import StoreSpec
from ova.data.labels.table import UNKNOWN
from ova.data.split.split import TEST, TRAIN, VALIDATION
from ova.digests import digest_file, digest_json
from ova.errors import DataError, RecipeError
from ova.heads.recipe import HeadRecipe, read_head_recipe
from ova.workspace import Workspace


class HeadSkipped(DataError):
    """A head that cannot be trained on these labels, for a reason that the message gives."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images whose label is known, of one part of the split."""

    images: tuple[str, ...]
    labels: NDArray[np.int8]

    @property
    def positives(self) -> int:
        """Images with label 1."""
        return int(self.labels.sum())

    @property
    def negatives(self) -> int:
        """Images with label 0."""
        return len(self.images) - self.positives

    def take(self, chosen: NDArray[np.bool_]) -> Part:
        """Return the rows of a mask (n,)."""
        return Part(
            tuple(image for image, keep in zip(self.images, chosen, strict=True) if keep), self.labels[chosen]
        )


@dataclass(frozen=True, eq=False)
class HeadPlan:
    """One head before its training."""

    name: str
    recipe: HeadRecipe
    parts: Mapping[str, Part]
    """By part name; the test part is there, but nothing below scoring reads it."""
    unknown: int
    """Images left out because their label is blank."""
    digest: str
    """Of recipe, rows, labels and pixels: what decides the result."""

    @property
    def members(self) -> list[tuple[tuple[str, ...], str]]:
        """(training parts, validation part) of every network: one, or one per fold."""
        folds = tuple(sorted(part for part in self.parts if part.startswith("fold-")))
        if not folds:
            return [((TRAIN,), VALIDATION)]
        return [(tuple(other for other in folds if other != fold), fold) for fold in folds]

    def join(self, names: tuple[str, ...]) -> Part:
        """Return several parts as one."""
        chosen = [self.parts[name] for name in names]
        images = tuple(image for part in chosen for image in part.images)
        return Part(images, np.concatenate([part.labels for part in chosen]))


def store_spec(recipe: HeadRecipe) -> StoreSpec:
    """Return the form in which a head reads its images."""
    height, width = recipe.input.shape
    return StoreSpec(height, width, recipe.input.channels, recipe.input.thousandths)


def plan_head(workspace: Workspace, dataset: Dataset, name: str) -> HeadPlan:
    """Gather the rows of a head.

    Raises:
        RecipeError: The recipe is wrong.
        DataError: The label table has no such label.
        HeadSkipped: There is no positive or no negative to train on.
    """
    recipe = read_head_recipe(workspace, name)
    labels = dataset.table.column(recipe.label)
    by_part: dict[str, list[int]] = {part: [] for part in sorted(set(dataset.split.part_of.values()))}
    for row, image in enumerate(dataset.table.images):
        if labels[row] != UNKNOWN:
            by_part[dataset.split.part_of[image]].append(row)
    parts = {
        part: Part(tuple(dataset.table.images[row] for row in rows), labels[rows])
        for part, rows in by_part.items()
    }
    digest = _digest(workspace, dataset, recipe, parts)
    plan = HeadPlan(name, recipe, parts, int((labels == UNKNOWN).sum()), digest)
    for training, validation in plan.members:
        _refuse_one_sided(plan, training, validation)
    return plan


def _digest(workspace: Workspace, dataset: Dataset, recipe: HeadRecipe, parts: Mapping[str, Part]) -> str:
    rows = [
        [image, int(label), name, dataset.facts[image].pixels_blake3]
        for name, part in parts.items()
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    weights = digest_file(weights_file(workspace, recipe)) if recipe.backbone.weights else None
    return digest_json([recipe.training_digest(), weights, sorted(rows)])


def weights_file(workspace: Workspace, recipe: HeadRecipe) -> Path:
    """Return the local weights that a recipe names.

    Raises:
        RecipeError: The file does not exist.
    """
    path = workspace.root / (recipe.backbone.weights or "")
    if not path.is_file():
        raise RecipeError(f"backbone.weights: {path} does not exist")
    return path


def _refuse_one_sided(plan: HeadPlan, training: tuple[str, ...], validation: str) -> None:
    part = plan.join(training)
    found = f"{part.positives} positives and {part.negatives} negatives in training"
    if not part.positives or not part.negatives:
        raise HeadSkipped(f"head {plan.name} is skipped: {found}; label {plan.recipe.label!r} needs both")
    if not plan.parts[validation].images:
        raise HeadSkipped(f"head {plan.name} is skipped: no image with a known label in {validation}")
    if plan.parts.get(TEST) is None:
        raise HeadSkipped(f"head {plan.name} is skipped: the split has no test part")
