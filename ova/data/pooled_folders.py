"""Class folders that a provider has divided into train and test: found, and read as one set."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from ova.data.class_folders import unlisted
from ova.data.labels import LeftOut
from ova.errors import DataError, first_few
from ova.recipes import nearest

_SPLIT = re.compile(
    r"(?:train|training|test|testing|val|valid|validation|dev|eval|evaluation)(?:[ _-]?(?:set|data|images))?",
    re.IGNORECASE,
)


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
    if not all(_SPLIT.fullmatch(name) for name in folders):
        return []
    try:
        listed = {name: list(images) for name, images in folders.items()}
    except OSError as error:
        raise unlisted(error) from error
    return sorted(
        name for name, images in listed.items() if images and all(image.count("/") > 1 for image in images)
    )
