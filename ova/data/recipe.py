"""What `data/dataset.toml` may say: where images and labels lie, how to read them, how to split them."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ova.recipes import Settings

DEFAULT_VALIDATION = 0.2


class GroupRule(Settings):
    """Which images belong together and must stay on one side of every split. Exactly one of the two."""

    column: str | None = None
    """Column of the label table that holds the group name."""

    pattern: str | None = None
    """Regular expression searched in the image path; its first group, or the whole match, names the group."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.column is None) == (self.pattern is None):
            raise ValueError("give exactly one of column and pattern")
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is not a regular expression ({error})") from error
        return self


class SplitRecipe(Settings):
    """How rows are divided: test + validation, or test + K folds."""

    seed: int = 0
    """Another seed gives another split."""

    test: float = Field(default=0.2, gt=0, lt=1)
    """Share of the images kept for the final test."""

    validation: float | None = Field(default=None, gt=0, lt=1)
    """Share of the images to choose epochs and calibrate on; 0.2 when neither this nor folds is given."""

    folds: int | None = Field(default=None, ge=2)
    """Number of folds in which the images outside the test are validated in turn."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("validation") is None and content.get("folds") is None:
            return {**content, "validation": DEFAULT_VALIDATION}
        return content

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.validation is not None and self.folds is not None:
            raise ValueError("give validation or folds, not both")
        if self.validation is not None and self.test + self.validation >= 1:
            raise ValueError("test + validation leave nothing to train on; they must add up to less than 1")
        return self


class DatasetRecipe(Settings):
    """The whole of `data/dataset.toml`."""

    root: str = "."
    """Folder that image paths are relative to; itself relative to the folder of dataset.toml."""

    archive: str | None = None
    """Zip archive that holds the images, relative to root; it is read in place and never unpacked."""

    prefix: str = ""
    """Folder inside the archive that image paths and class folders start from; its top when left out."""

    labels: str | None = None
    """Label table, relative to root, or its path inside the archive; left out for class folders."""

    format: Literal["wide", "long", "folders"] = "wide"
    """wide: a 0/1/blank column per label; long: a row per image and class; folders: a folder per class."""

    delimiter: str = "auto"
    """Character between cells of the table; "auto" finds it among comma, semicolon, tab and |."""

    image_column: str | None = None
    """Column of the image paths; the first column when left out."""

    class_column: str | None = None
    """Column of the class names (long only); may be left out when the table has only one other column."""

    label_columns: tuple[str, ...] | None = None
    """Columns that are labels (wide only); every column but image and group when left out."""

    drop_classes: tuple[str, ...] = ()
    """Labels to leave out: columns of a wide table, rows of a long one, folders of a tree."""

    group: GroupRule | None = None
    """Which images belong together; every image is its own group when left out."""

    white_level: int | None = Field(default=None, ge=1, le=65535)
    """Value that means white in 16-bit grey images, such as 4095 for a 12-bit camera; 65535 when left out."""

    draft_side: int | None = Field(default=None, ge=1)
    """Decode JPEGs at the smallest of 1/1, 1/2, 1/4, 1/8 with both sides this long; in full if left out."""

    split: SplitRecipe = SplitRecipe()
    """How rows are divided into training, validation and test."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [problem for found, problem in self._contradictions() if found]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> list[tuple[bool, str]]:
        folders = self.format == "folders"
        columns = self.image_column is not None or (self.group is not None and self.group.column is not None)
        chosen = self.label_columns
        return [
            (folders and self.labels is not None, "labels names a table but format is folders"),
            (folders and columns, "image_column and group.column need a table but format is folders"),
            (not folders and self.labels is None, f'labels is missing; format "{self.format}" needs a table'),
            (self.format != "long" and self.class_column is not None, "class_column is for format long only"),
            (self.format != "wide" and chosen is not None, "label_columns is for format wide only"),
            (chosen is not None and not chosen, "label_columns is empty"),
            (chosen is not None and len(set(chosen)) < len(chosen), "label_columns names a column twice"),
            (bool(self.prefix) and self.archive is None, "prefix is for an archive only"),
            (not _is_delimiter(self.delimiter), 'delimiter must be "auto" or one character'),
        ]


def _is_delimiter(text: str) -> bool:
    return text == "auto" or (len(text) == 1 and text not in '"\r\n\0')
