"""Which image files a person means by naming files and folders; light, for prediction without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ova.data.files.read import IMAGE_SUFFIXES
from ova.errors import DataError


def find_images(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are named, and of folders all images below them, sorted.

    Raises:
        DataError: A folder without images. (A missing file is answered when it is read.)
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in IMAGE_SUFFIXES
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        )
        if not inside:
            raise DataError(f"{path} holds no image ({', '.join(IMAGE_SUFFIXES)})")
        found += inside
    return found
