"""A tree of class folders as labels, and class folders that a provider has divided into train and test."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np

from ova.data.files.listing import unlisted
from ova.data.labels.labelled import Labelled, refuse_unknown
from ova.data.labels.table import LeftOut
from ova.errors import DataError, first_few
from ova.recipes import nearest

_PROVIDER_SPLIT = re.compile(
    r"(?:train|training|test|testing|val|valid|validation|dev|eval|evaluation)(?:[ _-]?(?:set|data|images))?",
    re.IGNORECASE,
)


def from_folders(source: Path, folders: Mapping[str, Iterable[str]], drop_classes: Sequence[str]) -> Labelled:
    """Turn class folders into labels.

    Args:
        source: Where they lie, for messages.
        folders: The images of every class folder.
        drop_classes: Classes to leave out.

    Raises:
        DataError: The tree cannot be listed, or a class has no image.
    """
    refuse_unknown(source, set(drop_classes), set(folders))
    labels = [name for name in sorted(folders) if name not in drop_classes]
    try:
        members = [sorted(folders[label]) for label in labels]
    except OSError as error:
        raise unlisted(error) from error
    dropped = _count(folders[name] for name in set(folders) & set(drop_classes))
    if empty := [label for label, images in zip(labels, members, strict=True) if not images]:
        raise DataError(
            f"{source}: no PNG or JPEG under {first_few(empty)}; fill, remove or drop these classes"
        )
    images = [image for some in members for image in some]
    if strange := [ascii(image) for image in images if not _is_unicode(image)]:
        raise DataError(f"{source}: file names that are not UTF-8: {first_few(strange)}; rename them")
    classes = np.repeat(np.arange(len(labels)), [len(some) for some in members])
    values = (classes[:, None] == np.arange(len(labels))).astype(np.int8)
    what = f"of dropped classes ({first_few(sorted(drop_classes), 3)})"
    left_out = (LeftOut(what, dropped, dropped + len(images)),) if dropped else ()
    return Labelled(images, labels, values, np.arange(len(images)), left_out)


def _count(folders: Iterable[Iterable[str]]) -> int:
    """Count the images of dropped classes, as far as their folders can be listed."""
    count = 0
    for images in folders:
        with suppress(OSError):
            count += sum(1 for _ in images)
    return count


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def pool_folders(
    source: Path, folders: Mapping[str, Iterable[str]], pooled: Sequence[str]
) -> tuple[dict[str, list[str]], tuple[LeftOut, ...]]:
    """Read the class folders of several folders as one set.

    Args:
        source: Where they lie, for messages.
        folders: The images below every top folder.
        pooled: Those that hold class folders.

    Returns:
        The images of every class; what lies in other folders.

    Raises:
        DataError: One of them is not there or cannot be listed, or images in it lie in no class folder.
    """
    for name in pooled:
        if name not in folders:
            what = f"pooled_folders names {name!r}, which is not there"
            raise DataError(f"{source}: {what}{nearest(name, folders)}")
    classes: dict[str, list[str]] = defaultdict(list)
    astray: list[str] = []
    others = sorted(set(folders) - set(pooled))
    try:
        for image in chain.from_iterable(folders[name] for name in pooled):
            _, folder, *rest = image.split("/", 2)
            (classes[folder] if rest else astray).append(image)
        count = sum(1 for name in others for _ in folders[name])
    except OSError as error:
        raise unlisted(error) from error
    if astray:
        what = f"{len(astray):,} images of pooled_folders lie in no class folder"
        raise DataError(f"{source}: {what}: {first_few(sorted(astray), 3)}; move them into one")
    if not count:
        return classes, ()
    total = count + sum(map(len, classes.values()))
    return classes, (LeftOut(f"in folders that are not pooled ({first_few(others, 3)})", count, total),)


def provider_splits(folders: Mapping[str, Iterable[str]]) -> list[str]:
    """Find folders that hold class folders, where all are called train, test, validation or the like.

    Args:
        folders: The images below every top folder.

    Raises:
        DataError: One of them cannot be listed.
    """
    if not all(_PROVIDER_SPLIT.fullmatch(name) for name in folders):
        return []
    try:
        listed = {name: list(images) for name, images in folders.items()}
    except OSError as error:
        raise unlisted(error) from error
    return sorted(
        name for name, images in listed.items() if images and all(image.count("/") > 1 for image in images)
    )
