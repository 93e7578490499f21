"""Read the labels of a dataset, whatever their form: wide table, long table or class folders.

Every cell is read as text and stays as it is (`NA`, `00123`, `1e5`); only white space around column names,
class names and 0/1 cells is dropped. Images are not opened here.
"""

from __future__ import annotations

import re
from pathlib import Path

from ova.data.class_folders import from_folders
from ova.data.files import ImageFiles
from ova.data.label_forms import Labelled, from_long, from_wide
from ova.data.labels import LabelTable
from ova.data.recipe import DatasetRecipe, GroupRule
from ova.data.sheet import Sheet, read_sheet
from ova.data.sources import find_table, open_files
from ova.errors import DataError, first_few

_CONTROL = re.compile(r"[\0-\x1f\x7f]")


def read_label_table(recipe: DatasetRecipe, root: Path, files: ImageFiles | None = None) -> LabelTable:
    """Read the labels of a dataset, without opening an image.

    wide: a row per image; the cells of a label column are 1, 0 or blank, and blank is unknown.
    long: a row per image and class; an image has 0 in every class that no row gives it; a blank class means
    that the image is unlabelled, unknown in every class. Images with dropped classes only are left out.
    folders: an image anywhere under ROOT/CLASS has 1 for its class and 0 for the others.

    Args:
        recipe: What `dataset.toml` says.
        root: The image root; the table and the image paths are relative to it.
        files: Where the images lie, if that is open already.

    Raises:
        DataError: The table or the tree is missing, malformed, contradicts itself or the recipe, or names
            images outside the root.
    """
    files = files or open_files(recipe, root)
    if recipe.labels is None:
        source = files.source
        labelled = from_folders(source, files.class_folders(), recipe.drop_classes)
        groups = _groups(source, recipe.group, labelled, None)
    else:
        source, content = find_table(files, root, recipe.labels)
        sheet = read_sheet(source, recipe.delimiter, content)
        labelled = (from_long if recipe.format == "long" else from_wide)(sheet, recipe)
        groups = _groups(source, recipe.group, labelled, sheet)
    if not labelled.labels:
        raise DataError(f"{source}: no labels are left; check label_columns, the classes and drop_classes")
    if strange := [repr(label) for label in labelled.labels if _CONTROL.search(label)]:
        raise DataError(f"{source}: control characters in the labels {first_few(strange)}; rename them")
    return LabelTable(tuple(labelled.images), tuple(labelled.labels), labelled.values, groups)


def _groups(source: Path, rule: GroupRule | None, labelled: Labelled, sheet: Sheet | None) -> tuple[str, ...]:
    if rule is None:
        return tuple(labelled.images)
    if rule.column is not None and sheet is not None:
        return _groups_by_column(sheet, rule.column, labelled)
    expression = re.compile(rule.pattern or "")
    found = [expression.search(image) for image in labelled.images]
    groups = [match and match[1 if expression.groups else 0] for match in found]
    if missing := [image for image, group in zip(labelled.images, groups, strict=True) if not group]:
        what = f"group.pattern finds nothing in {len(missing)} images: {first_few(missing)}"
        raise DataError(f"{source}: {what}; widen the pattern")
    return tuple(group for group in groups if group)


def _groups_by_column(sheet: Sheet, column: str, labelled: Labelled) -> tuple[str, ...]:
    cells = sheet.column(column)
    groups: list[str] = [""] * len(labelled.images)
    blank: list[int] = []
    parted: list[int] = []
    for row, owner in enumerate(labelled.owners.tolist()):
        if owner < 0:
            continue
        if not cells[row].strip():
            blank.append(row)
        elif groups[owner] and groups[owner] != cells[row]:
            parted.append(row)
        groups[owner] = groups[owner] or cells[row]
    if blank:
        raise DataError(f"{sheet.path}: column {column!r} is blank {sheet.rows(blank)}; name every group")
    if parted:
        raise DataError(
            f"{sheet.path}: an image in a second group {sheet.rows(parted)}; keep one group per image"
        )
    return tuple(groups)
