"""What `data/dataset.toml` may say: where images and labels lie, how to read, split and clean them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from ova.recipes import Settings

_DEFAULT_TEST = 0.2
_DEFAULT_VALIDATION = 0.2


class SoftRule(Settings):
    """How numbers between 0 and 1 in a wide table, such as the share of experts who saw it, become labels."""

    positive_from: float = Field(gt=0, le=1)
    """A number of at least this is a positive."""

    negative_to: float = Field(ge=0, lt=1)
    """A number of at most this is a negative; numbers between the two are unknown."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.negative_to >= self.positive_from:
            raise ValueError("negative_to must be below positive_from, or a number could be both")
        return self


class GroupRule(Settings):
    """Which images belong together and must stay on one side of every split. Exactly one of the two."""

    column: str | None = None
    """Column of the label table that holds the group name."""

    pattern: str | None = None
    """Regular expression searched in the image path; its groups in a row, or else the whole match, are the
    name of the group."""

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


class DuplicateRule(Settings):
    """Which images count as near duplicates; those of one cluster stay on one side of every split."""

    tolerance: int = Field(default=4, ge=0, le=10)
    """Bits of 64 in which two perceptual hashes may differ; more finds more crops, and takes longer."""

    likeness: float = Field(default=0.98, gt=0, le=1)
    """Least correlation of the two thumbnails, after a small shift, stretch, turn and change of light."""

    turned: bool = True
    """Whether flips and quarter turns of an image count as well."""


class CleanRule(Settings):
    """Which images `ova data clean` leaves out, besides those that are unreadable or show one shade."""

    min_side: int | None = Field(default=None, ge=1)
    """Least shorter side in pixels; nothing is too small when left out."""

    sharpness: float | None = Field(default=None, gt=0)
    """Least sharpness, as runs/quality.csv shows it; nothing is too blurred when left out."""

    colour: Literal["colour", "grey"] | None = None
    """The form that images must have; both are welcome when left out."""

    duplicates: Literal["keep", "identical", "near"] = "identical"
    """Of images with identical pixels, or of near duplicates too, one is kept if their labels agree."""

    conflicts: Literal["keep", "exclude"] = "keep"
    """Whether duplicates whose labels contradict each other are left out, all of them."""


class SplitRecipe(Settings):
    """How rows are divided: test + validation, or test + K folds."""

    seed: int = 0
    """Another seed gives another split."""

    test: float | None = Field(default=None, gt=0, lt=1)
    """Share of the images kept for the final test; 0.2 when neither this nor test_per_class is given."""

    test_per_class: int | None = Field(default=None, ge=1)
    """Instead of a share: positives of every label, and images of none, that are kept for the final test."""

    validation: float | None = Field(default=None, gt=0, lt=1)
    """Share of the images to choose epochs and calibrate on (with test_per_class: of those outside the test);
    0.2 when neither this nor folds is given."""

    folds: int | None = Field(default=None, ge=2)
    """Number of folds in which the images outside the test are validated in turn."""

    min_positives: int = Field(default=2, ge=0)
    """Positives of every label that every part should have; what cannot be met is told, and is no error."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        filled = dict(content)
        if content.get("validation") is None and content.get("folds") is None:
            filled["validation"] = _DEFAULT_VALIDATION
        if content.get("test") is None and content.get("test_per_class") is None:
            filled["test"] = _DEFAULT_TEST
        return filled

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.test is not None and self.test_per_class is not None:
            raise ValueError("give test or test_per_class, not both")
        if self.validation is not None and self.folds is not None:
            raise ValueError("give validation or folds, not both")
        if (self.test or 0) + (self.validation or 0) >= 1:
            raise ValueError("test + validation leave nothing to train on; they must add up to less than 1")
        return self


def _one_or_more(content: Any) -> Any:
    return (
        (content,) if isinstance(content, str) else tuple(content) if isinstance(content, list) else content
    )


def _for_all(content: Any) -> Any:
    return {"": content} if isinstance(content, str) else content


_Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]
_NamesFiles = Annotated[dict[str, str], BeforeValidator(_for_all)]


class DatasetRecipe(Settings):
    """The whole of `data/dataset.toml`."""

    root: str = "."
    """Folder that image paths are relative to; itself relative to the folder of dataset.toml."""

    archive: str | None = None
    """Zip archive that holds the images, relative to root; it is read in place and never unpacked."""

    prefix: str = ""
    """Folder inside the archive that image paths and class folders start from; its top when left out."""

    labels: _Names = ()
    """Label table, or a list of tables that are pooled, each relative to root or inside the archive; left out
    for class folders."""

    format: Literal["wide", "long", "folders"] = "wide"
    """wide: a 0/1/blank column per label; long: a row per image and class; folders: a folder per class."""

    pooled_folders: _Names = ()
    """Folders that hold the class folders, such as train and test, which are pooled (folders only); the class
    folders lie in root or prefix when left out."""

    delimiter: str = "auto"
    """Character between cells of the table; "auto" finds it among comma, semicolon, tab and |."""

    image_column: str | None = None
    """Column of the image paths; the first column when left out."""

    class_column: _Names = ()
    """Column of the class names (long only), or a list of columns, each a set of labels `COLUMN/CLASS`;
    may be left out when the table has only one other column."""

    label_names: _NamesFiles | None = None
    """File of names for the codes in the class column or the columns of a wide table: a table of code and
    name, or (`.txt`, `.names`) a name per line for the codes 0, 1, 2 ...; or such a file per class column."""

    label_columns: tuple[str, ...] | None = None
    """Columns that are labels (wide only); every column but image and group when left out."""

    drop_classes: tuple[str, ...] = ()
    """Labels to leave out: columns of a wide table, rows of a long one, folders of a tree."""

    soft: SoftRule | None = None
    """How numbers between 0 and 1 become labels (wide only); refused when left out."""

    fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the images of every label combination to work with, for quick runs; always the same ones."""

    allow_missing: int = Field(default=0, ge=0)
    """Images of the table that may be missing: up to so many are left out and reported, more are refused."""

    group: GroupRule | None = None
    """Which images belong together; every image is its own group when left out."""

    white_level: int | None = Field(default=None, ge=1, le=65535)
    """Value that means white in 16-bit grey images, such as 4095 for a 12-bit camera; 65535 when left out."""

    draft_side: int | None = Field(default=None, ge=1)
    """Decode JPEGs at the smallest of 1/1, 1/2, 1/4, 1/8 with both sides this long; in full if left out."""

    duplicates: DuplicateRule | None = None
    """Keep near duplicates on one side of every split; only identical pixels when left out."""

    clean: CleanRule = CleanRule()
    """What is too small, too blurred or of the wrong colour, and what `ova data clean` leaves out."""

    split: SplitRecipe = SplitRecipe()
    """How rows are divided into training, validation and test."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = [problem for found, problem in self._contradictions() if found]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _contradictions(self) -> list[tuple[bool, str]]:
        folders, long, wide = (self.format == form for form in ("folders", "long", "wide"))
        columns = self.image_column is not None or (self.group is not None and self.group.column is not None)
        chosen = self.label_columns
        return [
            (folders and bool(self.labels), "labels names a table but format is folders"),
            (not folders and bool(self.pooled_folders), "pooled_folders is for format folders only"),
            (_twice(self.pooled_folders), "pooled_folders names a folder twice"),
            (folders and columns, "image_column and group.column need a table but format is folders"),
            (folders and self.allow_missing > 0, "allow_missing needs a table but format is folders"),
            (not folders and not self.labels, f'labels is missing; format "{self.format}" needs a table'),
            (_twice(self.labels), "labels names a table twice"),
            (not long and bool(self.class_column), "class_column is for format long only"),
            (_twice(self.class_column), "class_column names a column twice"),
            (not wide and self.soft is not None, "soft is for format wide only"),
            (not wide and chosen is not None, "label_columns is for format wide only"),
            (chosen is not None and not chosen, "label_columns is empty"),
            (chosen is not None and _twice(chosen), "label_columns names a column twice"),
            (bool(self.prefix) and self.archive is None, "prefix is for an archive only"),
            (self._names_of_no_column(), "label_names names a column that class_column does not"),
            (not _is_delimiter(self.delimiter), 'delimiter must be "auto" or one character'),
        ]

    def _names_of_no_column(self) -> bool:
        return not (self.label_names or {}).keys() <= {"", *self.class_column}


def _twice(names: tuple[str, ...]) -> bool:
    return len(set(names)) < len(names)


def _is_delimiter(text: str) -> bool:
    return text == "auto" or (len(text) == 1 and text not in '"\r\n\0')
