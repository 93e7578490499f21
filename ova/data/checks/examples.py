"""Examples of what a check found, as one picture: a row per kind of finding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ova.data.checks.findings import FINDING_KINDS, GREY_CHROMA, Finding
from ova.data.checks.survey import MISSING, UNREADABLE, Survey
from ova.data.images.contact_sheet import GridRow, picture_grid_png
from ova.data.images.originals import Pictures
from ova.storage import write_bytes
from ova.workspace import Workspace

_TILES, _SIDE = 6, 96


def draw_examples(workspace: Workspace, survey: Survey, findings: Sequence[Finding]) -> list[Path]:
    """Write the picture of the first images of each kind, those that are compared side by side.

    Returns:
        The file; none where no image that can be shown has a finding.
    """
    rows = list(_rows(survey, findings))
    if not rows:
        workspace.findings_picture.unlink(missing_ok=True)
        return []
    picture = picture_grid_png(["findings, for example"], [""] * _TILES, rows)
    write_bytes(workspace.findings_picture, picture)
    return [workspace.findings_picture]


def _rows(survey: Survey, findings: Sequence[Finding]) -> Iterator[GridRow]:
    channels = 3 if np.any(survey.qualities.chroma > GREY_CHROMA) else 1
    white = np.full((_SIDE, _SIDE, channels), 255, np.uint8)
    for kind in FINDING_KINDS:
        some = [each for each in findings if each.finding == kind]
        if not some or kind in (MISSING, UNREADABLE):
            continue
        tiles = [_tile(survey, image, white) for image in _shown(some)]
        tiles += [white] * (_TILES - len(tiles))
        yield GridRow(f"{kind}: {len(some):,}", tiles)


def _shown(some: Sequence[Finding]) -> list[str]:
    """Choose images; where they are compared with another, pairs that have no image in common."""
    shown: dict[str, None] = {}
    for each in some:
        pair = [each.image, each.other] if each.other else [each.image]
        if not any(image in shown for image in pair) and len(shown) + len(pair) <= _TILES:
            shown |= dict.fromkeys(pair)
    return list(shown)


def _tile(survey: Survey, image: str, white: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink an image to the tile, without a change of its shape; small ones stay as they are."""
    source = survey.source
    pixels = Pictures(source.recipe, source.files).decode(image, white.shape[2])
    picture = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    small = np.atleast_3d(np.asarray(picture))
    tile = white.copy()
    top, left = ((_SIDE - length) // 2 for length in small.shape[:2])
    tile[top : top + small.shape[0], left : left + small.shape[1]] = small
    return tile
