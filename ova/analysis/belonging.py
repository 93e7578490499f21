"""Which images belong together: estimates must not part them either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ova.data.clusters import find_clusters
from ova.data.dataset import open_dataset
from ova.errors import OvaError
from ova.progress import Progress
from ova.workspace import Workspace


def read_belonging(workspace: Workspace, progress: Progress) -> dict[str, str]:
    """Return image -> the first image of its cluster: of its group, its pixels or its near duplicates.

    Where labels or images cannot be read any more, that is told, and the answer is empty: scores of a run
    can be analysed without its images.
    """
    try:
        dataset = open_dataset(workspace, progress=progress)
    except OvaError as error:
        progress.say(f"which images belong together is not known, each is taken to stand alone: {error}")
        return {}
    pixels = {image: facts.pixels_blake3 for image, facts in dataset.facts.items()}
    clusters = find_clusters(dataset.table, pixels, dataset.together)
    of_row = zip(clusters.rows.tolist(), clusters.of_image.tolist(), strict=True)
    return {dataset.table.images[row]: clusters.names[cluster] for row, cluster in of_row}


def groups_of(images: Sequence[str], belonging: Mapping[str, str]) -> tuple[str, ...]:
    """Return the cluster of each image, which is the image itself where none is known."""
    return tuple(belonging.get(image, image) for image in images)
