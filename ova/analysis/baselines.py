"""Classical models on small grey images of a head's own rows: a sanity floor that it must beat.

A support vector machine, a random forest and a small neural network, with scikit-learn's usual settings, on
24 x 24 grey pixels. Like a head, each is trained on training rows, gets its threshold from rows that it was
not trained on, and is judged on test rows; with folds, the mean of the folds' scores is judged.

Shape letters: n rows, f pixels of an image.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.analysis.gather import Tested
from ova.analysis.measures.binary import measured_average_precision
from ova.analysis.measures.f1 import measured_f1
from ova.analysis.measures.values import Baseline, MeasuredValue
from ova.arrays import FloatArray
from ova.data.dataset import Dataset, open_dataset
from ova.data.images.store import StoreSpec
from ova.data.split.split import TRAIN, VALIDATION
from ova.errors import DataError, first_few
from ova.heads.calibration.calibration import Calibration
from ova.heads.calibration.threshold.choose_threshold import ThresholdChoice, ThresholdTask, choose_threshold
from ova.heads.recipe import KEPT_DEFAULT
from ova.metrics import Counts
from ova.progress import Progress
from ova.storage import read_csv
from ova.workspace import Workspace

_GREY_SIDE = 24
_FORM = StoreSpec(_GREY_SIDE, _GREY_SIDE, 1)
MOST_ROWS = 5_000
BASELINE_KINDS = ("support vector machine", "random forest", "multi-layer perceptron")
_TREES = 300
_SEED = 20_261_121


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
    dataset = open_dataset(workspace, [_FORM], progress)
    progress.start("training baselines", len(tested) * len(BASELINE_KINDS))
    found: dict[str, tuple[Baseline, ...]] = {}
    for number, head in enumerate(tested):
        members, test = _members_and_test(head, dataset)
        models: list[Baseline] = []
        for kind in BASELINE_KINDS:
            models.append(classical_baseline(kind, members, test, head.calibration))
            progress.advance("training baselines", number * len(BASELINE_KINDS) + len(models))
        found[head.name] = tuple(models)
    return found


def _members_and_test(
    head: Tested, dataset: Dataset
) -> tuple[list[tuple[GreyPixels, GreyPixels]], GreyPixels]:
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


def _pixels(dataset: Dataset, head: Tested, images: list[str], label_of: Mapping[str, int]) -> GreyPixels:
    gone = [image for image in images if image not in dataset.facts or label_of.get(image) not in (0, 1)]
    if gone:
        raise DataError(
            f"baselines of head {head.name} need the rows of its run, but {len(gone)} are gone or have no "
            f"label: {first_few(gone)}; train it again, or leave --baselines out"
        )
    images = sorted(images)
    store = dataset.stores[_FORM]
    values = store.read(store.rows(images)).reshape(len(images), -1).astype(np.float32) / 255.0
    return GreyPixels(values, np.array([label_of[image] for image in images], np.int8))


def _joined(parts: Sequence[GreyPixels]) -> GreyPixels:
    labels: NDArray[np.int8] = np.concatenate([part.labels for part in parts])
    return GreyPixels(np.concatenate([part.values for part in parts]), labels)


@dataclass(frozen=True, eq=False)
class GreyPixels:
    """Images of some rows, and their labels."""

    values: NDArray[np.float32]
    """(n, f) 0..1."""
    labels: NDArray[np.int8]
    """(n,) 0 or 1."""


def classical_baseline(
    kind: str, members: Sequence[tuple[GreyPixels, GreyPixels]], test: GreyPixels, like: Calibration
) -> Baseline:
    """Train, threshold and judge one kind of model.

    Args:
        kind: One of `BASELINE_KINDS`.
        members: (training rows, rows to choose the threshold by) of every fold, or of the one split.
        test: Rows to judge.
        like: The head's calibration, of which objective and method are taken.

    Returns:
        What it reaches; undefined with the reason where it cannot be trained or thresholded.
    """
    started = time.monotonic()
    if any(len(np.unique(training.labels)) < 2 for training, _ in members):
        missing = MeasuredValue(None, reason="a training part has labels of one kind only")
        return Baseline(kind, missing, missing)
    held_out, test_scores = [], []
    for training, rest in members:
        model = _fit(kind, _at_most(training))
        held_out.append(_score(model, rest.values))
        test_scores.append(_score(model, test.values))
    labels = np.concatenate([rest.labels for _, rest in members])
    scores = np.mean(test_scores, axis=0)
    seconds = round(time.monotonic() - started, 3)
    ranked = measured_average_precision(test.labels, scores)
    try:
        threshold = _choose_as(np.concatenate(held_out), labels, like)
    except DataError as error:
        return Baseline(kind, MeasuredValue(None, reason=str(error)), ranked, seconds)
    return Baseline(kind, measured_f1(Counts.of(test.labels, threshold.decide(scores))), ranked, seconds)


def _choose_as(scores: FloatArray, labels: NDArray[np.int8], like: Calibration) -> ThresholdChoice:
    method = "auto" if like.method == KEPT_DEFAULT else like.method
    task = ThresholdTask(objective=like.objective, method=method, confidence=like.confidence)
    return choose_threshold(scores, labels, task)


def _at_most(training: GreyPixels) -> GreyPixels:
    """Keep 5,000 rows, at most half of them positive: the cost of kernels grows with the square."""
    if len(training.labels) <= MOST_ROWS:
        return training
    draw = np.random.default_rng(_SEED)
    positives, negatives = (np.flatnonzero(training.labels == label) for label in (1, 0))
    few = min(len(positives), max(MOST_ROWS // 2, MOST_ROWS - len(negatives)))
    drawn = [draw.choice(positives, few, replace=False)]
    drawn.append(draw.choice(negatives, MOST_ROWS - few, replace=False))
    rows = np.sort(np.concatenate(drawn))
    return GreyPixels(training.values[rows], training.labels[rows])


def _fit(kind: str, training: GreyPixels) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a floor need not be the best of its kind
        return _model(kind).fit(training.values, training.labels)


def _model(kind: str) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    if kind == "support vector machine":
        return make_pipeline(StandardScaler(), SVC(class_weight="balanced"))
    if kind == "random forest":
        return RandomForestClassifier(
            _TREES, min_samples_leaf=2, class_weight="balanced_subsample", random_state=_SEED
        )
    return make_pipeline(StandardScaler(), MLPClassifier((64,), alpha=0.01, max_iter=60, random_state=_SEED))


def _score(model: Any, pixels: NDArray[np.float32]) -> FloatArray:
    """Scores (n,) that grow with the chance of a positive."""
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(pixels), np.float64)
    share = np.asarray(model.predict_proba(pixels)[:, 1], np.float64)
    inside = (share * _TREES + 0.5) / (_TREES + 1.0)
    return np.log(inside / (1.0 - inside))
