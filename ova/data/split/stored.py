"""The split of a workspace: made once, kept where images are known, and extended when images are added."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ova.data.labels.table import LabelTable
from ova.data.recipe import SplitRecipe
from ova.data.split.leaks import find_leaks
from ova.data.split.split import TEST, Kept, Split, make_split
from ova.digests import digest_file
from ova.errors import ArtefactError
from ova.storage import csv_bytes, read_csv, read_json, write_bytes, write_json
from ova.workspace import Workspace

# What decides which rows are the test; another validation share or number of folds keeps them.
_OF_TEST = ("seed", "test", "test_per_class", "min_positives")


@dataclass(frozen=True)
class Moved:
    """An image that left its part, because it belongs together now with images of another one."""

    image: str
    before: str
    after: str


@dataclass(frozen=True)
class StoredSplit:
    """What lies in a workspace."""

    part_of: Mapping[str, str]
    """Of every image that was ever split, also of those that have gone since."""
    settings: Mapping[str, Any]
    """The `[split]` of dataset.toml that it was made with."""
    moved: tuple[Moved, ...] = ()


def stored_split(
    workspace: Workspace,
    table: LabelTable,
    pixels: Mapping[str, str],
    recipe: SplitRecipe,
    together: Sequence[Sequence[str]] = (),
) -> Split:
    """Return the split of a workspace; store it if it is new or has changed.

    Images that are known keep their part, whatever becomes of labels or of other images. New ones are placed
    by the same rule, and go to the part of the known ones that they belong together with. Known images of
    several parts that belong together now go to one of these (`joined_part`). Another `[split]` splits anew,
    but keeps the test rows where only validation or folds are others.

    Args:
        workspace: Where the split lies.
        table: Images, labels and groups.
        pixels: Image -> digest of its pixels.
        recipe: The `[split]` of dataset.toml.
        together: More image ids that must not be parted, such as near duplicates.

    Raises:
        ArtefactError: The split on disk was edited or damaged.
        DataError: There are fewer groups of images than parts.
    """
    settings = recipe.model_dump(mode="json")
    stored = read_split(workspace)
    kept = None if stored is None else _kept(stored, settings)
    if stored is None or kept is None:
        split = make_split(table, pixels, recipe, together)
        _write(workspace, StoredSplit(split.part_of, settings))
        return split
    if not kept.only_test and all(image in kept.part_of for image in table.images):
        split = Split({image: kept.part_of[image] for image in table.images})
        if not find_leaks(table, pixels, split.part_of, together).total:
            return split
    split = make_split(table, pixels, recipe, together, kept)
    moved = (*stored.moved, *_moved(kept, split))
    _write(workspace, StoredSplit({**stored.part_of, **split.part_of}, settings, moved))
    return split


def read_split(workspace: Workspace) -> StoredSplit | None:
    """Read the split of a workspace, if it has one.

    Raises:
        ArtefactError: It was edited or damaged.
    """
    if not workspace.split_origin.exists():
        return None
    known = _read_records(workspace)
    digest = _digest(workspace)
    if digest not in known:
        raise ArtefactError(
            f"{workspace.split_table} no longer matches {workspace.split_origin.name}; "
            "remove both to split again (heads trained on the old split are then trained anew)"
        )
    if digest is None:  # the first split, whose table was not written any more
        return None
    part_of = {row["image"]: row["part"] for row in read_csv(workspace.split_table)}
    return StoredSplit(part_of, *known[digest])


def _read_records(workspace: Workspace) -> dict[str | None, tuple[dict[str, Any], tuple[Moved, ...]]]:
    """Read digest of a table -> settings and moves."""
    path = workspace.split_origin
    try:
        return {
            record["table"]: (dict(record["settings"]), tuple(Moved(**each) for each in record["moved"]))
            for record in read_json(path)["splits"]
        }
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            f"{path} is damaged; remove it and {workspace.split_table.name} to split again"
        ) from error


def _digest(workspace: Workspace) -> str | None:
    return digest_file(workspace.split_table) if workspace.split_table.is_file() else None


def _write(workspace: Workspace, split: StoredSplit) -> None:
    """Replace the table, which the record names by its digest.

    Between the two the record knows the old table as well as the new one, so that after a crash whichever is
    there goes on, with the settings that it was made with.
    """
    content = csv_bytes(("image", "part"), sorted(split.part_of.items()))
    record = {
        "table": hashlib.sha256(content).hexdigest(),
        "settings": split.settings,
        "moved": [asdict(each) for each in split.moved],
    }
    old: dict[str, Any] = {"table": _digest(workspace), "settings": {}, "moved": []}
    if workspace.split_origin.exists():
        records = read_json(workspace.split_origin)["splits"]
        old = next((each for each in records if each["table"] == old["table"]), old)
    write_json(workspace.split_origin, {"splits": [record, old]})
    write_bytes(workspace.split_table, content)
    write_json(workspace.split_origin, {"splits": [record]})


def _kept(stored: StoredSplit, settings: Mapping[str, Any]) -> Kept | None:
    """Say what a stored split decides now; settings that it does not know had their defaults."""
    defaults = {name: field.default for name, field in SplitRecipe.model_fields.items()}
    before = {**defaults, **stored.settings}
    if before == settings:
        return Kept(stored.part_of)
    same = all(before[name] == settings[name] for name in _OF_TEST)
    return Kept(stored.part_of, only_test=True) if same else None


def _moved(kept: Kept, split: Split) -> list[Moved]:
    """List the images that are no longer where the earlier split had them."""
    found = []
    for image, after in sorted(split.part_of.items()):
        before = kept.part_of.get(image, after)
        if (before == TEST) != (after == TEST) or (not kept.only_test and before != after):
            found.append(Moved(image, before, after))
    return found
