"""What a head will see: training images as they are stored, and as each epoch augments them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ova.data.augment.draws import draw
from ova.data.dataset import Dataset, open_dataset
from ova.data.images.contact_sheet import GridRow, picture_grid_png
from ova.data.images.store import PixelStore
from ova.errors import RecipeError
from ova.heads.recipe import HeadRecipe, read_head_recipe
from ova.heads.rows import Rows, read_batch
from ova.heads.training.batches import augment_batch
from ova.heads.training.plan import HeadPlan, HeadSkipped, plan_head, store_spec
from ova.heads.training.pos_weight import plan_balance
from ova.progress import Progress
from ova.storage import write_bytes
from ova.workspace import Workspace


@dataclass(frozen=True)
class Preview:
    """One picture."""

    head: str
    file: Path
    images: tuple[str, ...]
    """The images of its rows, from the top."""
    epochs: int

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {"head": self.head, "file": str(self.file), "images": list(self.images), "epochs": self.epochs}


def preview_heads(
    workspace: Workspace,
    names: Sequence[str] = (),
    *,
    images: int = 6,
    epochs: int = 6,
    progress: Progress | None = None,
) -> tuple[list[Preview], list[HeadSkipped]]:
    """Write `runs/preview/HEAD.png` for heads by name, or for all of them; one at least.

    The images are training rows of the head (of its first network, with folds), half of them positives where
    there are enough, chosen by the hash of their ids. The pixels of a column are those that training sees in
    that epoch (of the rows that a cap or `balance.prototypes` leaves in it).

    Args:
        workspace: Where recipes lie; pixel stores that are missing are built.
        names: Heads; all that have a recipe if empty.
        images: Rows of a picture.
        epochs: Augmented versions per image, those of the epochs 1, 2, ...
        progress: Told after every image that is decoded.

    Returns:
        The pictures, and why heads that have nothing to train on have none.

    Raises:
        RecipeError: A name has no recipe, a recipe is wrong, or there is none.
        DataError: Labels or images are refused.
        HeadSkipped: No head has anything to train on.
        EnvironmentFault: The picture or the store cannot be written.
    """
    names = list(dict.fromkeys(names)) or workspace.head_names()
    if not names:
        raise RecipeError(f"no head to show: {workspace.root / 'heads'} has no recipe; ova init writes some")
    specs = [store_spec(read_head_recipe(workspace, name)) for name in names]
    dataset = open_dataset(workspace, specs, progress)
    made: list[Preview] = []
    skipped: list[HeadSkipped] = []
    for name in names:
        try:
            made.append(_preview(workspace, dataset, plan_head(workspace, dataset, name), images, epochs))
        except HeadSkipped as error:
            skipped.append(error)
    if not made:
        raise skipped[0]
    return made, skipped


def _preview(workspace: Workspace, dataset: Dataset, plan: HeadPlan, images: int, epochs: int) -> Preview:
    store = dataset.stores[store_spec(plan.recipe)]
    part = plan.join(plan.members[0][0])
    train = Rows.of(part.images, part.labels, store)
    chosen = choose_rows(train, images)
    shown = [read_batch(store, train.positions[chosen], torch.device("cpu")).numpy()]
    shown += [augmented_rows(store, train, chosen, plan.recipe, epoch) for epoch in range(1, epochs + 1)]
    tiles = np.rint(np.stack(shown, axis=1)).astype(np.uint8).transpose(0, 1, 3, 4, 2)
    rows = [
        GridRow(f"{plan.recipe.label} = {train.labels[row]}   {train.images[row]}", list(line))
        for row, line in zip(chosen, tiles, strict=True)
    ]
    columns = ["stored", *(f"epoch {epoch}" for epoch in range(1, epochs + 1))]
    path = workspace.preview(plan.name)
    write_bytes(path, picture_grid_png(_title(plan, train), columns, rows))
    return Preview(plan.name, path, tuple(train.images[row] for row in chosen), epochs)


def choose_rows(train: Rows, count: int) -> NDArray[np.intp]:
    """Choose rows by the hash of their image, positives first; half of them if there are enough of both."""
    by_key = np.argsort(train.keys, kind="stable")
    positives, negatives = (by_key[train.labels[by_key] == label] for label in (1, 0))
    wanted = max(-(-count // 2), count - len(negatives))
    taken = positives[:wanted]
    return np.concatenate([taken, negatives[: count - len(taken)]])


def augmented_rows(
    store: PixelStore, train: Rows, chosen: NDArray[np.intp], recipe: HeadRecipe, epoch: int
) -> NDArray[np.float32]:
    """Return (n, channels, height, width) pixels of chosen rows as training sees them in an epoch."""
    draws = draw(train.keys[chosen], recipe.training.seed, epoch)
    pixels = read_batch(store, train.positions[chosen], torch.device("cpu"))
    rarer = plan_balance(train.labels, recipe.balance).rarer
    return augment_batch(pixels, draws, train.labels[chosen], rarer, recipe).numpy()


def _title(plan: HeadPlan, train: Rows) -> list[str]:
    recipe = plan.recipe
    height, width = recipe.input.shape
    colours = "grey" if recipe.input.channels == 1 else "RGB"
    settings = recipe.augment.model_dump(exclude_defaults=True)
    what = ", ".join(f"{name}={str(value).lower()}" for name, value in settings.items())
    if recipe.balance.augment_only == "minority":
        rarer = plan_balance(train.labels, recipe.balance).rarer
        what += f"; only {recipe.label}={rarer}, the rarer class"
    return [f"{plan.name}: {height} x {width} pixels, {colours}", what or "no augmentation"]
