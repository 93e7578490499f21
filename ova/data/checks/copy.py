"""A copy of what is in use, as the folder `data` of a new workspace, with smaller files if asked."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import tomli_w
from PIL import Image

from ova.data.images.decode import decode_bytes
from ova.data.images.resize import resize_pixels
from ova.data.labels.table import UNKNOWN, LabelTable
from ova.data.recipe import DatasetRecipe
from ova.data.source import Source
from ova.data.tables.texts import Texts
from ova.data.workers import map_in_order
from ova.errors import DataError, RecipeError
from ova.progress import Progress, Silent
from ova.storage import building_folder, csv_bytes
from ova.workspace import Workspace

_CARRIED_SETTINGS = {"white_level", "draft_side", "duplicates", "clean", "split"}
_JPEG_START = b"\xff\xd8\xff"


def write_clean_copy(
    workspace: Workspace,
    source: Source,
    folder: Path,
    progress: Progress | None = None,
    *,
    short_side: int | None = None,
) -> None:
    """Write `images/...`, `labels.csv`, `dataset.toml` and `left_out.csv` into a new or empty folder.

    It is all there afterwards, or nothing of it. The table is a wide one, whatever the form of the labels;
    image files are copied byte for byte, but for those that are made smaller.

    Args:
        workspace: Where the list of images to leave out lies.
        source: What is left.
        folder: New or empty.
        progress: Told of images that are copied, and how many are smaller now.
        short_side: Pixels to which the shorter side of larger images is brought; see `shrink_image`.

    Raises:
        RecipeError: The folder is not empty.
        DataError: An image cannot be read any more.
        EnvironmentFault: The disk is full or read-only.
    """
    progress, table = progress or Silent(), source.table
    columns = _columns(table)
    copied = partial(_content, source, short_side)
    smaller = 0
    progress.start("copying images", len(table.images))
    with building_folder(folder.resolve().parent) as building:
        contents = zip(table.images, map_in_order(copied, table.images), strict=True)
        for done, (image, (content, shrunk)) in enumerate(contents, start=1):
            building.add(f"images/{image}", content)
            smaller += shrunk
            progress.advance("copying images", done)
        if short_side is not None:
            total = len(table.images)
            progress.say(f"{smaller:,} of {total:,} images are smaller now: shorter side {short_side} pixels")
        building.add("labels.csv", csv_bytes([*columns, *table.labels], _rows(table, len(columns) > 1)))
        building.add("dataset.toml", _recipe(source.recipe, table, columns))
        if workspace.exclusions.is_file():
            building.add("left_out.csv", workspace.exclusions.read_bytes())
        check_target(folder, source.root)
        if folder.exists():
            folder.rmdir()
        building.commit(folder.name)


def _columns(table: LabelTable) -> list[str]:
    """Name the columns before those of the labels: the image, and the group if there are any."""
    grouped = Texts.of(table.groups) != Texts.of(table.images)
    names = ["image", "group"] if grouped else ["image"]
    while set(names) & set(table.labels):
        names = [f"{name}_" for name in names]
    return names


def _rows(table: LabelTable, grouped: bool) -> Iterator[Sequence[object]]:
    for image, group, cells in zip(table.images, table.groups, table.values.tolist(), strict=True):
        shown = ("" if cell == UNKNOWN else cell for cell in cells)
        yield (f"images/{image}", *([group] if grouped else []), *shown)


def _recipe(recipe: DatasetRecipe, table: LabelTable, columns: Sequence[str]) -> bytes:
    content = {
        "labels": "labels.csv",
        "delimiter": ",",
        "image_column": columns[0],
        "label_columns": list(table.labels),
        **({"group": {"column": columns[1]}} if len(columns) > 1 else {}),
        **recipe.model_dump(mode="json", include=_CARRIED_SETTINGS, exclude_unset=True, exclude_none=True),
    }
    return tomli_w.dumps(content).encode()


def _content(source: Source, short_side: int | None, image: str) -> tuple[bytes, bool]:
    """Return the file to write, and whether it is a smaller one."""
    content = source.files.read(image)
    if short_side is None:
        return content, False
    try:
        smaller = shrink_image(content, short_side, source.recipe.white_level)
    except DataError as error:
        raise DataError(f"{source.files.where(image)}: {error}") from error
    return smaller or content, smaller is not None


def shrink_image(content: bytes, short_side: int, white_level: int | None = None) -> bytes | None:
    """Make an image smaller so that its shorter side has a given length, without distorting it.

    Args:
        content: A JPEG or PNG file.
        short_side: Pixels.
        white_level: Value of 16-bit grey that becomes 255; see `ova.data.images.decode.decode_image`.

    Returns:
        A file of the same kind, upright, 8 bits a channel (JPEG: quality 95, colours at full resolution), or
        None if the shorter side is not longer than that.

    Raises:
        DataError: The image cannot be decoded.
    """
    pixels = decode_bytes(content, white_level=white_level).pixels
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter <= short_side:
        return None
    size = round(height * short_side / shorter), round(width * short_side / shorter)
    small = resize_pixels(pixels, size)
    image = Image.fromarray(small[:, :, 0] if small.shape[2] == 1 else small)
    file = io.BytesIO()
    if content.startswith(_JPEG_START):
        image.save(file, "JPEG", quality=95, subsampling=0)
    else:
        image.save(file, "PNG")
    return file.getvalue()


def check_target(folder: Path, root: Path) -> None:
    """Refuse a folder that holds anything, or that lies where images are looked for.

    Args:
        folder: Where a copy shall go.
        root: Where the images lie.

    Raises:
        RecipeError: It does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecipeError(f"{folder} is not an empty folder; name a new one for the copy")
    if folder.resolve().is_relative_to(root.resolve()):
        raise RecipeError(f"{folder} lies among the images of {root}; name a folder elsewhere for the copy")
