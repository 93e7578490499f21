"""Trained baselines of heads: the rows of their runs, as small grey images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ova.analysis.measures.classical import KINDS, SIDE, Pixels, classical_baseline
from ova.analysis.measures.values import Baseline
from ova.analysis.tested import Tested
from ova.data.dataset import Dataset, open_dataset
from ova.data.splits import TRAIN, VALIDATION
from ova.data.store import StoreSpec
from ova.errors import DataError, first_few
from ova.progress import Progress
from ova.storage import read_csv
from ova.workspace import Workspace

_SPEC = StoreSpec(SIDE, SIDE, 1)


def trained_baselines(
    workspace: Workspace, tested: Sequence[Tested], progress: Progress
) -> dict[str, tuple[Baseline, ...]]:
    """Train, threshold and judge classical models on the rows of each head's run.

    Args:
        workspace: Where labels and images are named.
        tested: The heads.
        progress: Told after every model.

    Returns:
        Name of a head -> one baseline per kind of model.

    Raises:
        DataError: Images of a run are gone, or have lost their label.
    """
    dataset = open_dataset(workspace, [_SPEC], progress)
    progress.start("training baselines", len(tested) * len(KINDS))
    found: dict[str, tuple[Baseline, ...]] = {}
    for number, head in enumerate(tested):
        members, test = _material(head, dataset)
        models: list[Baseline] = []
        for kind in KINDS:
            models.append(classical_baseline(kind, members, test, head.calibration))
            progress.advance("training baselines", number * len(KINDS) + len(models))
        found[head.name] = tuple(models)
    return found


def _material(head: Tested, dataset: Dataset) -> tuple[list[tuple[Pixels, Pixels]], Pixels]:
    parts: dict[str, list[str]] = {}
    for row in read_csv(head.run.rows):
        parts.setdefault(row["part"], []).append(row["image"])
    labels = dataset.table.column(head.record.label)
    label_of = dict(zip(dataset.table.images, labels.tolist(), strict=True))
    pixels = {
        part: _pixels(dataset, head, images, label_of) for part, images in parts.items() if part != "test"
    }
    truth = dict(zip(head.scores.images, head.scores.labels.tolist(), strict=True))
    test = _pixels(dataset, head, list(head.scores.images), truth)
    folds = sorted(part for part in pixels if part.startswith("fold-"))
    if not folds:
        return [(pixels[TRAIN], pixels[VALIDATION])], test
    return [
        (_joined([pixels[other] for other in folds if other != fold]), pixels[fold]) for fold in folds
    ], test


def _pixels(dataset: Dataset, head: Tested, images: list[str], label_of: Mapping[str, int]) -> Pixels:
    gone = [image for image in images if image not in dataset.facts or label_of.get(image) not in (0, 1)]
    if gone:
        raise DataError(
            f"baselines of head {head.name} need the rows of its run, but {len(gone)} are gone or have no "
            f"label: {first_few(gone)}; train it again, or leave --baselines out"
        )
    images = sorted(images)
    store = dataset.stores[_SPEC]
    values = store.read(store.rows(images)).reshape(len(images), -1).astype(np.float32) / 255.0
    return Pixels(values, np.array([label_of[image] for image in images], np.int8))


def _joined(parts: Sequence[Pixels]) -> Pixels:
    labels: NDArray[np.int8] = np.concatenate([part.labels for part in parts])
    return Pixels(np.concatenate([part.values for part in parts]), labels)
