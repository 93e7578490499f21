"""Do rows and images match?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ova.data.dataset import Dataset
from ova.errors import DataError


@dataclass(frozen=True)
class RowCheck:
    """Rows of the label table against images."""

    rows: int
    without_image: tuple[str, ...]
    """Image ids of rows whose image was not read."""
    without_row: tuple[str, ...]
    """Images beside them that no row names, or that were left out, sorted."""

    @property
    def images(self) -> int:
        """Rows with a sound image."""
        return self.rows - len(self.without_image)

    def to_json(self) -> dict[str, Any]:
        """Return the counts and the first hundred of each list."""
        return {
            "rows": self.rows,
            "images": self.images,
            "rows_without_image": len(self.without_image),
            "images_without_row": len(self.without_row),
            "examples_without_image": list(self.without_image[:100]),
            "examples_without_row": list(self.without_row[:100]),
        }


def check_rows(dataset: Dataset) -> RowCheck:
    """Compare the rows of the label table with the images that are there.

    Raises:
        DataError: A folder of images cannot be listed.
    """
    named = set(dataset.table.images)
    try:
        without_row = sorted(_text(image) for image in dataset.files.images() if image not in named)
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be listed ({error.strerror}); check its permissions"
        ) from error
    return RowCheck(
        len(dataset.table.images), tuple(sorted(named - dataset.facts.keys())), tuple(without_row)
    )


def _text(name: str) -> str:
    """Show "?" for what is no Unicode in the name of a file."""
    return name.encode("utf-8", errors="replace").decode()
