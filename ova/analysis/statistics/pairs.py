"""Pairs of labels that are easily confused, by trained heads' answers or by looks.

Shape letters: n rows, k labels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.labels.table import LabelTable
from ova.errors import ArtefactError
from ova.progress import Progress
from ova.workspace import Workspace

MOST_LABELS = 200
"""Labels that are compared: the most frequent ones."""
FEWEST_SCORES = 10
"""Scored images of a pair below which a share says little."""
_DRAWN = 24


class HeadAnswers(NamedTuple):
    """What one trained head says of images that it was not trained on."""

    label: str
    images: Sequence[str]
    labels: NDArray[np.int8]
    """(n,) 0 or 1."""
    yes: NDArray[np.bool_]
    """(n,) the head's decision."""


@dataclass(frozen=True)
class Pair:
    """Two labels and a few training images of each without the other."""

    first: str
    second: str
    figure: float
    """By "confusion" the share of mistakes, by "likeness" the difference in grey levels."""
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]


@dataclass(frozen=True)
class ConfusablePairs:
    """The pairs, and how they were chosen."""

    by: Literal["confusion", "likeness"]
    pairs: tuple[Pair, ...]

    def explain(self) -> str:
        """Say how the pairs were chosen."""
        if self.by == "confusion":
            return (
                "Chosen by what trained heads confuse: of the validation images that have exactly one of "
                "the two labels, the share for which the other label's head says yes."
            )
        return (
            f"Chosen by likeness: labels whose average grey picture (of up to {_DRAWN} training images) "
            "differs least, in grey levels of 255. Once two heads are trained, their mistakes choose instead."
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        pairs = [
            {
                "first": each.first,
                "second": each.second,
                "figure": each.figure,
                "only_first": list(each.only_first),
                "only_second": list(each.only_second),
            }
            for each in self.pairs
        ]
        return {"by": self.by, "explanation": self.explain(), "pairs": pairs}


def choose_pairs(
    table: LabelTable,
    rows: NDArray[np.intp],
    *,
    answers: Sequence[HeadAnswers],
    drawn: Mapping[str, Sequence[str]],
    thumbnails: Mapping[str, NDArray[np.uint8]],
    most: int = 6,
    examples: int = 6,
) -> ConfusablePairs:
    """Choose pairs by the mistakes of trained heads, or by the likeness of their images where there are none.

    Args:
        table: The labels of n images.
        rows: Training rows in drawn order; examples come from these.
        answers: Of trained heads on images that they were not trained on; none of them a test row.
        drawn: Label -> images whose average is its picture.
        thumbnails: Image -> grey picture.
        most: Pairs to show.
        examples: Images to show of each side.
    """
    ranked: Iterator[tuple[float, str, str]] = iter(_by_confusion(table, answers))
    by: Literal["confusion", "likeness"] = "confusion"
    first = next(ranked, None)
    if first is None:
        by, ranked = "likeness", iter(_by_likeness(drawn, thumbnails))
    else:
        ranked = itertools.chain([first], ranked)
    found: list[Pair] = []
    for figure, one, other in ranked:
        sides = [_only(table, rows, *names, examples) for names in ((one, other), (other, one))]
        if all(sides):
            found.append(Pair(one, other, figure, *sides))
        if len(found) == most:
            break
    return ConfusablePairs(by, tuple(found))


def _only(table: LabelTable, rows: NDArray[np.intp], label: str, without: str, count: int) -> tuple[str, ...]:
    """Images that have a label and are known not to have another."""
    chosen = rows[(table.column(label)[rows] == 1) & (table.column(without)[rows] == 0)]
    return tuple(table.images[row] for row in chosen[:count])


def _by_confusion(table: LabelTable, answers: Sequence[HeadAnswers]) -> list[tuple[float, str, str]]:
    """Rank pairs by the share of images with one label for which the other's head says yes."""
    row_of = {image: row for row, image in enumerate(table.images)}
    asked: dict[tuple[str, str], int] = {}
    wrong: dict[tuple[str, str], int] = {}
    for head in answers:
        places = [row_of.get(image, -1) for image in head.images]
        rows = np.array(places, np.intp)
        counted = (rows >= 0) & (head.labels == 0)
        others = table.values[rows[counted]] == 1
        says = head.yes[counted]
        for column, label in enumerate(table.labels):
            if label != head.label:
                pair = (min(label, head.label), max(label, head.label))
                asked[pair] = asked.get(pair, 0) + int(others[:, column].sum())
                wrong[pair] = wrong.get(pair, 0) + int(others[says, column].sum())
    shares = [
        (wrong[pair] / count, *pair)
        for pair, count in asked.items()
        if count >= FEWEST_SCORES and wrong[pair]
    ]
    return sorted(shares, key=lambda each: (-each[0], each[1:]))


def _by_likeness(
    drawn: Mapping[str, Sequence[str]], thumbnails: Mapping[str, NDArray[np.uint8]]
) -> list[tuple[float, str, str]]:
    """Rank pairs by the mean absolute difference of their average pictures."""
    averages = {
        label: np.mean([thumbnails[image] for image in images], axis=0)
        for label, images in sorted(drawn.items())
        if images
    }
    pairs = itertools.combinations(averages.items(), 2)
    ranked = [
        (float(np.abs(picture - other).mean()), label, name) for (label, picture), (name, other) in pairs
    ]
    return sorted(ranked)


def images_to_compare(
    table: LabelTable, rows: NDArray[np.intp], labels: Sequence[str]
) -> dict[str, list[str]]:
    """Draw training images of every label, for their average picture.

    Args:
        table: The labels.
        rows: Training rows in drawn order.
        labels: Labels, the most frequent first.
    """
    each = max(6, min(_DRAWN, 2000 // max(1, len(labels))))
    chosen = {}
    for label in labels[:MOST_LABELS]:
        positive = rows[table.column(label)[rows] == 1]
        chosen[label] = [table.images[row] for row in positive[:each]]
    return chosen


def trained_answers(workspace: Workspace, progress: Progress) -> list[HeadAnswers]:
    """Read validation scores and thresholds of the heads in use; a damaged one is told and left out."""
    names = workspace.trained_heads()
    if len(names) < 2:
        return []
    found = []
    for name in names:
        try:
            found.append(_answers(workspace, name))
        except ArtefactError as error:
            progress.say(f"pairs are chosen without head {name}: {error}")
    return found


def _answers(workspace: Workspace, name: str) -> HeadAnswers:
    # These imports bring torch along, which counting does not need.
    from ova.heads.calibration.calibrate_run import read_calibration
    from ova.heads.runs import current_run
    from ova.heads.scores import read_scores

    run = current_run(workspace, name)
    record = run.read_record()
    scores = read_scores(run.scores)
    yes = read_calibration(run, record).decide(scores.logits)
    return HeadAnswers(record.label, scores.images, scores.labels, yes)
