"""`ova data stats`: everything that is counted and measured, and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.analysis.statistics.balance import balance_heads
from ova.analysis.statistics.files import write_statistics
from ova.analysis.statistics.labels import count_labels
from ova.analysis.statistics.pairs import choose_pairs, images_to_compare, trained_answers
from ova.analysis.statistics.parts import Parts, count_by_part
from ova.analysis.statistics.pixels import drawn_order, measure_pixels
from ova.analysis.statistics.row_check import check_rows
from ova.analysis.statistics.sizes import Sizes, measure_sizes
from ova.analysis.statistics.values import DataCounts, Statistics
from ova.data.dataset import Dataset, open_dataset
from ova.data.images.store import StoreSpec
from ova.data.labels.table import LabelTable
from ova.progress import Progress, Silent
from ova.workspace import Workspace

_SAMPLE = 2000
"""Training images that are decoded, unless another number is asked for."""


@dataclass(frozen=True, eq=False)
class StatisticsReport:
    """Statistics, and the files that were written of them."""

    statistics: Statistics
    files: tuple[Path, ...]


def describe_data(
    workspace: Workspace, *, sample: int = _SAMPLE, progress: Progress | None = None
) -> StatisticsReport:
    """Count and measure the data of a workspace, and write `runs/statistics/`.

    Args:
        workspace: Where the data and the recipes of heads lie.
        sample: Training images to decode for brightness and colour; fewer if there are not so many.
        progress: Told after every image.

    Raises:
        RecipeError: dataset.toml is wrong. (A head whose recipe is wrong gets a note.)
        DataError: Labels or images are refused.
        EnvironmentFault: The disk refuses.
    """
    progress = progress or Silent()
    dataset = open_dataset(workspace, progress=progress)
    statistics = _measure(workspace, dataset, sample=sample, progress=progress)
    return StatisticsReport(statistics, write_statistics(workspace.statistics, dataset, statistics))


def _measure(workspace: Workspace, dataset: Dataset, *, sample: int, progress: Progress) -> Statistics:
    """Count and measure opened data; see `describe_data`."""
    table = dataset.table
    split = Parts.of(table.images, dataset.split.part_of)
    counts = _count(workspace, dataset, split)
    training = _training_rows(table, split)
    labels = [each.label for each in counts.labels.labels]
    drawn = images_to_compare(table, training, labels)
    pixels = measure_pixels(
        dataset,
        [table.images[row] for row in training],
        sample=sample,
        forms=_forms(counts),
        thumbnails=[image for images in drawn.values() for image in images],
        progress=progress,
    )
    answers = trained_answers(workspace, progress)
    pairs = choose_pairs(table, training, answers=answers, drawn=drawn, thumbnails=pixels.thumbnails)
    return Statistics(counts, pixels, pairs)


def _count(workspace: Workspace, dataset: Dataset, split: Parts) -> DataCounts:
    """Count labels, parts and sizes, and plan the balance of the heads; no image is decoded."""
    table = dataset.table
    labels = count_labels(table, most=100)
    sizes = Sizes.of(table.images, dataset.facts)
    return DataCounts(
        rows=check_rows(dataset),
        labels=labels,
        parts=count_by_part(table, split, [each.label for each in labels.labels]),
        sizes=measure_sizes(sizes, split.outside_test()),
        heads=balance_heads(workspace, table, sizes, split),
    )


def _training_rows(table: LabelTable, split: Parts) -> NDArray[np.intp]:
    """Return the rows of the training part, or of all folds, in drawn order."""
    learnt = np.flatnonzero(np.any(list(split.training().values()), axis=0))
    return learnt[drawn_order([table.images[row] for row in learnt.tolist()])]


def _forms(counts: DataCounts) -> Sequence[StoreSpec]:
    """Return the form that is suggested, and what every head reads, each once."""
    suggestion = counts.sizes.suggestion
    suggested = StoreSpec(suggestion.height, suggestion.width, 3)
    return list(dict.fromkeys([suggested, *(head.form for head in counts.heads if head.form is not None)]))
