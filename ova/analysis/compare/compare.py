"""Two answers to the same images, label by label: which images changed sides, and whether F1 moved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ova.analysis.compare.answers import Answers
from ova.analysis.compare.paired import Paired, compare_decisions
from ova.analysis.compare.predicted import Truth
from ova.analysis.compare.sides import Side, find_side
from ova.data.labels.table import UNKNOWN
from ova.errors import ArtefactError, DataError, RecipeError, first_few
from ova.progress import Progress, Silent
from ova.spreadsheets import neutralise
from ova.storage import write_csv, write_json
from ova.workspace import Workspace

_CHANGED_FILE, _COMPARISON_FILE = "changed.csv", "comparison.json"
_COLUMNS = ("label", "image", "truth", "decision_a", "decision_b", "score_a", "score_b", "right")


@dataclass(frozen=True)
class Both:
    """What A and B answer to one image."""

    image: str
    truth: int | None
    """1, 0, or None where it is not known."""
    decision_a: bool
    decision_b: bool
    score_a: float
    """A logit, or a probability in what `ova predict --csv` printed."""
    score_b: float

    @property
    def right(self) -> str:
        """Who alone is right: a, b, or nothing where they agree or the truth is not known."""
        if self.truth is None or self.decision_a == self.decision_b:
            return ""
        return "a" if self.decision_a == bool(self.truth) else "b"


@dataclass(frozen=True)
class LabelComparison:
    """A and B on one label."""

    label: str
    images: int
    """That both answered."""
    measured: Paired
    """On the images whose truth is known."""
    changed: tuple[Both, ...]
    """Images that changed sides, sorted."""
    left_out: dict[str, int]
    """Why images of both are not compared, and how many."""

    def to_json(self) -> dict[str, Any]:
        """Return the object that `ova compare --json` prints for a label."""
        value = asdict(self.measured)
        value["difference_low"], value["difference_high"] = value.pop("interval") or (None, None)
        changed = [asdict(each) | {"right": each.right or None} for each in self.changed]
        return {
            "label": self.label,
            "images": self.images,
            **value,
            "left_out": self.left_out,
            "changed": changed,
        }


@dataclass(frozen=True)
class Comparison:
    """Two sides and their labels, in the order of A."""

    a: Side
    b: Side
    labels: tuple[LabelComparison, ...]
    files: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object that `ova compare --json` prints; strict JSON."""
        sides = {
            key: {"name": side.name, "what": side.what, "notes": list(side.notes)}
            for key, side in (("a", self.a), ("b", self.b))
        }
        return {**sides, "labels": [each.to_json() for each in self.labels]}


def compare(
    workspace: Workspace, a: str, b: str, *, seed: int = 0, progress: Progress | None = None
) -> Comparison:
    """Compare two runs, analyses, combined models or prediction files on the images that both answered.

    Images are matched by name, and by the digest of their pixels where both sides know it. Ensembles are
    compared by the decisions of their exported rules, label by label, in argmax mode too. Writes
    `changed.csv` and `comparison.json` into `runs/compare/A--B/`.

    Args:
        workspace: Where heads, ensembles and labels lie.
        a: The one; see `ova.analysis.compare.sides.find_side`.
        b: The other.
        seed: Of the bootstrap.
        progress: Told while images are read.

    Raises:
        RecipeError: A name means nothing, or the two answer for different labels.
        DataError: They have no image in common, or images cannot be read.
        ArtefactError: One of them is damaged, not trained or not exported.

    Example:
        `workspace` has two heads of the label spot, one of which reads smaller images:

        >>> import ova
        >>> comparison = ova.compare(workspace, "spot", "spot-small")
        >>> [(each.label, each.images, each.measured.positives) for each in comparison.labels]
        [('spot', 15, 5)]
        >>> [path.name for path in comparison.files]
        ['changed.csv', 'comparison.json']
    """
    truth = Truth(workspace, progress or Silent())
    sides = find_side(truth, a), find_side(truth, b)
    first, second = (_by_label(side) for side in sides)
    if first.keys() != second.keys():
        raise RecipeError(
            f"{a} answers for {first_few(list(first))}, and {b} for {first_few(list(second))};"
            " compare what answers for the same labels"
        )
    labels = tuple(_compare(first[label], second[label], seed) for label in first)
    if not any(each.images for each in labels):
        raise DataError(f"{a} and {b} have no image in common; compare answers to the same images")
    return _written(workspace, Comparison(*sides, labels))


def _by_label(side: Side) -> dict[str, Answers]:
    found = {answers.label: answers for answers in side.answers}
    if len(found) < len(side.answers):
        raise ArtefactError(f"{side.name} answers twice for a label; compare one head of each label")
    for answers in found.values():
        if len(set(answers.images)) < len(answers.images):
            raise ArtefactError(f"{side.name} answers twice to an image for {answers.label!r}")
    return found


def _compare(a: Answers, b: Answers, seed: int) -> LabelComparison:
    both, left_out = _match(a, b)
    known = [(each, each.truth) for each in both if each.truth is not None]
    return LabelComparison(
        label=a.label,
        images=len(both),
        measured=compare_decisions(
            [truth for _, truth in known],
            [each.decision_a for each, _ in known],
            [each.decision_b for each, _ in known],
            seed=seed,
        ),
        changed=tuple(each for each in both if each.decision_a != each.decision_b),
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _match(a: Answers, b: Answers) -> tuple[list[Both], dict[str, int]]:
    """Pair the answers of A and B by image, sorted; and count what cannot be compared, by reason."""
    place = {image: row for row, image in enumerate(b.images)}
    pairs = [(row, place[image]) for row, image in enumerate(a.images) if image in place]
    pixels, truths, both = 0, 0, []
    for one, two in sorted(pairs, key=lambda pair: a.images[pair[0]]):
        if a.pixels[one] and b.pixels[two] and a.pixels[one] != b.pixels[two]:
            pixels += 1
            continue
        known = {int(truth) for truth in (a.truth[one], b.truth[two])} - {UNKNOWN}
        if len(known) > 1:
            truths += 1
            continue
        both.append(
            Both(
                a.images[one],
                next(iter(known), None),
                bool(a.decisions[one]),
                bool(b.decisions[two]),
                float(a.scores[one]),
                float(b.scores[two]),
            )
        )
    return both, {
        "only one of the two answered": len(a.images) + len(b.images) - 2 * len(pairs),
        "other pixels under the same name": pixels,
        "another truth": truths,
    }


def _written(workspace: Workspace, comparison: Comparison) -> Comparison:
    folder = workspace.comparison(f"{_short(comparison.a.name)}--{_short(comparison.b.name)}")
    write_csv(folder / _CHANGED_FILE, _COLUMNS, _rows(comparison.labels))
    write_json(folder / _COMPARISON_FILE, comparison.to_json())
    files = (folder / _CHANGED_FILE, folder / _COMPARISON_FILE)
    return Comparison(comparison.a, comparison.b, comparison.labels, files)


def _rows(labels: Sequence[LabelComparison]) -> list[list[object]]:
    return [
        [
            neutralise(each.label),
            neutralise(image.image),
            "" if image.truth is None else image.truth,
            int(image.decision_a),
            int(image.decision_b),
            image.score_a,
            image.score_b,
            image.right,
        ]
        for each in labels
        for image in each.changed
    ]


def _short(name: str) -> str:
    """Make a folder name of what a person typed."""
    text = re.sub(r"[^a-z0-9_-]+", "-", Path(name).name.lower()).strip("-_")
    return text[:60] or "unnamed"
