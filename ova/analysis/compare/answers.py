"""What was answered to images, label by label, whoever answered.

`answers.csv` keeps the answers of an analysis, one row per image and head, so that a copy of its folder can
be compared later, when heads, thresholds and labels are others.

Shape letter: n images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.table import UNKNOWN
from ova.errors import ArtefactError
from ova.heads.calibration.calibrate_run import read_calibration
from ova.heads.calibration.calibration import Calibration
from ova.heads.runs import HeadRecord, RunFolder
from ova.heads.scores import Scores, read_scores
from ova.spreadsheets import neutralised, restore
from ova.storage import read_csv, write_csv

ANSWERS_FILE = "answers.csv"
ANSWER_COLUMNS = ("label", "head", "image", "pixels_blake3", "truth", "score", "decision")


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to one label.

    Attributes:
        label: The label, as the answers name it.
        head: The head, or empty if it is not known.
        images: (n,) ids, each once.
        pixels: (n,) digests of decoded pixels, empty where they are not known.
        truth: (n,) 1, 0, or -1 for unknown.
        scores: (n,) logits, or probabilities where only these are known.
        decisions: (n,) yes or no.
    """

    label: str
    head: str
    images: tuple[str, ...]
    pixels: tuple[str, ...]
    truth: NDArray[np.int8]
    scores: NDArray[np.float64]
    decisions: NDArray[np.bool_]


def run_answers(run: RunFolder) -> Answers:
    """Return what a finished run answers to its test rows, at its own threshold.

    Raises:
        ArtefactError: Files of the run are missing or damaged.
    """
    record = run.read_record()
    return answers_of(run, record, read_calibration(run, record), read_scores(run.test_scores))


def answers_of(
    run: RunFolder,
    record: HeadRecord,
    calibration: Calibration,
    scores: Scores,
    by_rule: NDArray[np.int8] | None = None,
) -> Answers:
    """Return the same from what was read of the run already.

    Args:
        run: The run.
        record: Its record.
        calibration: Its calibration.
        scores: Of its test rows.
        by_rule: (n,) what the head's ensemble answers, if that is not what the head does: 1, 0, or -1 where
            it is not known; such rows are left out.

    Raises:
        ArtefactError: The list of its rows is missing or damaged.
    """
    pixels = {row["image"]: row.get("pixels_blake3", "") for row in read_csv(run.rows)}
    decisions = calibration.decide(scores.logits) if by_rule is None else by_rule
    kept = np.flatnonzero(decisions >= 0)
    images = tuple(scores.images[row] for row in kept.tolist())
    return Answers(
        label=record.label,
        head=record.name,
        images=images,
        pixels=tuple(pixels.get(image, "") for image in images),
        truth=scores.labels[kept],
        scores=scores.logits[kept],
        decisions=decisions[kept] == 1,
    )


def write_answers(folder: Path, answers: Sequence[Answers]) -> Path:
    """Write `answers.csv`, sorted by label and image; `read_answers` reads it back.

    Raises:
        EnvironmentFault: The disk refuses.
    """
    path = folder / ANSWERS_FILE
    rows = [
        (each.label, each.head, image, pixels, "" if truth == UNKNOWN else int(truth), float(score), int(yes))
        for each in answers
        for image, pixels, truth, score, yes in zip(
            each.images, each.pixels, each.truth, each.scores, each.decisions, strict=True
        )
    ]
    write_csv(path, ANSWER_COLUMNS, map(neutralised, sorted(rows, key=lambda row: row[:3])))
    return path


def read_answers(path: Path) -> list[Answers]:
    """Read `answers.csv`.

    Raises:
        ArtefactError: It is missing or damaged, or names an image twice for one label.
    """
    by_label: dict[tuple[str, str], list[dict[str, str]]] = {}
    try:
        for row in read_csv(path):
            by_label.setdefault((restore(row["label"]), restore(row["head"])), []).append(row)
        found = [_of_rows(label, head, rows) for (label, head), rows in by_label.items()]
    except (KeyError, ValueError) as error:
        raise ArtefactError(f"{path} is damaged: {error}; analyse again") from error
    if not found:
        raise ArtefactError(f"{path} holds no answer; analyse again")
    return found


def _of_rows(label: str, head: str, rows: Sequence[dict[str, str]]) -> Answers:
    truth = [_one_of(row["truth"], {"0": 0, "1": 1, "": UNKNOWN}) for row in rows]
    scores = np.array([float(row["score"]) for row in rows])
    if not np.isfinite(scores).all():
        raise ValueError(f"a score of {label!r} is not finite")
    return Answers(
        label=label,
        head=head,
        images=tuple(restore(row["image"]) for row in rows),
        pixels=tuple(row["pixels_blake3"] for row in rows),
        truth=np.array(truth, np.int8),
        scores=scores,
        decisions=np.array([_one_of(row["decision"], {"0": 0, "1": 1}) for row in rows], np.bool_),
    )


def _one_of(cell: str, known: dict[str, int]) -> int:
    if cell not in known:
        raise ValueError(f"{cell!r} is none of {', '.join(map(repr, known))}")
    return known[cell]
