"""A workspace's data as one value: labels, sound images, the split, and pixels at the sizes heads read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.duplicates.augmented import copies_pattern
from ova.data.duplicates.cache import duplicate_clusters
from ova.data.files.image_files import ImageFiles
from ova.data.images.crop import WHOLE
from ova.data.images.facts import ImageFacts, read_facts
from ova.data.images.intake import UnreadableImages
from ova.data.images.originals import Pictures
from ova.data.images.quality_cache import QualityCache
from ova.data.images.store import PixelStore, StoreSpec, prepare_stores
from ova.data.labels.exclusions import EXCLUDED
from ova.data.labels.table import LabelTable
from ova.data.problems import Problem
from ova.data.recipe import DatasetRecipe
from ova.data.source import Source, open_source, refused, remember_facts
from ova.data.split.clusters import find_clusters
from ova.data.split.split import Split
from ova.data.split.stored import stored_split
from ova.errors import RecipeError
from ova.progress import Progress, Silent
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

    def belonging(self) -> dict[str, str]:
        """Return image -> the first image of what the split keeps together with it."""
        pixels = {image: facts.pixels_blake3 for image, facts in self.facts.items()}
        clusters = find_clusters(self.table, pixels, self.together)
        of_row = zip(clusters.rows.tolist(), clusters.of_image.tolist(), strict=True)
        return {self.table.images[row]: clusters.names[cluster] for row, cluster in of_row}

    def decode(self, image: str, channels: int) -> NDArray[np.uint8]:
        """Decode one image as the stores have it, but in its own size; see `Pictures.decode`."""
        return Pictures(self.recipe, self.files).decode(image, channels)


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

    Example:
        `workspace` has 72 images, and a label table with the columns spot and bar:

        >>> import ova
        >>> dataset = ova.open_dataset(workspace)
        >>> dataset.table.labels, len(dataset.table.images)
        (('spot', 'bar'), 72)
        >>> sorted(set(dataset.split.part_of.values()))
        ['test', 'train', 'validation']
    """
    source = open_source(workspace)
    recipe, files, table = source.recipe, source.files, source.table
    _refuse_large(specs, recipe.draft_side)
    _tell_exclusions(table, progress)
    known = read_facts(workspace.image_facts)
    cache = QualityCache(workspace.quality) if recipe.duplicates else None
    try:
        facts, stores = prepare_stores(
            files,
            table.images,
            specs,
            workspace.stores,
            known=known,
            decoding=source.decoding,
            measure_store=cache,
            progress=progress,
        )
    except UnreadableImages as error:
        problems = [Problem(image, reason, files.where(image)) for image, reason in error.problems]
        raise refused(workspace, f"{error}; ova data clean leaves them out", problems) from error
    remember_facts(workspace, source, known, facts)
    together = _together(workspace, source, cache, facts, progress)
    if recipe.group is None and not workspace.split_table.exists():
        _tell_copies(table, progress or Silent())
    pixels = {fact.image: fact.pixels_blake3 for fact in facts}
    split = stored_split(workspace, table, pixels, recipe.split, together)
    by_image = {fact.image: fact for fact in facts}
    return Dataset(recipe, source.root, files, table, by_image, split, stores, together)


def _together(
    workspace: Workspace,
    source: Source,
    cache: QualityCache | None,
    facts: Sequence[ImageFacts],
    progress: Progress | None,
) -> Sequence[Sequence[str]]:
    """Find near duplicates, where the recipe asks for them."""
    rule = source.recipe.duplicates
    if cache is None or rule is None:
        return ()
    return duplicate_clusters(
        workspace.duplicates, cache, source.files, facts, rule, source.decoding, progress
    )


def _tell_copies(table: LabelTable, progress: Progress) -> None:
    """Say, before images are divided for the first time, that some are named as copies of others."""
    if copies := copies_pattern(table.images, table.values):
        progress.say(f"{copies.evidence}; to keep each on the side of its source, {copies.advice()}")


def _refuse_large(specs: Sequence[StoreSpec], draft_side: int | None) -> None:
    for spec in specs:
        if draft_side is not None and max(spec.height, spec.width) * WHOLE > draft_side * spec.crop:
            part = "" if spec.crop == WHOLE else f" of {spec.crop / WHOLE:g} of the sides"
            raise RecipeError(
                f"a head reads {spec.height} x {spec.width} pixels{part}, but draft_side in data/dataset.toml"
                f" decodes JPEGs down to {draft_side}; raise draft_side or lower input.size"
            )


def _tell_exclusions(table: LabelTable, progress: Progress | None) -> None:
    """Say what a person's list leaves out, because it decides what is trained on."""
    told = [f"left out {left.line()}" for left in table.left_out if left.reason == EXCLUDED]
    for line in [*told, *table.stranger_lines()]:
        (progress or Silent()).say(line)
