"""Split images into training, validation and test without parting what belongs together.

Shape letters: n images, c clusters, p parts, k labels, s signatures (see `ova.data.split.traits`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.table import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split.clusters import Clusters, find_clusters
from ova.data.split.quotas import bound_to, by_share, per_class
from ova.data.split.stratify import place_clusters
from ova.data.split.traits import Traits, find_traits
from ova.errors import DataError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_LOOSE = -1
# Training, validation and test: so many parts share the positives of a scarce label when the test is drawn,
# with folds too, so that the test rows do not depend on them.
_USUAL_PARTS = 3


@dataclass(frozen=True)
class Split:
    """The part of every image: `train`, `validation`, `test`, or `fold-1`, `fold-2`, ... and `test`."""

    part_of: Mapping[str, str]

    @property
    def folds(self) -> tuple[str, ...]:
        """The fold parts, or nothing where there is one validation part."""
        return tuple(sorted({part for part in self.part_of.values() if part.startswith("fold-")}))


@dataclass(frozen=True)
class Kept:
    """What an earlier split decides."""

    part_of: Mapping[str, str]
    """Image -> its part."""
    only_test: bool = False
    """Whether only that an image is a test row, or is none, is kept."""


def make_split(
    table: LabelTable,
    pixels: Mapping[str, str],
    recipe: SplitRecipe,
    together: Sequence[Sequence[str]] = (),
    kept: Kept | None = None,
) -> Split:
    """Split a table, stratified on its labels, their pairs and their combinations.

    The test part is drawn first: it depends neither on the folds nor on the share of validation. Clusters of
    images that an earlier split knows stay where they were; where such images were apart and belong together
    now, `joined_part` says where they go.

    Args:
        table: Images, labels and groups.
        pixels: Image -> digest of its pixels; equal digests stay in one part.
        recipe: Seed, shares and promises.
        together: More image ids that must not be parted, such as near duplicates.
        kept: An earlier split, if there is one.

    Returns:
        The part of every image, a pure function of the content, whatever the order of rows or columns.

    Raises:
        DataError: There are fewer clusters than parts.
    """
    shares = rest_shares(recipe)
    clusters = find_clusters(table, pixels, together)
    if len(clusters.names) <= len(shares):
        found = f"{len(clusters.names)} groups of images cannot fill {len(shares) + 1} parts"
        raise DataError(f"{found}; add images or groups")
    images = [table.images[row] for row in clusters.rows.tolist()]
    by_name = sorted(range(len(table.labels)), key=table.labels.__getitem__)
    traits = find_traits(clusters, table.values[clusters.rows][:, by_name])
    rank = _rank(clusters.names, recipe.seed)
    before = _parts_before(clusters, images, kept or Kept({}))
    tested = _draw_test(traits, rank, before, recipe)
    if kept is not None and kept.only_test:
        before = [None] * len(before)
    rest = _divide_rest(traits, rank, np.flatnonzero(~tested), before, recipe)
    parts = np.array([TEST, *shares], object)
    numbers = np.zeros(len(tested), np.intp)
    numbers[~tested] = 1 + rest
    return Split(dict(zip(images, parts[numbers[clusters.of_image]].tolist(), strict=True)))


def rest_shares(recipe: SplitRecipe) -> dict[str, float]:
    """Return the parts other than the test and their shares of the images outside it, adding up to 1."""
    if recipe.folds is not None:
        return {f"fold-{number}": 1 / recipe.folds for number in range(1, recipe.folds + 1)}
    assert recipe.validation is not None  # noqa: S101 (filled by the recipe)
    share = recipe.validation / (1 - (recipe.test or 0))
    return {TRAIN: 1 - share, VALIDATION: share}


def joined_part(parts: Sequence[str]) -> str:
    """Return where images go that were in these parts and must be in one now.

    An image that was learnt from never becomes a test row: training wins, then the fold or validation part
    that most of them are in, and only images that were all test rows remain test rows.
    """
    counts = Counter(parts)
    if TRAIN in counts:
        return TRAIN
    others = sorted(part for part in counts if part != TEST)
    return max(others, key=counts.__getitem__) if others else TEST


def _draw_test(
    traits: Traits, rank: NDArray[np.intp], before: Sequence[str | None], recipe: SplitRecipe
) -> NDArray[np.bool_]:
    """Say which clusters are the test part, (c,)."""
    pinned = np.array([_LOOSE if part is None else int(part == TEST) for part in before], np.intp)
    if recipe.test is None:
        assert recipe.test_per_class is not None  # noqa: S101 (checked by the recipe)
        traits, quotas = per_class(traits, recipe.test_per_class)
        return place_clusters(traits, rank, pinned, quotas) == 1
    aim = np.minimum(recipe.min_positives, traits.totals[traits.per_label] // _USUAL_PARTS)
    minimums = np.stack([(_USUAL_PARTS - 1) * aim, aim], axis=1)
    quotas = by_share(traits, np.array([1 - recipe.test, recipe.test]), minimums)
    return place_clusters(traits, rank, pinned, quotas) == 1


def _divide_rest(
    traits: Traits,
    rank: NDArray[np.intp],
    rest: NDArray[np.intp],
    before: Sequence[str | None],
    recipe: SplitRecipe,
) -> NDArray[np.intp]:
    """Number the parts of the clusters outside the test."""
    names = rest_shares(recipe)
    number_of = {name: number for number, name in enumerate(names)}
    pinned = np.array([number_of.get(before[cluster] or "", _LOOSE) for cluster in rest.tolist()], np.intp)
    shares = np.array(list(names.values()))
    left = traits.subset(rest)
    aim = np.minimum(recipe.min_positives, left.totals[left.per_label] // len(shares))
    quotas = by_share(left, shares, np.repeat(aim[:, None], len(shares), axis=1))
    if recipe.test is not None:
        quotas = bound_to(quotas, np.outer(traits.per_signature, shares * (1 - recipe.test)))
    return place_clusters(left, rank[rest], pinned, quotas)


def _parts_before(clusters: Clusters, images: Sequence[str], kept: Kept) -> list[str | None]:
    """Return the part that an earlier split gives to each cluster, or None for new ones."""
    found: list[list[str]] = [[] for _ in clusters.names]
    if kept.part_of:
        for image, cluster in zip(images, clusters.of_image.tolist(), strict=True):
            if (part := kept.part_of.get(image)) is not None:
                found[cluster].append(part)
    return [joined_part(parts) if parts else None for parts in found]


def _rank(names: Sequence[str], seed: int) -> NDArray[np.intp]:
    """Order clusters by a hash of (seed, name): as good as random, and never that of the table, (c,)."""
    digests = [hashlib.sha256(f"{seed}:{name}".encode()).digest() for name in names]
    rank = np.empty(len(names), np.intp)
    rank[sorted(range(len(names)), key=digests.__getitem__)] = np.arange(len(names))
    return rank
