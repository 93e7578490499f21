"""Count what lies in several parts of a split and must not, without the code that makes splits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ova.data.labels.table import LabelTable


@dataclass(frozen=True)
class Leaks:
    """What lies in more than one part: each entry names one image per part, in the order of their names."""

    identical: tuple[tuple[str, ...], ...]
    """Pixels that several images share."""
    groups: tuple[tuple[str, ...], ...]
    near: tuple[tuple[str, ...], ...]
    """Clusters of near duplicates."""

    @property
    def total(self) -> int:
        """How many there are; 0 is what a split promises."""
        return len(self.identical) + len(self.groups) + len(self.near)


def find_leaks(
    table: LabelTable,
    pixels: Mapping[str, str],
    part_of: Mapping[str, str],
    together: Sequence[Sequence[str]] = (),
) -> Leaks:
    """Look for pixels, groups and clusters that lie in several parts.

    Args:
        table: Images and groups.
        pixels: Image -> digest of its pixels.
        part_of: Image -> its part, of every image of the table.
        together: Image ids that must not be parted; ids that the table lacks are passed over.
    """
    near = ((image, number) for number, cluster in enumerate(together) for image in cluster)
    return Leaks(
        identical=_parted(((image, pixels[image]) for image in table.images), part_of),
        groups=_parted(zip(table.images, table.groups, strict=True), part_of),
        near=_parted(near, part_of),
    )


def _parted(owned: Iterable[tuple[str, Hashable]], part_of: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return the first image in each part, of every owner that has images in several parts."""
    first: dict[Hashable, dict[str, str]] = {}
    for image, owner in owned:
        part = part_of.get(image)
        if part is None:
            continue
        parts = first.setdefault(owner, {})
        if part not in parts or image < parts[part]:
            parts[part] = image
    return tuple(sorted(tuple(sorted(parts.values())) for parts in first.values() if len(parts) > 1))
