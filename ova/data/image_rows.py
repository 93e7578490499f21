"""Which row of a store is which image: 24 bytes per image, whatever the length of its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ova.errors import ArtefactError
from ova.storage import read_tensors, write_tensors

_KEY = 16


@dataclass(frozen=True, eq=False)
class ImageRows:
    """The rows of n images.

    Attributes:
        keys: (n,) S16, the first 128 bits of the SHA-256 of every name, sorted.
        row: (n,) int64, the row of each.
    """

    keys: NDArray[np.bytes_]
    row: NDArray[np.int64]

    @classmethod
    def of(cls, images: Sequence[str]) -> ImageRows:
        """Number images in the order given."""
        keys = _keys(images)
        order = np.argsort(keys, kind="stable")
        return cls(keys[order], order.astype(np.int64))

    @classmethod
    def read(cls, path: Path) -> ImageRows:
        """Read what `write` wrote.

        Raises:
            ArtefactError: It is missing or damaged.
        """
        tensors, _ = read_tensors(path)
        try:
            return cls(tensors["keys"].reshape(-1, _KEY).view(f"S{_KEY}").ravel(), tensors["row"])
        except (KeyError, ValueError) as error:
            raise ArtefactError(f"{path} lists no images; remove {path.parent} and run again") from error

    def write(self, path: Path) -> None:
        """Write the rows as safetensors."""
        write_tensors(path, {"keys": self.keys.view(np.uint8), "row": self.row})

    def __len__(self) -> int:
        """Return n."""
        return len(self.row)

    def find(self, images: Sequence[str]) -> NDArray[np.intp]:
        """Return the rows of named images.

        Raises:
            KeyError: There is no such image.
        """
        wanted = _keys(images)
        places = np.searchsorted(self.keys, wanted).clip(max=max(len(self) - 1, 0))
        strange = self.keys[places] != wanted if len(self) else np.ones(len(wanted), np.bool_)
        if strange.any():
            raise KeyError(images[int(np.argmax(strange))])
        return self.row[places].astype(np.intp)


def _keys(images: Iterable[str]) -> NDArray[np.bytes_]:
    return np.frombuffer(
        b"".join(hashlib.sha256(image.encode()).digest()[:_KEY] for image in images), f"S{_KEY}"
    )
