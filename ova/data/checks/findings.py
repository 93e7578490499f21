"""What is wrong, or worth a look, in the images of a survey: a line per image and finding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.checks.survey import MISSING, UNREADABLE, Survey
from ova.data.duplicates.near_duplicates import FLAT
from ova.data.images.facts import ImageFacts
from ova.data.images.quality import Qualities
from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.recipe import CleanRule

SMALL, ONE_SHADE, BLURRED = "too small", "one shade", "blurred"
BLACK, WHITE, COLOUR = "mostly black", "mostly white", "unusual colour"
IDENTICAL, NEAR, CONFLICT, PARTED = "identical", "near duplicate", "labels conflict", "in several parts"
FINDING_KINDS = (
    MISSING,
    UNREADABLE,
    SMALL,
    ONE_SHADE,
    BLURRED,
    BLACK,
    WHITE,
    COLOUR,
    IDENTICAL,
    NEAR,
    CONFLICT,
    PARTED,
)

_SMALL_SHARE, _SHARPNESS_SHARE = 1 / 4, 1 / 5
_ALL_BUT = 0.99
GREY_CHROMA = 8


class Finding(NamedTuple):
    """One thing about one image."""

    image: str
    finding: str
    """One of `FINDING_KINDS`."""
    measure: str
    note: str
    other: str = ""
    """The image that it is compared with, if there is one."""


class Bounds(NamedTuple):
    """Where too small, blurred and unusual begin: as set, or else by what is usual among the images."""

    min_side: float
    sharpness: float
    colour: str
    """The form that images should have: colour or grey."""


def usual_bounds(rule: CleanRule, facts: Sequence[ImageFacts], qualities: Qualities) -> Bounds:
    """Take the bounds that are set; for the others ask the images themselves.

    A quarter of the median shorter side, a fifth of the median sharpness, and the form of most images.
    """
    sides = [min(fact.height, fact.width) for fact in facts]
    textured = qualities.sharpness[qualities.spread >= FLAT]
    usual = "grey" if 2 * np.sum(qualities.chroma <= GREY_CHROMA) > len(facts) else "colour"
    side = _SMALL_SHARE * float(np.median(sides)) if sides else 0.0
    sharpness = _SHARPNESS_SHARE * float(np.median(textured)) if len(textured) else 0.0
    return Bounds(rule.min_side or side, rule.sharpness or sharpness, rule.colour or usual)


def find_all(survey: Survey, part_of: Mapping[str, str] | None) -> list[Finding]:
    """List everything, by kind in the order of `FINDING_KINDS`, then by image.

    Args:
        survey: What is there.
        part_of: Image -> its part of the split; None where there is no split.
    """
    bounds = usual_bounds(survey.source.recipe.clean, survey.facts, survey.qualities)
    found = [Finding(each.image, each.kind, "", each.reason) for each in survey.unusable]
    found += judge_images(survey.facts, survey.qualities, bounds)
    found += _find_duplicates(survey)
    found += find_conflicts(survey.table, survey.clusters)
    found += _find_parted(survey.clusters, part_of or {})
    return sorted(found, key=lambda finding: (FINDING_KINDS.index(finding.finding), finding.image))


def judge_images(facts: Sequence[ImageFacts], qualities: Qualities, bounds: Bounds) -> Iterator[Finding]:
    """Hold the measures of sound images against bounds."""
    grey = qualities.chroma <= GREY_CHROMA
    for row, fact in enumerate(facts):
        spread, sharpness = float(qualities.spread[row]), float(qualities.sharpness[row])
        if min(fact.height, fact.width) < bounds.min_side:
            note = f"shorter side below {bounds.min_side:.0f} pixels"
            yield Finding(fact.image, SMALL, f"{fact.height} x {fact.width}", note)
        if spread < FLAT:
            yield Finding(fact.image, ONE_SHADE, f"{spread:.2f}", f"luma spread below {FLAT:.0f}")
            continue
        if sharpness < bounds.sharpness:
            note = f"sharpness below {bounds.sharpness:.4g}"
            yield Finding(fact.image, BLURRED, f"{sharpness:.4g}", note)
        for kind, share in ((BLACK, qualities.black[row]), (WHITE, qualities.white[row])):
            if share > _ALL_BUT:
                yield Finding(fact.image, kind, f"{share:.1%}", f"more than {_ALL_BUT:.0%} of the pixels")
        if grey[row] != (bounds.colour == "grey"):
            form = "grey" if grey[row] else "colour"
            yield Finding(fact.image, COLOUR, form, f"{form}, where {bounds.colour} is wanted or usual")


def find_conflicts(table: LabelTable, clusters: Sequence[Sequence[str]]) -> list[Finding]:
    """Find duplicates of which one has a label and another has not; a finding per image."""
    return [
        finding
        for cluster, values in _labelled(table, clusters)
        for finding in _dispute(table, cluster, values)
    ]


def _dispute(table: LabelTable, cluster: Sequence[str], values: NDArray[np.int8]) -> Iterator[Finding]:
    notes: dict[int, list[str]] = defaultdict(list)
    others: dict[int, str] = {}
    for column in np.flatnonzero(_disputed(values)).tolist():
        cells = values[:, column]
        holder = {value: cluster[int(np.argmax(cells == value))] for value in (0, 1)}
        for place in np.flatnonzero(cells != UNKNOWN).tolist():
            own, other = int(cells[place]), holder[1 - int(cells[place])]
            notes[place].append(f"{table.labels[column]} is {own} here and {1 - own} in {other}")
            others.setdefault(place, other)
    for place in sorted(notes):
        yield Finding(cluster[place], CONFLICT, "", "; ".join(notes[place]), others[place])


def conflicts_by_label(table: LabelTable, clusters: Sequence[Sequence[str]]) -> dict[str, int]:
    """Count for each label the clusters that dispute it; labels without any are left out."""
    counts = sum(
        (_disputed(values) for _, values in _labelled(table, clusters)), np.zeros(len(table.labels), int)
    )
    return {label: int(count) for label, count in zip(table.labels, counts, strict=True) if count}


def _labelled(
    table: LabelTable, clusters: Sequence[Sequence[str]]
) -> Iterator[tuple[Sequence[str], NDArray[np.int8]]]:
    row_of = {image: row for row, image in enumerate(table.images)} if clusters else {}
    for cluster in clusters:
        yield cluster, table.values[[row_of[image] for image in cluster]]


def _disputed(values: NDArray[np.int8]) -> NDArray[np.bool_]:
    return (values == 1).any(axis=0) & (values == 0).any(axis=0)


def _find_duplicates(survey: Survey) -> Iterator[Finding]:
    pixels = {fact.image: fact.pixels_blake3 for fact in survey.facts}
    for cluster in survey.clusters:
        same: dict[str, list[str]] = defaultdict(list)
        for image in cluster:
            same[pixels[image]].append(image)
        for image, other in _unlike(cluster, pixels):
            yield Finding(image, NEAR, str(len(cluster)), f"in a cluster with {other}", other)
        for images in same.values():
            for image in images if len(images) > 1 else ():
                other = images[0] if image != images[0] else images[1]
                yield Finding(image, IDENTICAL, str(len(images)), f"the same pixels as {other}", other)


def _find_parted(clusters: Sequence[Sequence[str]], part_of: Mapping[str, str]) -> Iterator[Finding]:
    for cluster in clusters if part_of else ():
        for image, other in _unlike(cluster, part_of):
            note = f"{part_of[image]} here, {part_of[other]} for {other}"
            yield Finding(image, PARTED, str(len(cluster)), note, other)


def _unlike(cluster: Sequence[str], key_of: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pair each image with the first one of another key, if there is one."""
    first = cluster[0]
    second = next((image for image in cluster if key_of[image] != key_of[first]), None)
    for image in cluster if second is not None else ():
        yield image, first if key_of[image] != key_of[first] else str(second)
