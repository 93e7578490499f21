"""One look at everything in use: labels, files, pixels and their measures, whatever is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ova.data.duplicates.cache import duplicate_clusters
from ova.data.images.facts import ImageFacts, read_facts, unchanged
from ova.data.images.intake import UnreadableImages, examine_images
from ova.data.images.quality import Qualities
from ova.data.images.quality_cache import QualityCache
from ova.data.labels.table import LabelTable
from ova.data.problems import Problem, RefusedData
from ova.data.recipe import DuplicateRule
from ova.data.source import Source, open_source, refused, remember_facts
from ova.errors import first_few
from ova.progress import Progress
from ova.workspace import Workspace

MISSING, UNREADABLE = "missing", "unreadable"


@dataclass(frozen=True)
class Unusable:
    """An image that is not there or cannot be decoded."""

    image: str
    kind: str
    """`MISSING` or `UNREADABLE`."""
    reason: str
    """Why, without the path."""
    where: str
    """The file, or table and line."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What a workspace holds, without the images that its list of exclusions takes.

    Attributes:
        source: Recipe, files and labels; images that are missing are not in its table.
        unusable: Images that are missing or cannot be decoded.
        facts: Of the n sound images, in the order of the table.
        qualities: Their measures, a row for each.
        clusters: Images that are near duplicates or identical, as sorted ids.
    """

    source: Source
    unusable: tuple[Unusable, ...]
    facts: Sequence[ImageFacts]
    qualities: Qualities
    clusters: Sequence[tuple[str, ...]]

    @property
    def table(self) -> LabelTable:
        """The labels in use."""
        return self.source.table

    def refusal(self, workspace: Workspace) -> RefusedData | None:
        """List what training would refuse in `runs/intake.csv`, and return the error with which it would."""
        where, told = self.source.files.where, []
        if self.source.missing:
            told.append(self.source.missing.summary)
        if bad := [each for each in self.unusable if each.kind == UNREADABLE]:
            named = first_few([f"{where(each.image)}: {each.reason}" for each in bad], 3)
            told.append(f"{len(bad)} of {len(self.table.images)} images cannot be used: {named}")
        if not told:
            return None
        problems = [Problem(each.image, each.reason, each.where) for each in self.unusable]
        return refused(workspace, f"{'; '.join(told)}; ova data clean leaves them out", problems)


def survey_data(workspace: Workspace, progress: Progress | None = None) -> Survey:
    """Read the labels, decode every image that is new or has changed, measure it, and find near duplicates.

    Raises:
        RecipeError: dataset.toml is wrong.
        DataError: The labels or the list of exclusions are refused; images never are.
        EnvironmentFault: The disk is full or read-only.
    """
    source = open_source(workspace, tolerant=True)
    cache = QualityCache(workspace.quality)
    known = read_facts(workspace.image_facts)
    found, problems = _examine(source, cache, known, progress)
    facts = [found[image] for image in source.table.images if image in found]
    remember_facts(workspace, source, known, facts)
    qualities = cache.measure(source.files, facts, source.decoding, progress)
    rule = source.recipe.duplicates or DuplicateRule()
    clusters = duplicate_clusters(
        workspace.duplicates, cache, source.files, facts, rule, source.decoding, progress
    )
    unusable = (*_missing(source), *_unreadable(source, problems))
    return Survey(source, unusable, facts, qualities, clusters)


def _examine(
    source: Source, cache: QualityCache, known: dict[str, ImageFacts], progress: Progress | None
) -> tuple[Mapping[str, ImageFacts], list[tuple[str, str]]]:
    """Decode images that are new or have changed; return facts of sound ones, problems of others."""
    found: dict[str, ImageFacts] = {}
    for image in source.table.images:
        fact = unchanged(source.files, image, known, source.decoding)
        if fact is not None:
            found[image] = fact
    left = [image for image in source.table.images if image not in found]
    problems: list[tuple[str, str]] = []
    try:
        pixel_measures = [cache.pixel_measure]
        examined = examine_images(
            source.files, left, decoding=source.decoding, pixel_measures=pixel_measures, progress=progress
        )
    except UnreadableImages as error:
        examined, problems = error.examined, error.problems
    cache.add(examined.facts, examined.seen[0])
    found |= {fact.image: fact for fact in examined.facts}
    return found, problems


def _missing(source: Source) -> Iterator[Unusable]:
    if source.missing:
        for problem in source.missing.problems:
            yield Unusable(problem.image, MISSING, problem.problem, problem.where)
        return
    for image in source.table.missing:
        yield Unusable(image, MISSING, "missing, left out", source.files.where(image))


def _unreadable(source: Source, problems: Sequence[tuple[str, str]]) -> Iterator[Unusable]:
    for image, reason in problems:
        where = source.files.where(image)
        yield Unusable(image, UNREADABLE, reason.removeprefix(f"{where}: "), where)
