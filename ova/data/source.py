"""What a workspace says of its data before an image is opened: the recipe, the files and the label table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ova.data.files.find import open_files
from ova.data.files.image_files import ImageFiles
from ova.data.files.location import image_root
from ova.data.images.facts import Decoding, ImageFacts, write_facts
from ova.data.labels.exclusions import Exclusion, read_exclusions
from ova.data.labels.fraction import take_fraction
from ova.data.labels.read import read_label_table
from ova.data.labels.table import LabelTable
from ova.data.problems import Problem, RefusedData
from ova.data.recipe import DatasetRecipe
from ova.errors import DataError
from ova.recipes import load_recipe
from ova.spreadsheets import neutralised
from ova.storage import write_csv, write_json
from ova.workspace import Workspace

_ANY_NUMBER = 2**62  # more images than any table has


@dataclass(frozen=True, eq=False)
class Source:
    """The labels of a workspace and where its images lie."""

    recipe: DatasetRecipe
    root: Path
    files: ImageFiles
    exclusions: Mapping[str, Exclusion]
    table: LabelTable
    missing: RefusedData | None = None
    """The refusal that a tolerant reading passed over: more images are missing than the recipe allows."""

    @property
    def decoding(self) -> Decoding:
        """How its files become pixels."""
        return Decoding(self.recipe.white_level, self.recipe.draft_side)


def open_source(workspace: Workspace, *, tolerant: bool = False) -> Source:
    """Read recipe, exclusions and labels; what is refused, or missing, is listed in `runs/intake.csv`.

    Args:
        workspace: Where `data/dataset.toml` lies.
        tolerant: Leave out missing images, however many there are; see `Source.missing`.

    Raises:
        RecipeError: dataset.toml is wrong.
        DataError: The labels, the list of exclusions or where the images lie is refused.
    """
    recipe = load_recipe(workspace.dataset_recipe, DatasetRecipe)
    root = image_root(workspace, recipe)
    files = open_files(recipe, root)
    exclusions = read_exclusions(workspace.exclusions)
    missing = None
    try:
        table = _read_table(workspace, recipe, root, files, exclusions)
    except RefusedData as error:
        if not tolerant:
            raise
        lenient = recipe.model_copy(update={"allow_missing": _ANY_NUMBER})
        try:
            table, missing = _read_table(workspace, lenient, root, files, exclusions), error
        except DataError:  # there is more that is wrong, or nothing is left
            raise refused(workspace, error.summary, error.problems) from error
    return Source(recipe, root, files, exclusions, take_fraction(table, recipe.fraction), missing)


def locate(workspace: Workspace, root: Path) -> LabelTable:
    """Remember where this machine keeps labels and images, after a look at the label table there.

    Raises:
        DataError: The folder does not exist or its label table is refused.
    """
    recipe = load_recipe(workspace.dataset_recipe, DatasetRecipe)
    if not root.is_dir():
        raise DataError(f"the data folder {root} does not exist")
    files = open_files(recipe, root)
    table = _read_table(workspace, recipe, root, files, read_exclusions(workspace.exclusions))
    write_json(workspace.location, {"root": str(root.resolve())})
    return table


def refused(workspace: Workspace, message: str, problems: Sequence[Problem]) -> RefusedData:
    """List problems in `runs/intake.csv` and return the error that says so."""
    _write_problems(workspace, problems)
    listed = f"{message}; all are listed in {workspace.intake_problems}"
    return RefusedData(listed, list(problems), summary=message)


def remember_facts(
    workspace: Workspace, source: Source, known: Mapping[str, ImageFacts], facts: Sequence[ImageFacts]
) -> None:
    """Store the facts of the images in use, and those that are known of images that are excluded just now."""
    excluded = {image: fact for image, fact in known.items() if image in source.exclusions}
    current = excluded | {fact.image: fact for fact in facts}
    if current != known:
        write_facts(workspace.image_facts, list(current.values()))


def _read_table(
    workspace: Workspace,
    recipe: DatasetRecipe,
    root: Path,
    files: ImageFiles,
    excluded: Mapping[str, Exclusion],
) -> LabelTable:
    try:
        table = read_label_table(recipe, root, files, look=True, excluded=excluded)
    except RefusedData as error:
        raise refused(workspace, str(error), error.problems) from error
    if table.missing:
        _write_problems(workspace, [Problem(image, "missing, left out", "") for image in table.missing])
    else:
        workspace.intake_problems.unlink(missing_ok=True)  # its problems are solved
    return table


def _write_problems(workspace: Workspace, problems: Sequence[Problem]) -> None:
    rows = map(neutralised, problems)
    write_csv(workspace.intake_problems, Problem._fields, rows)
