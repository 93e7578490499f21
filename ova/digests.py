"""Digests of content: the names by which stores, runs, weights and splits are known."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def digest_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Digest names, dtypes, shapes and bytes of arrays, whatever their order in the mapping."""
    import numpy as np

    total = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        total.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        total.update(np.asarray(array, order="C").tobytes())
    return total.hexdigest()


def digest_json(value: object) -> str:
    """Digest a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def digest_file(path: Path) -> str:
    """Digest the bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
