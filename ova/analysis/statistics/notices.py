"""What in the statistics is worth a second look, in one line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ova.analysis.statistics.balance import HeadBalance
from ova.analysis.statistics.labels import LabelStatistics
from ova.analysis.statistics.parts import PartStatistics
from ova.analysis.statistics.row_check import RowCheck
from ova.analysis.statistics.sizes import SizeStatistics
from ova.analysis.statistics.tables import percent
from ova.data.split.split import TEST
from ova.errors import first_few

_FEW_POSITIVES = 20
"""Positives below which a label is hardly learnt, and its figures say little."""
_MUCH_UNKNOWN = 0.2
_MUCH_ENLARGED = 2.0
"""Pixels of a head's input, in those of the median image, beyond which it reads little but enlargement."""
_UNEVEN_IMAGES, _UNEVEN_SHARE = 3.0, 0.25
"""A part is uneven that has so many positives too many or too few, and so large a share of what it should."""


def notices(
    rows: RowCheck,
    labels: LabelStatistics,
    parts: PartStatistics,
    sizes: SizeStatistics,
    heads: Sequence[HeadBalance],
) -> list[str]:
    """Return lines of plain text; labels stand in them as they are."""
    return [*_rows(rows), *_scarce(parts), *_unknown(labels), *_uneven(parts), *_heads(heads, sizes)]


def _rows(rows: RowCheck) -> Iterator[str]:
    if rows.without_image:
        yield f"rows without an image: {_examples(rows.without_image)}"
    if rows.without_row:
        yield f"images that are not used, having no row or being left out: {_examples(rows.without_row)}"


def _examples(images: Sequence[str]) -> str:
    return f"{len(images):,} ({first_few(list(images), 3)})"


def _scarce(parts: PartStatistics) -> Iterator[str]:
    scarce = []
    for each in parts.labels:
        positives = sum(count.positives for part, count in each.parts.items() if part != TEST)
        if positives < _FEW_POSITIVES:
            scarce.append(f"{each.label} ({positives})")
    if scarce:
        yield f"fewer than {_FEW_POSITIVES} positives outside the test: {first_few(scarce)}"


def _unknown(labels: LabelStatistics) -> Iterator[str]:
    unknown = [
        f"{each.label} ({percent(each.unknown / labels.images)})"
        for each in labels.labels
        if each.unknown > _MUCH_UNKNOWN * labels.images
    ]
    if unknown:
        yield f"unknown for many images: {first_few(unknown)}"


def _uneven(parts: PartStatistics) -> Iterator[str]:
    uneven = []
    for each in parts.labels:
        if each.furthest is None or each.images is None:
            continue
        expected = each.parts[each.furthest].positives - each.images
        if abs(each.images) > max(_UNEVEN_IMAGES, _UNEVEN_SHARE * expected):
            uneven.append(f"{each.label} ({each.images:+.0f} in {each.furthest})")
    if uneven:
        yield f"positives spread unevenly over the parts: {first_few(uneven)}"


def _heads(heads: Sequence[HeadBalance], sizes: SizeStatistics) -> Iterator[str]:
    yield from (f"head {head.name}: {head.note}" for head in heads if head.note)
    area = sizes.measures["area"]["median"]
    enlarged = [
        f"{head.name} ({head.form.height} x {head.form.width})"
        for head in heads
        if head.form is not None and head.form.height * head.form.width > _MUCH_ENLARGED * area
    ]
    if enlarged:
        yield f"inputs of more than twice the pixels of the median image: {first_few(enlarged)}"
