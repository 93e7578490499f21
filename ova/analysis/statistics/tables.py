"""Statistics as tables of plain text, for console and page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ova.analysis.statistics.balance import HeadBalance
from ova.analysis.statistics.labels import LabelStatistics
from ova.analysis.statistics.parts import PartStatistics
from ova.analysis.statistics.pixels import PixelStatistics
from ova.analysis.statistics.sizes import SizeStatistics
from ova.errors import first_few

Row = tuple[str, ...]
_NOTHING = "no label"
"""How a combination without any positive label is called."""


@dataclass(frozen=True)
class Table:
    """A table for people: every cell is text, and the first column names the row."""

    title: str
    header: Row
    rows: tuple[Row, ...]
    left: frozenset[int] = frozenset({0})
    """Columns of words; all others are numbers."""

    def first(self, limit: int, where: str) -> Table:
        """Return at most `limit` rows, and a last one that says where the others are."""
        if len(self.rows) <= limit:
            return self
        more: Row = (f"... {len(self.rows) - limit} more in {where}", *[""] * (len(self.header) - 1))
        return Table(self.title, self.header, (*self.rows[:limit], more), self.left)

    def without_empty_columns(self) -> Table:
        """Leave out columns in which no row says anything."""
        kept = [column for column in range(len(self.header)) if any(row[column] for row in self.rows)]
        header, *rows = (tuple(row[column] for column in kept) for row in (self.header, *self.rows))
        left = frozenset(place for place, column in enumerate(kept) if column in self.left)
        return Table(self.title, header, tuple(rows), left)


def label_table(labels: LabelStatistics) -> Table:
    """Tell how often every label occurs."""
    rows = tuple(
        (each.label, f"{each.positives:,}", f"{each.negatives:,}", f"{each.unknown:,}", percent(each.share))
        for each in labels.labels
    )
    return Table("images per label", ("label", "positives", "negatives", "unknown", "share of known"), rows)


def combination_table(labels: LabelStatistics, most: int = 20) -> Table:
    """Tell the most frequent combinations, and the rest together."""
    shown, more = labels.combinations[:most], labels.combinations[most:]
    rows = [
        (
            _name_of(each.labels),
            f"{each.images:,}",
            percent(each.images / labels.images),
            f"{each.incomplete:,}" if each.incomplete else "",
        )
        for each in shown
    ]
    if others := labels.other_combinations + len(more):
        images = labels.other_images + sum(each.images for each in more)
        rows.append((f"{others:,} other combinations", f"{images:,}", percent(images / labels.images), ""))
    header = ("combination", "images", "share", "with an unknown label")
    return Table("label combinations", header, tuple(rows)).without_empty_columns()


def per_image_table(labels: LabelStatistics) -> Table:
    """Tell how many images have no, one, two labels."""
    rows = tuple(
        (str(number), f"{images:,}", percent(images / labels.images))
        for number, images in enumerate(labels.per_image)
    )
    return Table("labels per image", ("labels", "images", "share"), rows)


def together_table(labels: LabelStatistics, most: int = 20) -> Table:
    """Tell, for images with the row's label, how many have the column's: count and share of the known."""
    together = labels.together
    names, shares = together.labels[:most], together.given_row()
    rows = tuple(
        (
            name,
            *(
                _both(int(together.both[row, column]), None if row == column else shares[row][column])
                for column in range(len(names))
            ),
        )
        for row, name in enumerate(names)
    )
    return Table("images with both labels", ("of images with", *names), rows)


def part_table(parts: PartStatistics) -> Table:
    """Tell the positives of every label in every part, and the part that is furthest from the whole."""
    header = (
        "label",
        *(f"{part} ({images:,})" for part, images in parts.images.items()),
        "furthest from the whole",
    )
    rows = []
    for each in parts.labels:
        counts = [
            f"{part.positives:,} of {part.positives + part.negatives:,} ({percent(part.share)})"
            for part in each.parts.values()
        ]
        furthest = "no known label"
        if each.deviation is not None and each.images is not None:
            furthest = f"{each.furthest}: {100 * each.deviation:+.2f} points, {each.images:+.1f} images"
        rows.append((each.label, *counts, furthest))
    return Table("positives per part", header, tuple(rows), frozenset({0, len(header) - 1}))


def balance_table(heads: Sequence[HeadBalance]) -> Table:
    """Tell the positives of every head on disk, in an epoch and in the loss; of folds, the first."""
    header = (
        "head",
        "held out",
        "positives on disk",
        "in an epoch",
        "pos_weight",
        "share in the loss",
        "note",
    )
    planned_first = sorted(heads, key=lambda head: not head.networks)
    rows = tuple(_balance_row(head) for head in planned_first)
    title = "training rows before and after balancing"
    return Table(title, header, rows, frozenset({0, 1, 6})).without_empty_columns()


def size_table(sizes: SizeStatistics) -> Table:
    """Tell minimum, quartiles and maximum of the sizes."""
    names = {
        "height": "height (pixels)",
        "width": "width (pixels)",
        "area": "area (pixels)",
        "aspect": "aspect (width / height)",
        "bytes": "file (bytes)",
    }
    rows = tuple(
        (
            name,
            *(
                f"{value:.2f}" if measure == "aspect" else f"{value:,.0f}"
                for value in sizes.measures[measure].values()
            ),
        )
        for measure, name in names.items()
    )
    return Table("image sizes", ("", *sizes.measures["height"]), rows)


def input_table(heads: Sequence[HeadBalance]) -> Table:
    """Tell what heads read, one row per form, and how many images are smaller than that."""
    readers: dict[Row, list[str]] = {}
    for head in heads:
        if head.form is not None:
            form = (
                f"{head.form.height} x {head.form.width}",
                _channels(head.form.channels),
                percent(head.enlarged),
            )
            readers.setdefault(form, []).append(head.name)
    rows = tuple((*form, first_few(names)) for form, names in readers.items())
    return Table(
        "inputs of heads", ("input", "channels", "smaller images", "heads"), rows, frozenset({0, 1, 3})
    )


def brightness_table(pixels: PixelStatistics) -> Table:
    """Tell mean and standard deviation per channel, in shares of white; once where all channels are equal."""
    rows: dict[Row, None] = {}
    for each in pixels.brightness:
        grey = len(set(zip(each.mean, each.deviation, strict=True))) == 1
        values = [
            ", ".join(f"{value:.4f}" for value in channels[: 1 if grey else None])
            for channels in (each.mean, each.deviation)
        ]
        rows[f"{each.form.height} x {each.form.width}", "grey" if grey else "RGB", *values] = None
    header = ("input", "channels", "mean", "standard deviation")
    return Table("brightness of training images", header, tuple(rows), frozenset({0, 1}))


def _name_of(labels: Sequence[str]) -> str:
    """Name a combination of labels."""
    return " + ".join(labels) or _NOTHING


def percent(share: float | None) -> str:
    """Write a share with as many digits as it needs: 43 %, 4.3 %, 0.04 %."""
    if share is None:
        return "unknown"
    value = 100 * share
    digits = 0 if value >= 99.95 or value == 0 else 1 if value >= 1 else 2
    return f"{value:.{digits}f} %"


def _both(images: int, share: float | None) -> str:
    return f"{images:,} ({percent(share)})" if images and share is not None else f"{images:,}"


def _balance_row(head: HeadBalance) -> Row:
    if not head.networks:
        return (head.name, *[""] * 5, head.note or "")
    network = head.networks[0]
    on_disk, shown, weighed = network.shares
    return (
        head.name,
        network.validation + (f" of {len(head.networks)}" if len(head.networks) > 1 else ""),
        f"{network.rows[1]:,} of {sum(network.rows):,} ({percent(on_disk)})",
        f"{network.per_epoch[1]:,} of {sum(network.per_epoch):,} ({percent(shown)})",
        f"{network.pos_weight:.4g}",
        percent(weighed),
        "",
    )


def _channels(count: int) -> str:
    return "grey" if count == 1 else "RGB"
