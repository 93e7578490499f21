"""Split images into training, validation and test without parting a group or identical pixels."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from ova.data.labels import LabelTable
from ova.data.recipe import DEFAULT_VALIDATION, SplitRecipe
from ova.digests import digest_json
from ova.errors import ArtefactError, DataError
from ova.storage import read_csv, read_json, write_csv, write_json
from ova.workspace import Workspace

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Split:
    """The part of every image: `train`, `validation`, `test`, or `fold-1`, `fold-2`, ... and `test`."""

    part_of: Mapping[str, str]

    @property
    def folds(self) -> tuple[str, ...]:
        """The fold parts, or nothing where there is one validation part."""
        return tuple(sorted({part for part in self.part_of.values() if part.startswith("fold-")}))


def make_split(table: LabelTable, pixels: Mapping[str, str], recipe: SplitRecipe) -> Split:
    """Split a table, stratified on the combination of its labels.

    Args:
        table: Images, labels and groups.
        pixels: Image -> digest of its pixels; equal digests stay on one side.
        recipe: Seed and shares.

    Returns:
        The part of every image, a pure function of the content, whatever the order of rows or columns.
    """
    cluster_of = _clusters(table, pixels)
    strata: dict[str, list[Hashable]] = defaultdict(list)
    by_name = sorted(range(len(table.labels)), key=lambda column: table.labels[column])
    for row, image in enumerate(table.images):
        strata[cluster_of[image]].append(tuple(table.values[row, by_name].tolist()))
    shares = part_shares(recipe)
    if len(strata) < len(shares):
        raise DataError(
            f"{len(strata)} groups of images cannot fill {len(shares)} parts; add images or groups"
        )
    assigned = _assign_parts(strata, recipe)
    return Split({image: assigned[cluster_of[image]] for image in table.images})


def _assign_parts(strata: Mapping[str, Sequence[Hashable]], recipe: SplitRecipe) -> dict[str, str]:
    """Draw the test part as for one validation part; with folds, divide all the rest among them.

    So a change from validation to folds keeps the test rows, and what was learnt on the others stays clean.
    """
    if recipe.folds is None:
        return assign_groups(strata, part_shares(recipe), recipe.seed)
    held_out = min(DEFAULT_VALIDATION, (1 - recipe.test) / 2)
    one_part = {TRAIN: 1 - recipe.test - held_out, VALIDATION: held_out, TEST: recipe.test}
    assigned = assign_groups(strata, one_part, recipe.seed)
    rest = {group: strata[group] for group, part in assigned.items() if part != TEST}
    folds = {f"fold-{number}": 1 / recipe.folds for number in range(1, recipe.folds + 1)}
    return assigned | assign_groups(rest, folds, recipe.seed)


def part_shares(recipe: SplitRecipe) -> dict[str, float]:
    """Return the share of the images that each part gets, adding up to 1."""
    if recipe.folds is not None:
        each = (1 - recipe.test) / recipe.folds
        return {TEST: recipe.test, **{f"fold-{number}": each for number in range(1, recipe.folds + 1)}}
    validation = DEFAULT_VALIDATION if recipe.validation is None else recipe.validation
    return {TRAIN: 1 - recipe.test - validation, VALIDATION: validation, TEST: recipe.test}


def assign_groups(
    strata: Mapping[str, Sequence[Hashable]], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """Assign whole groups to parts so that every stratum keeps its share in every part.

    Groups are placed stratum by stratum, rare strata and large groups first, each into the part that
    lacks most of its rarest stratum. Where that is less than an image, a part that other strata left a whole
    image short goes first: otherwise the only image of a combination would always be trained on, and a table
    of many rare combinations would leave nothing to test. Among equals the order is a hash of (seed, group
    name), never the order of the table.

    Args:
        strata: Group name -> the stratum (label combination) of each of its images.
        shares: Part name -> share of the images, adding up to 1.
        seed: Any integer; another seed gives another split.

    Returns:
        Group name -> part name.
    """
    wanted: dict[Hashable, int] = defaultdict(int)
    for members in strata.values():
        for stratum in members:
            wanted[stratum] += 1
    everything = sum(wanted.values())
    placed: dict[tuple[str, Hashable], int] = defaultdict(int)
    totals: dict[str, int] = defaultdict(int)

    def rarest(group: str) -> Hashable:
        return min(strata[group], key=lambda stratum: (wanted[stratum], str(stratum)))

    def order(group: str) -> tuple[int, str, int, str]:
        scarce, digest = rarest(group), hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()
        return wanted[scarce], str(scarce), -len(strata[group]), digest

    def need(part: str, stratum: Hashable) -> tuple[int, float, float]:
        """How much a part needs an image of a stratum: the greatest tuple first."""
        share, own = shares[part], placed[part, stratum]
        lack, overall = share * wanted[stratum] - own, share * everything - totals[part]
        if lack > 1 - _ROUNDING:
            return 2, lack, overall
        others = sum(totals.values()) - sum(placed[each, stratum] for each in shares)
        debt = math.trunc(share * others - (totals[part] - own))
        return int(lack > _ROUNDING), lack + debt, overall

    assignment: dict[str, str] = {}
    for group in sorted(strata, key=order):
        scarce = rarest(group)
        part = max(shares, key=lambda candidate: need(candidate, scarce))
        assignment[group] = part
        totals[part] += len(strata[group])
        for member in strata[group]:
            placed[part, member] += 1
    return assignment


def stored_split(
    workspace: Workspace, table: LabelTable, pixels: Mapping[str, str], recipe: SplitRecipe
) -> Split:
    """Return the split of a workspace, made once and reused until the data it was made from changes.

    A label column that is added later changes nothing: the split stays that of the labels it was stratified
    on, so that heads which are already trained stay what they are.

    Raises:
        ArtefactError: The split on disk was edited or damaged.
    """
    stored = _read_split(workspace)
    if stored is not None:
        labels, origin, split = stored
        known = [label for label in labels if label in table.labels]
        if len(known) == len(labels) and origin == _origin(table, labels, pixels, recipe):
            return split
    split = make_split(table, pixels, recipe)
    rows = [(image, split.part_of[image]) for image in sorted(table.images)]
    labels = sorted(table.labels)
    origin = _origin(table, labels, pixels, recipe)
    workspace.split_origin.unlink(missing_ok=True)  # a crash between the two leaves no pair that disagrees
    write_csv(workspace.split_table, ("image", "part"), rows)
    record = {"labels": labels, "origin": origin, "table": digest_json(rows)}
    write_json(workspace.split_origin, record)
    return split


def _read_split(workspace: Workspace) -> tuple[list[str], str, Split] | None:
    if not workspace.split_origin.exists():
        return None
    origin = read_json(workspace.split_origin)
    rows = [(row.get("image", ""), row.get("part", "")) for row in read_csv(workspace.split_table)]
    complete = isinstance(origin, dict) and {"labels", "origin", "table"} <= origin.keys()
    if not complete or digest_json(rows) != origin["table"]:
        raise ArtefactError(
            f"{workspace.split_table} no longer matches {workspace.split_origin.name}; "
            "remove both to split again (heads trained on the old split are then trained anew)"
        )
    return origin["labels"], origin["origin"], Split(dict(rows))


def _origin(table: LabelTable, labels: Sequence[str], pixels: Mapping[str, str], recipe: SplitRecipe) -> str:
    """Digest what a split depends on, by name, in sorted order."""
    columns = [table.column(label).tolist() for label in labels]
    rows = sorted(
        [image, table.groups[row], pixels[image], *(column[row] for column in columns)]
        for row, image in enumerate(table.images)
    )
    return digest_json([recipe.model_dump(mode="json"), list(labels), rows])


def _clusters(table: LabelTable, pixels: Mapping[str, str]) -> dict[str, str]:
    """Join images that share a group or their pixels; a cluster is named by its first image."""
    parent = {image: image for image in table.images}

    def root(image: str) -> str:
        while parent[image] != image:
            parent[image] = parent[parent[image]]
            image = parent[image]
        return image

    first_with: dict[tuple[str, str], str] = {}
    for row, image in enumerate(table.images):
        for key in (("group", table.groups[row]), ("pixels", pixels[image])):
            one, other = sorted((root(first_with.setdefault(key, image)), root(image)))
            parent[other] = one
    return {image: root(image) for image in table.images}
