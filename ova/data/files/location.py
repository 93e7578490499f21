"""Where the labels and images of a workspace lie on this machine; light, so that `ova list` may ask."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from ova.data.recipe import DatasetRecipe
from ova.digests import digest_file, digest_json
from ova.errors import ArtefactError, DataError
from ova.storage import read_json
from ova.workspace import Workspace


def image_root(workspace: Workspace, recipe: DatasetRecipe) -> Path:
    """Return the folder of labels and images: as located on this machine, else as dataset.toml says.

    Raises:
        ArtefactError: The note of where it is on this machine is damaged.
        DataError: It does not exist; the message says how to name it.
    """
    root = Path(os.path.normpath(workspace.dataset_recipe.parent / recipe.root))
    if workspace.location.exists():
        root = _located(workspace.location)
    if not root.is_dir():
        raise DataError(
            f"the data folder {root} does not exist; say where it is with: ova data locate FOLDER"
        )
    return root


def labels_digest(workspace: Workspace, root: Path, recipe: DatasetRecipe) -> str | None:
    """Digest label tables and the list of exclusions as they are now; see `label_file_digest`."""
    digest = label_file_digest(root, recipe)
    if not workspace.exclusions.is_file():
        return digest
    return digest_json([digest, digest_file(workspace.exclusions)])


def label_file_digest(root: Path, recipe: DatasetRecipe) -> str | None:
    """Digest label tables and names of labels as they are now; None for class folders or a missing file."""
    if not recipe.labels:
        return None
    names = (*recipe.labels, *(recipe.label_names or {}).values())
    digests = [_digest(root, recipe.archive, name) for name in names]
    return None if None in digests else digests[0] if len(digests) == 1 else digest_json(digests)


def _digest(root: Path, archive: str | None, table: str) -> str | None:
    if (root / table).is_file():
        return digest_file(root / table)
    return None if archive is None else _digest_inside(root / archive, table)


def _digest_inside(archive: Path, table: str) -> str | None:
    from ova.data.files.archive import Archive
    from ova.data.tables.reader import MAX_TABLE_BYTES

    try:
        with Archive(archive).stream(table, MAX_TABLE_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except DataError:
        return None


def _located(path: Path) -> Path:
    record = read_json(path)
    if not isinstance(record, dict) or not isinstance(record.get("root"), str):
        raise ArtefactError(f"{path} names no folder; write it again with: ova data locate FOLDER")
    return Path(record["root"])
