"""Whether the images of a table are there, and names that another file system takes for one."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.files.image_files import ImageFiles
from ova.data.problems import Ledger, Problem
from ova.data.tables.texts import Texts, rows_alike, text_hashes
from ova.errors import DataError


class Presence(NamedTuple):
    """What a look into the folders of the images showed."""

    missing: NDArray[np.intp]
    """Rows of the images that are not there."""
    twins: dict[str, str]
    """Missing image -> a file whose name differs by case or Unicode form only."""
    unnamed: int
    """Images in the same folders that are in no row."""


NOTHING_MISSING = Presence(np.zeros(0, np.intp), {}, 0)


def look_for(images: Texts, files: ImageFiles) -> Presence:
    """Look for images, listing each of their folders once instead of asking for each image.

    Args:
        images: n different image paths.
        files: Where they should be.
    """
    folders = sorted({image.rpartition("/")[0] for image in images})
    listed = Texts.of(name for folder in folders for name in files.names(folder))
    wanted, found = text_hashes(images), text_hashes(listed)
    absent = np.flatnonzero(~_within(wanted, found)).tolist()
    # What no listing shows may still be there: another kind of file name, or a file system that folds case.
    missing = np.array([row for row in absent if not files.holds(images[row])], np.intp)
    unnamed = int(np.sum(~_within(found, wanted)))
    return Presence(missing, _twins([images[row] for row in missing], listed), unnamed)


def _within(values: NDArray[np.int64], pool: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which values are in the pool, as `np.isin` does, in a quarter of its memory."""
    if not len(pool):
        return np.zeros(len(values), bool)
    ordered = np.sort(pool)
    return ordered[np.searchsorted(ordered, values).clip(max=len(pool) - 1)] == values


def _twins(missing: list[str], listed: Texts) -> dict[str, str]:
    by_folded = {folded(image): image for image in missing}
    if not by_folded:
        return {}
    return {by_folded[key]: name for name in listed if (key := folded(name)) in by_folded}


def report_missing(
    images: Texts,
    missing: NDArray[np.intp],
    presence: Presence,
    where: Callable[[int], str],
    files: ImageFiles,
    ledger: Ledger,
) -> None:
    """Report images that are not there.

    Args:
        images: n image paths.
        missing: Rows of those that are missing.
        presence: What was found instead.
        where: Names the place of a row, for a person.
        files: Where they should be.
        ledger: Told of every missing image.
    """
    examples = [images[row] + _hint(images[row], presence) for row in missing[:3].tolist()]
    ledger.add(
        f"{len(missing):,} of {len(images):,} images are not below {files.source}: {', '.join(examples)}"
        f"{', ...' if len(missing) > 3 else ''}; correct the table, {_advice(files, images[missing[0]])}, "
        "or set allow_missing",
        (
            Problem(images[row], f"missing{_hint(images[row], presence)}", where(row))
            for row in missing.tolist()
        ),
    )


def _hint(image: str, presence: Presence) -> str:
    twin = presence.twins.get(image)
    return f" ({twin} is there: it differs by {difference(image, twin)} only)" if twin else ""


def _advice(files: ImageFiles, image: str) -> str:
    """Say what else may be wrong than the table, as those say who know what the images lie in."""
    if files.source.is_dir():
        return "or name the folder that its paths start from (root; ova init --images)"
    try:
        files.status(image)
    except DataError as error:
        return str(error).rpartition("; ")[2]
    return "correct archive"


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
