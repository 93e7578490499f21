"""Which columns of a label table are the image path, the group and the labels."""

from __future__ import annotations

from collections.abc import Sequence

from ova.data.columns import Columns
from ova.data.images import IMAGE_SUFFIXES
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError, first_few
from ova.recipes import nearest


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
