"""Near duplicates of a workspace as clusters of image ids, kept until pixels or settings change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ova.data.duplicates.near_duplicates import near_duplicates
from ova.data.files.image_files import ImageFiles
from ova.data.images.facts import Decoding, ImageFacts
from ova.data.images.quality_cache import QUALITY_FORMAT, QualityCache
from ova.data.recipe import DuplicateRule
from ova.digests import digest_json
from ova.errors import ArtefactError
from ova.progress import Progress
from ova.storage import read_json, write_json

# Raised when a change to the search gives other clusters.
_CLUSTER_FORMAT = 1


def duplicate_clusters(
    path: Path,
    cache: QualityCache,
    files: ImageFiles,
    facts: Sequence[ImageFacts],
    rule: DuplicateRule,
    decoding: Decoding,
    progress: Progress | None = None,
) -> list[tuple[str, ...]]:
    """Find the images that are near duplicates, or identical.

    Args:
        path: Where clusters are kept.
        cache: Measures of images.
        files: Where the images lie.
        facts: Images and the digests of their pixels.
        rule: How near is near.
        decoding: How files become pixels.
        progress: Told of images that are decoded.

    Returns:
        Clusters of two or more image ids, sorted within and among each other.
    """
    images = _images_by_pixels(facts)
    digests = sorted(images)
    origin = digest_json([_CLUSTER_FORMAT, QUALITY_FORMAT, rule.model_dump(), digests])
    clusters = _read(path, origin)
    if clusters is None:
        first = {fact.pixels_blake3: fact for fact in facts}
        qualities = cache.measure(files, [first[digest] for digest in digests], decoding, progress)
        clusters = _grouped(digests, near_duplicates(qualities, rule).tolist())
        write_json(path, {"origin": origin, "clusters": clusters})
    together = (sorted(image for digest in cluster for image in images[digest]) for cluster in clusters)
    alone = (sorted(images[digest]) for digest in set(digests) - {d for some in clusters for d in some})
    return sorted(tuple(cluster) for cluster in (*together, *alone) if len(cluster) > 1)


def _images_by_pixels(facts: Sequence[ImageFacts]) -> Mapping[str, list[str]]:
    """Return the images of every digest of pixels."""
    images: dict[str, list[str]] = defaultdict(list)
    for fact in facts:
        images[fact.pixels_blake3].append(fact.image)
    return images


def _grouped(digests: Sequence[str], numbers: Sequence[int]) -> list[list[str]]:
    members: dict[int, list[str]] = defaultdict(list)
    for digest, number in zip(digests, numbers, strict=True):
        members[number].append(digest)
    return [cluster for cluster in members.values() if len(cluster) > 1]


def _read(path: Path, origin: str) -> list[list[str]] | None:
    try:
        record = read_json(path)
        return record["clusters"] if record["origin"] == origin else None
    except (ArtefactError, KeyError, TypeError):
        return None  # it is found again
