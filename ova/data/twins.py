"""Image names that another file system takes for one: they differ by case or Unicode normal form only."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from ova.data.alike import rows_alike
from ova.data.problems import Ledger, Problem
from ova.data.texts import Texts


def report_twins(images: Texts, where: Callable[[int], str], ledger: Ledger) -> None:
    """Report names that Windows, macOS or an archive would not keep apart.

    Args:
        images: n different image paths.
        where: Names the place of a row, for a person.
        ledger: Told of every image whose name an earlier one has but for case or form.
    """
    pairs = [(rows[0], row) for rows in rows_alike(images, folded) for row in rows[1:]]
    if not pairs:
        return
    one, other = pairs[0]
    ledger.add(
        f"{len(pairs):,} image names differ from another by {difference(images[one], images[other])} only "
        f"({images[other]!r} and {images[one]!r}); rename the files or remove rows",
        (
            Problem(
                images[row],
                f"differs from {images[first]!r} by {difference(images[first], images[row])} only",
                where(row),
            )
            for first, row in pairs
        ),
    )


def folded(name: str) -> str:
    """Return what two names have in common that differ by case or Unicode normal form only."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def difference(one: str, other: str) -> str:
    """Say by what two names differ that are folded to the same."""
    same_form = unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
    return "Unicode form" if same_form else "case"
