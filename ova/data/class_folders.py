"""A tree of class folders as labels: an image anywhere under ROOT/CLASS belongs to CLASS and no other."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ova.data.images import IMAGE_SUFFIXES
from ova.data.label_forms import Labelled, refuse_unknown
from ova.errors import DataError, first_few


def from_folders(root: Path, drop_classes: Sequence[str]) -> Labelled:
    """List the images of every class folder; hidden files and folders are left out.

    Raises:
        DataError: The tree cannot be listed, or a class has no image.
    """
    try:
        found = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != ".")
        refuse_unknown(root, set(drop_classes), set(found))
        labels = [name for name in found if name not in drop_classes]
        members = [sorted(_images_under(root, label)) for label in labels]
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be listed ({error.strerror}); correct root") from error
    if empty := [label for label, images in zip(labels, members, strict=True) if not images]:
        raise DataError(
            f"{root}: no PNG or JPEG under {first_few(empty)}; fill, remove or drop these classes"
        )
    images = [image for some in members for image in some]
    if strange := [ascii(image) for image in images if not _is_unicode(image)]:
        raise DataError(f"{root}: file names that are not UTF-8: {first_few(strange)}; rename them")
    classes = np.repeat(np.arange(len(labels)), [len(some) for some in members])
    values = (classes[:, None] == np.arange(len(labels))).astype(np.int8)
    return Labelled(images, labels, values, np.arange(len(images)))


def _images_under(root: Path, label: str) -> Iterable[str]:
    def fail(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root / label, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        prefix = Path(folder).relative_to(root).as_posix()
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield f"{prefix}/{name}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
