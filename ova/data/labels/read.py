"""Read the labels of a dataset, whatever their form: wide table, long table or class folders.

Every cell is read as text and stays as it is (`NA`, `00123`, `1e5`); only white space around column names,
class names and 0/1 cells is dropped. Images are not opened here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.data.files.find import find_table, open_files
from ova.data.files.image_files import ImageFiles
from ova.data.files.read import IMAGE_SUFFIXES
from ova.data.labels.exclusions import EXCLUDED, Exclusion, excluded_rows, note_exclusions
from ova.data.labels.folders import from_folders, pool_folders
from ova.data.labels.groups import groups_by_column, groups_by_pattern
from ova.data.labels.labelled import Labelled, first_rows, pool
from ova.data.labels.long import from_long
from ova.data.labels.names import read_label_names
from ova.data.labels.presence import NOTHING_MISSING, Presence, look_for, report_missing, report_twins
from ova.data.labels.table import UNKNOWN, LabelTable, LeftOut
from ova.data.labels.wide import from_wide
from ova.data.problems import Ledger
from ova.data.recipe import DatasetRecipe
from ova.data.tables.columns import Columns
from ova.data.tables.label_sheet import LabelSheet, read_label_sheet
from ova.data.tables.texts import Texts
from ova.errors import DataError, first_few
from ova.recipes import nearest

_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def read_label_table(
    recipe: DatasetRecipe,
    root: Path,
    files: ImageFiles | None = None,
    *,
    look: bool = False,
    excluded: Mapping[str, Exclusion] | None = None,
) -> LabelTable:
    """Read the labels of a dataset, without opening an image.

    wide: a row per image; the cells of a label column are 1, 0 or blank, and blank is unknown.
    long: a row per image and class; an image has 0 in every class that no row gives it; a blank class means
    that the image is unknown in every class of that column.
    folders: an image anywhere under ROOT/CLASS has 1 for its class and 0 for the others.
    Several tables are read as one. Images without any label are left out, and so are those of dropped classes
    only.

    Args:
        recipe: What `dataset.toml` says.
        root: The image root; the tables and the image paths are relative to it.
        files: Where the images lie, if that is open already.
        look: Refuse a table whose images are not all there.
        excluded: Images that a person wants left out; they need not be there.

    Raises:
        DataError: The table or the tree is missing, malformed, or contradicts the recipe.
        RefusedData: Rows or images are refused; each is listed in the error.
    """
    ledger, files = Ledger(), files or open_files(recipe, root)
    read = _read_tables(recipe, root, files, ledger) if recipe.labels else _read_folders(recipe, root, files)
    report_twins(read.images, read.where, ledger)
    groups = _groups(recipe, read, ledger)
    unwanted = excluded_rows(read.images, excluded or {})
    presence = NOTHING_MISSING
    if look and read.sheet is not None:
        presence = _look(recipe, read, files, unwanted, ledger)
    ledger.settle(read.source)
    _check_labels(read.source, read.labelled.labels)
    table = LabelTable(
        images=read.images,
        labels=tuple(read.labelled.labels),
        values=read.labelled.values,
        groups=groups,
        rows=len(read.sheet or read.images),
        left_out=read.labelled.left_out,
        missing=tuple(read.images.take(presence.missing)),
        unnamed=presence.unnamed,
    )
    return _leave_out(table, unwanted, excluded or {}, presence.missing, read.source)


@dataclass(frozen=True, eq=False)
class _Read:
    """Labels as read, each image once.

    Attributes:
        source: The tables or the folder, for messages.
        labelled: n images and their labels.
        images: Their paths, packed.
        first: (n,) the first row of each.
        sheet: The rows; None for class folders.
    """

    source: str
    labelled: Labelled
    images: Texts
    first: NDArray[np.intp]
    sheet: LabelSheet | None = None

    def where(self, image: int) -> str:
        """Name the place of an image, for a person."""
        return self.sheet.where(int(self.first[image])) if self.sheet else self.images[image]


def _read_tables(recipe: DatasetRecipe, root: Path, files: ImageFiles, ledger: Ledger) -> _Read:
    tables = [find_table(files, root, name) for name in recipe.labels]
    sheet = read_label_sheet(tables, recipe.delimiter, partial(choose_columns, recipe), ledger)
    names = _label_names(recipe, root, files)
    if recipe.format == "long":
        labelled = from_long(sheet, recipe, names, ledger)
    else:
        labelled = from_wide(sheet, recipe, names.get(""), ledger)
    labelled = pool(labelled, sheet, ledger)
    first = first_rows(labelled.owners, len(labelled.images))
    return _Read(sheet.name, labelled, Texts.of(labelled.images), first, sheet)


def choose_columns(
    recipe: DatasetRecipe, name: str, header: Sequence[str], first: Columns | None = None
) -> Columns:
    """Choose the columns that a recipe means, all others when it names none.

    Args:
        recipe: What `dataset.toml` says.
        name: The table, for messages.
        header: Its column names.
        first: What was chosen from an earlier table, whose columns may stand in another order.

    Raises:
        DataError: A column is missing, the class may be one of several, or the header is a row of data.
    """
    image = recipe.image_column or (first.image if first else header[0])
    if recipe.image_column is None and image.lower().endswith(IMAGE_SUFFIXES):
        raise DataError(f"{name}: line 1 begins with the image {image!r}; add a line of column names")
    group = recipe.group.column if recipe.group else None
    others = tuple(column for column in header if column not in (image, group))
    if recipe.format == "long":
        coded = recipe.class_column or _only(name, others)
    else:
        dropped = recipe.drop_classes if recipe.label_names is None else ()
        coded = tuple(dict.fromkeys((*(recipe.label_columns or others), *dropped)))
    for column in (image, group, *coded):
        if column is not None and column not in header:
            raise DataError(f"{name}: has no column {column!r}{nearest(column, header)}")
    return Columns(image, group, coded)


def _only(name: str, columns: Sequence[str]) -> tuple[str, ...]:
    if len(columns) != 1:
        raise DataError(f"{name}: the class may be any of {first_few(list(columns))}; set class_column")
    return tuple(columns)


def _read_folders(recipe: DatasetRecipe, root: Path, files: ImageFiles) -> _Read:
    folders, others = files.class_folders(), ()
    if recipe.pooled_folders:
        folders, others = pool_folders(files.source, folders, recipe.pooled_folders)
    labelled = from_folders(files.source, folders, recipe.drop_classes)
    labelled = replace(labelled, left_out=(*others, *labelled.left_out))
    if (names := _label_names(recipe, root, files).get("")) is not None:
        if nameless := [repr(label) for label in labelled.labels if label not in names]:
            raise DataError(f"{files.source}: label_names has no name for the folders {first_few(nameless)}")
        labelled = replace(labelled, labels=[names[label] for label in labelled.labels])
    return _Read(str(files.source), labelled, Texts.of(labelled.images), labelled.owners)


def _label_names(recipe: DatasetRecipe, root: Path, files: ImageFiles) -> dict[str, dict[str, str]]:
    """Read the names of the codes, by class column; under "" those of any column."""
    named = recipe.label_names or {}
    return {column: read_label_names(find_table(files, root, name)) for column, name in named.items()}


def _groups(recipe: DatasetRecipe, read: _Read, ledger: Ledger) -> Texts:
    if recipe.group is None:
        return read.images
    if read.sheet is not None and read.sheet.groups is not None:
        return groups_by_column(read.sheet, read.sheet.groups, read.labelled.owners, read.first, ledger)
    return groups_by_pattern(read.source, recipe.group.pattern or "", read.images)


def _look(
    recipe: DatasetRecipe, read: _Read, files: ImageFiles, unwanted: NDArray[np.intp], ledger: Ledger
) -> Presence:
    """Look for the images of a table whose paths are sound; those of class folders have just been listed."""
    bad = read.sheet.refused if read.sheet else ()
    refused = np.isin(read.first, sorted(bad)) if bad else None
    rows = np.arange(len(read.images)) if refused is None else np.flatnonzero(~refused)
    presence = look_for(read.images if refused is None else read.images.take(rows), files)
    missing = np.setdiff1d(rows[presence.missing], unwanted)
    if len(missing) > recipe.allow_missing:
        report_missing(read.images, missing, presence, read.where, files, ledger)
    return presence._replace(missing=missing)


def _check_labels(source: str, labels: Sequence[str]) -> None:
    if not labels:
        raise DataError(f"{source}: no labels are left; check label_columns, the classes and drop_classes")
    if strange := [repr(label) for label in labels if _CONTROL.search(label)]:
        raise DataError(f"{source}: control characters in the labels {first_few(strange)}; rename them")
    if twice := [repr(label) for label, count in Counter(labels).items() if count > 1]:
        raise DataError(f"{source}: two labels have the name {first_few(twice)}; rename one of them")


def _leave_out(
    table: LabelTable,
    unwanted: NDArray[np.intp],
    excluded: Mapping[str, Exclusion],
    missing: NDArray[np.intp],
    source: str,
) -> LabelTable:
    """Leave out images that a person excludes, images that are not there and images without any label."""
    there = np.ones(len(table.images), bool)
    there[unwanted] = there[missing] = False
    known = (table.values != UNKNOWN).any(axis=1)
    counts = {
        EXCLUDED: len(unwanted),
        "not there": len(missing),
        "without any label": np.sum(there & ~known),
    }
    left_out = [LeftOut(why, int(count), len(there)) for why, count in counts.items() if count]
    table = note_exclusions(table, unwanted, excluded)
    if not left_out:
        return table
    rows = np.flatnonzero(there & known)
    if not len(rows):
        raise DataError(f"{source}: no image is left: {'; '.join(left.line() for left in left_out)}")
    return replace(table.subset(rows), left_out=(*table.left_out, *left_out))
