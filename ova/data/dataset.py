"""A workspace's data as one value: labels, sound images, the split, and pixels at the sizes heads read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.copies import copies_pattern
from ova.data.facts import Decoding, ImageFacts, read_facts, write_facts
from ova.data.files import ImageFiles
from ova.data.fraction import take_fraction
from ova.data.images import decode_image
from ova.data.intake import UnreadableImages
from ova.data.labels import LabelTable
from ova.data.location import image_root
from ova.data.problems import Problem, RefusedData
from ova.data.read_labels import read_label_table
from ova.data.recipe import DatasetRecipe
from ova.data.sources import open_files
from ova.data.splits import Split
from ova.data.store import PixelStore, StoreSpec, prepare_stores
from ova.data.stored_split import stored_split
from ova.errors import DataError, RecipeError
from ova.progress import Progress, Silent
from ova.recipes import load_recipe
from ova.storage import neutralise, write_csv, write_json
from ova.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Dataset:
    """Everything that heads need to know about the data."""

    recipe: DatasetRecipe
    root: Path
    files: ImageFiles
    table: LabelTable
    facts: Mapping[str, ImageFacts]
    split: Split
    stores: Mapping[StoreSpec, PixelStore]
    together: Sequence[Sequence[str]] = ()
    """Clusters of near duplicates, which the split keeps in one part."""

    def decode(self, image: str, channels: int) -> NDArray[np.uint8]:
        """Decode one image as the stores have it, but in its own size; see `ova.data.images.decode_image`."""
        return decode_image(
            self.files.read(image),
            channels=channels,
            white_level=self.recipe.white_level,
            draft_side=self.recipe.draft_side,
        )


def open_dataset(
    workspace: Workspace, specs: Sequence[StoreSpec] = (), progress: Progress | None = None
) -> Dataset:
    """Read the labels, look at images that are new, split, and build the pixel stores that are missing.

    Args:
        workspace: Where `data/dataset.toml` lies.
        specs: The forms in which heads read images.
        progress: Told after every image.

    Raises:
        RecipeError: dataset.toml is wrong, or a head's input is larger than its `draft_side`.
        DataError: Labels or images are refused; unreadable images are listed in `runs/intake.csv`.
        EnvironmentFault: The disk is full or read-only.
    """
    recipe = load_recipe(workspace.dataset_recipe, DatasetRecipe)
    _refuse_large(specs, recipe.draft_side)
    root = image_root(workspace, recipe)
    files = open_files(recipe, root)
    table = take_fraction(_read_table(workspace, recipe, root, files), recipe.fraction)
    known = read_facts(workspace.image_facts)
    try:
        facts, stores = prepare_stores(
            files,
            table.images,
            specs,
            workspace.stores,
            known=known,
            decoding=Decoding(recipe.white_level, recipe.draft_side),
            progress=progress,
        )
    except UnreadableImages as error:
        problems = [Problem(image, reason, files.where(image)) for image, reason in error.problems]
        raise _listed(workspace, RefusedData(str(error), problems)) from error
    by_image = {fact.image: fact for fact in facts}
    if by_image != known:
        write_facts(workspace.image_facts, facts)
    pixels = {image: fact.pixels_sha256 for image, fact in by_image.items()}
    if recipe.group is None and not workspace.split_table.exists():
        _tell_copies(table, progress or Silent())
    split = stored_split(workspace, table, pixels, recipe.split)
    return Dataset(recipe, root, files, table, by_image, split, stores)


def locate(workspace: Workspace, root: Path) -> LabelTable:
    """Remember where this machine keeps labels and images, after a look at the label table there.

    Raises:
        DataError: The folder does not exist or its label table is refused.
    """
    recipe = load_recipe(workspace.dataset_recipe, DatasetRecipe)
    if not root.is_dir():
        raise DataError(f"the data folder {root} does not exist")
    table = _read_table(workspace, recipe, root, open_files(recipe, root))
    write_json(workspace.location, {"root": str(root.resolve())})
    return table


def _tell_copies(table: LabelTable, progress: Progress) -> None:
    """Say, before images are divided for the first time, that some are named as copies of others."""
    if copies := copies_pattern(table.images, table.values):
        progress.say(f"{copies.evidence}; to keep each on the side of its source, {copies.advice()}")


def _refuse_large(specs: Sequence[StoreSpec], draft_side: int | None) -> None:
    for spec in specs:
        if draft_side is not None and max(spec.height, spec.width) > draft_side:
            raise RecipeError(
                f"a head reads {spec.height} x {spec.width} pixels, but draft_side in data/dataset.toml"
                f" decodes JPEGs down to {draft_side}; raise draft_side or lower input.size"
            )


def _read_table(workspace: Workspace, recipe: DatasetRecipe, root: Path, files: ImageFiles) -> LabelTable:
    """Read the label table; what is refused, or missing where some may be, is listed in `runs/intake.csv`."""
    try:
        table = read_label_table(recipe, root, files, look=True)
    except RefusedData as error:
        raise _listed(workspace, error) from error
    if table.missing:
        _write_problems(workspace, [Problem(image, "missing, left out", "") for image in table.missing])
    else:
        workspace.intake_problems.unlink(missing_ok=True)  # its problems are solved
    return table


def _listed(workspace: Workspace, error: RefusedData) -> RefusedData:
    _write_problems(workspace, error.problems)
    return RefusedData(f"{error}; all are listed in {workspace.intake_problems}", error.problems)


def _write_problems(workspace: Workspace, problems: Sequence[Problem]) -> None:
    rows = ([neutralise(cell) for cell in problem] for problem in problems)
    write_csv(workspace.intake_problems, Problem._fields, rows)
