"""Labels that are probably wrong: a ranked list for a person to look at, never a deletion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ova.analysis.html import Picture, photograph, render_page
from ova.data.dataset import Dataset, open_dataset
from ova.errors import ArtefactError, DataError, EnvironmentFault, RecipeError
from ova.heads.calibration.calibrate_run import read_calibration
from ova.heads.runs import current_run
from ova.heads.scores import read_scores
from ova.progress import Progress, Silent
from ova.storage import write_bytes, write_csv
from ova.workspace import Workspace

_COLUMNS = ("rank", "image", "label", "probability", "quality", "suspect")


@dataclass(frozen=True)
class Doubt:
    """One image whose label its head does not believe."""

    image: str
    label: int
    """What the table says: 0 or 1."""
    probability: float
    """What the head says, of an image that it was not trained on."""
    quality: float
    """Probability of the label that the table gives: low is doubtful."""
    suspect: bool
    """Whether confident learning holds the label for an error (Northcutt, Jiang and Chuang 2021)."""


@dataclass(frozen=True)
class HeadDoubts:
    """The labels of one head, the most doubtful first."""

    head: str
    label: str
    doubts: tuple[Doubt, ...]

    @property
    def suspects(self) -> int:
        """Labels that are held for errors."""
        return sum(doubt.suspect for doubt in self.doubts)


@dataclass(frozen=True)
class DoubtReport:
    """Doubtful labels of some heads, and the files that list them."""

    heads: tuple[HeadDoubts, ...]
    files: tuple[Path, ...]

    def to_json(self, top: int) -> dict[str, Any]:
        """Return the first `top` of every head."""
        heads = [
            {
                "head": head.head,
                "label": head.label,
                "rows": len(head.doubts),
                "suspects": head.suspects,
                "doubts": [asdict(doubt) for doubt in head.doubts[:top]],
            }
            for head in self.heads
        ]
        return {"heads": heads, "files": [str(path) for path in self.files]}


def find_doubts(
    images: Sequence[str], labels: NDArray[np.int8], probabilities: NDArray[np.float64]
) -> tuple[Doubt, ...]:
    """Rank labels by how little the head believes them.

    Args:
        images: (n,) ids of images that the head was not trained on.
        labels: (n,) 0 or 1, with some of both.
        probabilities: (n,) calibrated probabilities of label 1.

    Returns:
        All n, the most doubtful first; of equals the one whose id comes first.

    Raises:
        DataError: Only one of the two labels occurs.
        EnvironmentFault: cleanlab is not installed.
    """
    if len(np.unique(labels)) < 2:
        raise DataError("only one label value occurs, so that none can be held against the other")
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise EnvironmentFault(
            'finding doubtful labels needs cleanlab; install it with: pip install "ova[clean]"'
        ) from error
    truth = labels.astype(np.int64)
    both = np.column_stack([1.0 - probabilities, probabilities])
    quality = get_label_quality_scores(truth, both, method="self_confidence")
    suspect = find_label_issues(truth, both, filter_by="confident_learning", n_jobs=1)
    order = sorted(range(len(images)), key=lambda row: (float(quality[row]), images[row]))
    return tuple(
        Doubt(
            images[row], int(truth[row]), float(probabilities[row]), float(quality[row]), bool(suspect[row])
        )
        for row in order
    )


def review_labels(
    workspace: Workspace, names: Sequence[str] = (), *, top: int = 24, progress: Progress | None = None
) -> DoubtReport:
    """List the labels that trained heads doubt, with thumbnails of the most doubtful.

    Only rows that a head was not trained on are judged: validation, or with folds every image outside the
    test. Test rows are left alone, as long as they are to measure anything.

    Args:
        workspace: Where heads are trained.
        names: Heads; all that have a recipe and are trained if empty.
        top: Images to show of every head.
        progress: Told after every head.

    Raises:
        RecipeError: No head is trained.
        ArtefactError: A named head is not trained or not calibrated, or its files are damaged.
        DataError: A head has rows of one label value only.
        EnvironmentFault: cleanlab is not installed.
    """
    progress = progress or Silent()
    chosen = list(dict.fromkeys(names)) or _trained(workspace)
    if not chosen:
        raise RecipeError("no head is trained, so that nothing can be doubted; run: ova train")
    progress.start("reviewing labels", len(chosen))
    heads: list[HeadDoubts] = []
    for name in chosen:
        heads.append(_review(workspace, name))
        progress.advance("reviewing labels", len(heads))
    files = [_write_table(workspace, head) for head in heads]
    page = workspace.label_doubts / "doubts.html"
    write_bytes(page, _page(open_dataset(workspace, progress=progress), heads, top))
    return DoubtReport(tuple(heads), (*files, page))


def _trained(workspace: Workspace) -> list[str]:
    found = []
    for name in workspace.head_names():
        try:
            run = current_run(workspace, name)
        except ArtefactError:
            continue
        if run.calibration.is_file():
            found.append(name)
    return found


def _review(workspace: Workspace, name: str) -> HeadDoubts:
    run = current_run(workspace, name)
    record = run.read_record()
    scores = read_scores(run.scores)
    probabilities = read_calibration(run, record).probability(scores.logits)
    try:
        return HeadDoubts(name, record.label, find_doubts(scores.images, scores.labels, probabilities))
    except DataError as error:
        raise DataError(f"head {name}: {error}") from error


def _write_table(workspace: Workspace, head: HeadDoubts) -> Path:
    path = workspace.label_doubts / f"{head.head}.csv"
    rows = (
        (rank, doubt.image, doubt.label, doubt.probability, doubt.quality, int(doubt.suspect))
        for rank, doubt in enumerate(head.doubts, start=1)
    )
    write_csv(path, _COLUMNS, rows)
    return path


def _page(dataset: Dataset, heads: Sequence[HeadDoubts], top: int) -> bytes:
    shown = [
        {
            "name": head.head,
            "label": head.label,
            "rows": len(head.doubts),
            "suspects": head.suspects,
            "called_yes": [_thumbnail(dataset, doubt) for doubt in head.doubts[:top] if doubt.label == 1],
            "called_no": [_thumbnail(dataset, doubt) for doubt in head.doubts[:top] if doubt.label == 0],
        }
        for head in heads
    ]
    return render_page("label_doubts.html", {"heads": shown, "top": top})


def _thumbnail(dataset: Dataset, doubt: Doubt) -> Picture:
    text = f"{doubt.image}: probability {doubt.probability:.3f}{', suspect' if doubt.suspect else ''}"
    return photograph(dataset.decode(doubt.image, 3), text, caption=text)
