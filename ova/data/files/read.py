"""The bytes of one image file, if it is a regular file of a kind and size that is decoded."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ova.errors import DataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_IMAGE_BYTES = 64 * 1024 * 1024


def read_image(path: Path | str) -> bytes:
    """Read the bytes of an image file, if it is a regular file of a size that is decoded.

    Raises:
        DataError: It is missing, too large, not a regular file, or cannot be read.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (of many small images, every `Path` would be felt)
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path}: is a folder, not an image; name a JPEG or PNG file")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: is not a regular file; name a JPEG or PNG file")
        if status.st_size > MAX_IMAGE_BYTES:
            raise DataError(f"{path}: {too_large(status.st_size)}")
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing; correct the path or the image root") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); check the file and its permissions") from error


def too_large(size: int) -> str:
    """Say that a file is larger than what is decoded."""
    return f"has {size:,} bytes, the limit is {MAX_IMAGE_BYTES:,}; save it smaller"
