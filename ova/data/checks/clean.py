"""Choose the images to leave out and put them on the list that a person may edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ova.data.checks.copy import check_target, write_clean_copy
from ova.data.checks.findings import (
    BLURRED,
    COLOUR,
    CONFLICT,
    ONE_SHADE,
    SMALL,
    Bounds,
    Finding,
    find_conflicts,
    judge_images,
)
from ova.data.checks.survey import MISSING, Survey, survey_data
from ova.data.files.location import image_root
from ova.data.labels.exclusions import EXCLUDED, Exclusion, add_exclusions, read_exclusions
from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.recipe import CleanRule, DatasetRecipe
from ova.data.source import open_source
from ova.errors import ArtefactError, DataError, RecipeError
from ova.progress import Progress
from ova.recipes import check_recipe, load_recipe
from ova.storage import read_json, write_json
from ova.workspace import Workspace


@dataclass(frozen=True, eq=False)
class CleanReport:
    """What `ova data clean` did."""

    added: Sequence[Exclusion]
    """What came onto the list now."""
    listed: int
    """Images that were on it before."""
    brought_back: Sequence[str]
    """Images that a person took off the list; they stay off it."""
    conflicts: Sequence[Finding]
    """Duplicates whose labels contradict each other; they stay unless conflicts = "exclude"."""
    kept: Mapping[str, tuple[int, int]]
    """"images", and each label -> (images or positives that are left, of all without the list)."""
    path: Path
    copy: Path | None

    def reasons(self) -> dict[str, int]:
        """Count what came onto the list by the first words of its reason."""
        counts: dict[str, int] = {}
        for line in self.added:
            kind = line.reason.split(":")[0]
            counts[kind] = counts.get(kind, 0) + 1
        return counts

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {
            "added": [line._asdict() for line in self.added],
            "reasons": self.reasons(),
            "listed_before": self.listed,
            "brought_back": list(self.brought_back),
            "conflicts": {each.image: each.note for each in self.conflicts},
            "kept": {name: {"kept": kept, "of": total} for name, (kept, total) in self.kept.items()},
            "list": str(self.path),
            "copy": None if self.copy is None else str(self.copy),
        }


def clean_data(
    workspace: Workspace,
    settings: Mapping[str, Any] | None = None,
    *,
    again: bool = False,
    copy_to: Path | None = None,
    short_side: int | None = None,
    progress: Progress | None = None,
) -> CleanReport:
    """Append images to `data/exclude.csv`; `ova` leaves out what is listed there, everywhere.

    Left out are images that are missing, unreadable or of one shade, and those that the settings name. Lines
    that are there stay; images that a person took off the list stay off it.

    Args:
        workspace: Where the data lies.
        settings: Fields of `CleanRule` that take the place of those in dataset.toml.
        again: List what a person took off the list as well.
        copy_to: A new or empty folder for a copy of what is left; see `write_clean_copy`.
        short_side: Pixels to which the shorter side of larger images is brought in the copy.
        progress: Told of images that are decoded or copied.

    Raises:
        RecipeError: A setting is wrong, the folder for the copy is not empty or among the images, or there is
            no copy in which to make images smaller.
        DataError: The label table or the list is refused, or nothing would be left.
        EnvironmentFault: The disk is full or read-only.
    """
    if short_side is not None and copy_to is None:
        raise RecipeError(
            "images are made smaller in a copy only; add --copy FOLDER, or leave out --short-side"
        )
    if copy_to is not None:
        check_target(copy_to, image_root(workspace, load_recipe(workspace.dataset_recipe, DatasetRecipe)))
    survey = survey_data(workspace, progress)
    rule = _rule(survey.source.recipe.clean, settings or {})
    conflicts = find_conflicts(survey.table, survey.clusters)
    proposed = _propose(survey, rule, conflicts)
    listed, earlier = read_exclusions(workspace.exclusions), _read_earlier(workspace)
    back = [image for image in proposed if image in earlier and not again]
    added = [line for image, line in proposed.items() if image not in back]
    if len(added) >= len(survey.table.images) + len(survey.source.table.missing):
        raise DataError(f"the settings leave out all {len(added):,} images; lower min_side or sharpness")
    if added:
        add_exclusions(workspace.exclusions, added)
        write_json(workspace.cleaning, {"listed": sorted({*earlier, *(line.image for line in added)})})
    left = open_source(workspace, tolerant=True) if added else survey.source
    if copy_to is not None:
        write_clean_copy(workspace, left, copy_to, progress, short_side=short_side)
    kept = _count_kept(left.table)
    return CleanReport(added, len(listed), back, conflicts, kept, workspace.exclusions, copy_to)


def _rule(declared: CleanRule, settings: Mapping[str, Any]) -> CleanRule:
    content = {**declared.model_dump(exclude_none=True), **settings}
    return check_recipe(content, CleanRule, "ova data clean")


def _propose(survey: Survey, rule: CleanRule, conflicts: Sequence[Finding]) -> dict[str, Exclusion]:
    """Return image -> line, with the first reason that holds."""
    found: dict[str, Exclusion] = {}
    for each in survey.unusable:
        reason = each.kind if each.kind == MISSING else f"{each.kind}: {each.reason}"
        found.setdefault(each.image, Exclusion(each.image, reason))
    bounds = Bounds(rule.min_side or 0, rule.sharpness or 0, rule.colour or "")
    wanted = {ONE_SHADE, SMALL, BLURRED} | ({COLOUR} if rule.colour else set())
    for finding in judge_images(survey.facts, survey.qualities, bounds):
        if finding.finding in wanted:
            line = Exclusion(finding.image, f"{finding.finding}: {finding.note}", finding.measure)
            found.setdefault(finding.image, line)
    if rule.conflicts == "exclude":
        for each in conflicts:
            found.setdefault(each.image, Exclusion(each.image, f"{CONFLICT}: {each.note}"))
    for line in _duplicates(survey, rule, conflicts, found):
        found.setdefault(line.image, line)
    return found


def _duplicates(
    survey: Survey, rule: CleanRule, conflicts: Sequence[Finding], gone: Mapping[str, Exclusion]
) -> Iterator[Exclusion]:
    """Keep of each cluster the image with most labels, then most pixels, then the first by name.

    An image stays too where it has a label that the kept one has not, and where labels conflict.
    """
    if rule.duplicates == "keep":
        return
    facts, disputed = {fact.image: fact for fact in survey.facts}, {each.image for each in conflicts}
    row_of = {image: row for row, image in enumerate(survey.table.images)}
    known = survey.table.values != UNKNOWN

    def rank(image: str) -> tuple[int, int, str]:
        return -int(known[row_of[image]].sum()), -facts[image].height * facts[image].width, image

    for cluster in _comparable(survey, rule):
        if any(image in disputed for image in cluster):
            continue
        best, *others = sorted((image for image in cluster if image not in gone), key=rank) or [""]
        for image in others:
            if np.all(known[row_of[best]] | ~known[row_of[image]]):
                same = facts[image].pixels_blake3 == facts[best].pixels_blake3
                kind = "identical: the same pixels as" if same else "near duplicate: in a cluster with"
                yield Exclusion(image, f"{kind} {best}")


def _comparable(survey: Survey, rule: CleanRule) -> Iterator[Sequence[str]]:
    """Yield clusters of near duplicates, or only those images in them whose pixels are the same."""
    pixels = {fact.image: fact.pixels_blake3 for fact in survey.facts}
    for cluster in survey.clusters:
        if rule.duplicates == "near":
            yield cluster
            continue
        same: dict[str, list[str]] = {}
        for image in cluster:
            same.setdefault(pixels[image], []).append(image)
        yield from same.values()


def _read_earlier(workspace: Workspace) -> frozenset[str]:
    """Read what the command listed so far; a damaged record is an empty one."""
    try:
        return frozenset(read_json(workspace.cleaning)["listed"])
    except (ArtefactError, KeyError, TypeError):
        return frozenset()


def _count_kept(table: LabelTable) -> dict[str, tuple[int, int]]:
    """Count images and positives that are left, of those with the list undone."""
    kept = (table.values == 1).sum(axis=0).tolist()
    taken = table.excluded_positives or (0,) * len(kept)
    excluded = sum(left.count for left in table.left_out if left.reason == EXCLUDED)
    counts = {label: (now, now + out) for label, now, out in zip(table.labels, kept, taken, strict=True)}
    return {"images": (len(table.images), len(table.images) + len(table.missing) + excluded), **counts}
