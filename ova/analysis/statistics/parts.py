"""How the labels are spread over the parts of the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.analysis.statistics.labels import LabelCount
from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.split.split import TEST, TRAIN, VALIDATION

_BLOCK = 65_536


@dataclass(frozen=True)
class LabelParts:
    """One label in every part, and the part whose share of positives is furthest from the whole."""

    label: str
    parts: Mapping[str, LabelCount]
    furthest: str | None
    """None where no part has an image with a known label."""
    deviation: float | None
    """Share of positives in that part minus the share in all images."""
    images: float | None
    """The same as a number of images: positives of that part minus what the share of the whole would give."""


@dataclass(frozen=True)
class PartStatistics:
    """The parts of the split with their images, and every label in each."""

    images: Mapping[str, int]
    labels: tuple[LabelParts, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as one JSON object."""
        return {"images": dict(self.images), "labels": [_as_json(each) for each in self.labels]}


def _as_json(label: LabelParts) -> dict[str, Any]:
    parts = {
        part: {
            "positives": count.positives,
            "negatives": count.negatives,
            "unknown": count.unknown,
            "share": count.share,
        }
        for part, count in label.parts.items()
    }
    furthest = {"part": label.furthest, "share": label.deviation, "images": label.images}
    return {"label": label.label, "parts": parts, "furthest": furthest}


class Parts(NamedTuple):
    """Which part every image is in."""

    names: tuple[str, ...]
    """The test last."""
    codes: NDArray[np.intp]
    """(n,) index into `names`."""

    @classmethod
    def of(cls, images: Sequence[str], part_of: Mapping[str, str]) -> Parts:
        """Number the parts of images."""
        own = [part_of[image] for image in images]
        names = sorted(set(own), key=lambda part: (part == TEST, part == VALIDATION, part))
        number = {part: code for code, part in enumerate(names)}
        return cls(tuple(names), np.array([number[part] for part in own], np.intp))

    def outside_test(self) -> NDArray[np.bool_]:
        """Return (n,) images that may choose something."""
        return self.codes != self.names.index(TEST) if TEST in self.names else np.ones(len(self.codes), bool)

    def training(self) -> dict[str, NDArray[np.bool_]]:
        """Return the training rows (n,) of every network, by the part that it does not see."""
        folds = [part for part in self.names if part.startswith("fold-")]
        if not folds:
            return {VALIDATION: self.codes == self.names.index(TRAIN)} if TRAIN in self.names else {}
        return {fold: self.outside_test() & (self.codes != self.names.index(fold)) for fold in folds}


def count_by_part(table: LabelTable, split: Parts, order: Sequence[str]) -> PartStatistics:
    """Count every label in every part.

    Args:
        table: n images, k labels.
        split: Their parts.
        order: Labels in the order wanted.
    """
    names, codes = split
    positives, known = np.zeros((2, len(names), len(table.labels)), np.int64)
    for start in range(0, len(codes), _BLOCK):
        block, own = table.values[start : start + _BLOCK], codes[start : start + _BLOCK]
        for part in range(len(names)):
            rows = block[own == part]
            positives[part] += (rows == 1).sum(0)
            known[part] += (rows != UNKNOWN).sum(0)
    totals = np.bincount(codes, minlength=len(names))
    column_of = {label: column for column, label in enumerate(table.labels)}
    labels = []
    for label in order:
        column = column_of[label]
        counts = zip(names, positives[:, column].tolist(), known[:, column].tolist(), totals, strict=True)
        parts = {
            part: LabelCount(label, yes, each - yes, int(total) - each) for part, yes, each, total in counts
        }
        labels.append(_furthest(label, parts))
    return PartStatistics(dict(zip(names, totals.tolist(), strict=True)), tuple(labels))


def _furthest(label: str, parts: dict[str, LabelCount]) -> LabelParts:
    positives = sum(part.positives for part in parts.values())
    known = positives + sum(part.negatives for part in parts.values())
    deviations = {
        name: part.share - positives / known for name, part in parts.items() if part.share is not None
    }
    if not deviations:
        return LabelParts(label, parts, None, None, None)
    name = max(deviations, key=lambda part: abs(deviations[part]))
    part = parts[name]
    expected = positives / known * (part.positives + part.negatives)
    return LabelParts(label, parts, name, deviations[name], part.positives - expected)
