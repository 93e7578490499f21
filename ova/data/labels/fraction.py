"""A part of the data for quick runs: always the same images, of every label combination its share."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.table import LabelTable, LeftOut
from ova.data.tables.texts import Texts, distinct
from ova.errors import DataError


def take_fraction(table: LabelTable, fraction: float) -> LabelTable:
    """Take a share of the images of every label combination, in whole groups.

    Every group has a fixed place between 0 and 1 within its combination (of several, its rarest), and the
    groups below `fraction` are taken. So 10 % of the data is contained in 20 %, whatever the order of rows
    and columns, and every combination is met to within an image where groups are single images.

    Args:
        table: The labels.
        fraction: Share of the images to keep, above 0 and at most 1.

    Raises:
        DataError: No image is left.
    """
    if fraction >= 1:
        return table
    rows = np.flatnonzero(_places(table) < fraction)
    if not len(rows):
        raise DataError(f"fraction = {fraction} of {len(table.images)} images leaves none; raise it")
    gone = LeftOut(f"fraction = {fraction}", len(table.images) - len(rows), len(table.images))
    return replace(table.subset(rows), left_out=(*table.left_out, gone))


def _places(table: LabelTable) -> NDArray[np.float64]:
    """Return the place of every image's group in its label combination, (n,), from 0 to below 1."""
    first, group_of = distinct(Texts.of(table.groups))
    groups = Texts.of(table.groups).take(first)
    sizes = np.bincount(group_of, minlength=len(first))
    combinations, strata = _strata(table, group_of, len(first))
    members: dict[int, list[int]] = defaultdict(list)
    for group, stratum in enumerate(strata.tolist()):
        members[stratum].append(group)
    places = np.empty(len(first))
    for stratum, chosen in members.items():
        ordered = np.array(sorted(chosen, key=lambda group: hashlib.sha256(groups[group].encode()).digest()))
        before = np.cumsum(sizes[ordered]) - sizes[ordered]
        places[ordered] = (before + _shift(combinations[stratum]) * sizes[ordered]) / sizes[ordered].sum()
    return places[group_of]


def _strata(
    table: LabelTable, group_of: NDArray[np.intp], groups: int
) -> tuple[list[bytes], NDArray[np.intp]]:
    """Find the rarest label combination of every group.

    Returns:
        The combinations, each as its values in the order of the label names; (groups,) positions in them.
    """
    by_name = sorted(range(len(table.labels)), key=lambda column: table.labels[column])
    values = np.ascontiguousarray(table.values[:, by_name])
    rows = values.view(np.dtype((np.void, values.shape[1]))).ravel()
    combinations, of_image, counts = np.unique(rows, return_inverse=True, return_counts=True)
    order = np.lexsort((np.arange(len(counts)), counts))
    rank = np.empty(len(counts), np.intp)
    rank[order] = np.arange(len(counts))
    rarest = np.full(groups, len(counts), np.intp)
    np.minimum.at(rarest, group_of, rank[of_image])
    return [one.tobytes() for one in combinations], order[rarest]


def _shift(combination: bytes) -> float:
    """Draw where the line of a combination begins, so that many rare ones keep their share together."""
    return int.from_bytes(hashlib.sha256(combination).digest()[:6], "big") / 2**48
