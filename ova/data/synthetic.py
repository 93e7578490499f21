"""Electroluminescence-like solar cells drawn from scratch: a labelled, unbalanced set without a download.

A cell is a product of layers (wafer, metal, defects) of relative light in [0, 1], photographed last with
an exposure of its own. Defects are layers that dim a few pixels, so a cell with and without its crack is the
same photograph elsewhere. Positions and lengths are in units of the cell edge (0 is left or top); those in
pixels are given for an edge of 96 and grow with it.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from ova.errors import DataError
from ova.storage import write_bytes

BLOCK, CRACKED, INACTIVE = 50, 11, 3
_OVERSAMPLING = 3

Layer = NDArray[np.float64]  # (size, size): factor on the light of each pixel
Line = NDArray[np.float64]  # (points, 2): x and y of each
Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class SyntheticCells:
    """Drawn cells with their labels."""

    images: NDArray[np.uint8]  # (n, size, size)
    crack: NDArray[np.int8]  # (n,), 1 or 0
    inactive: NDArray[np.int8]  # (n,), 1 or 0


def draw_cells(count: int, *, size: int = 96, seed: int = 0) -> SyntheticCells:
    """Draw labelled cells; each is a pure function of (seed, index, size), whatever the count.

    Labels come in blocks of 50 cells, each a permutation, drawn from (seed, block), of a fixed pattern: 11
    cracked (22 %) and 3 with inactive regions (6 %), cracked too but for one in every third block.

    Args:
        count: Number of cells.
        size: Edge of the square images in pixels, 32 or more.
        seed: Any integer from 0; another seed draws other cells.

    Returns:
        Images of shape (count, size, size) and their labels.

    Raises:
        DataError: A count below 1, a size below 32 or a negative seed.
    """
    if count < 1 or size < 32 or seed < 0:
        raise DataError(f"cannot draw {count} cells of {size} px with seed {seed}; give at least 1, 32 and 0")
    labels = np.concatenate([_label_block(seed, block) for block in range(-(-count // BLOCK))])[:count]
    images = np.empty((count, size, size), np.uint8)
    for index, (crack, inactive) in enumerate(labels.tolist()):
        images[index] = _draw_cell(seed, index, size, crack=bool(crack), inactive=bool(inactive))
    return SyntheticCells(images, labels[:, 0].copy(), labels[:, 1].copy())


def write_cells(folder: Path, cells: SyntheticCells) -> None:
    """Write `images/cell0001.png` and so on, and the label table `data.csv` (`filename;crack;inactive`).

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    rows = ["filename;crack;inactive"]
    for index, image in enumerate(cells.images):
        name = f"images/cell{index + 1:04d}.png"
        content = io.BytesIO()
        Image.fromarray(image).save(content, format="PNG")
        write_bytes(folder / name, content.getvalue())
        rows.append(f"{name};{cells.crack[index]};{cells.inactive[index]}")
    write_bytes(folder / "data.csv", ("\n".join(rows) + "\n").encode())


def _label_block(seed: int, block: int) -> NDArray[np.int8]:
    """Labels (crack, inactive) of the cells of one block, of shape (50, 2)."""
    labels = np.zeros((BLOCK, 2), np.int8)
    labels[:CRACKED, 0] = 1
    last = CRACKED + (block % 3 == 2)
    labels[last - INACTIVE : last, 1] = 1
    return np.random.default_rng((seed, block, 4)).permutation(labels)  # cells draw from streams 0 to 3


def _draw_cell(seed: int, index: int, size: int, *, crack: bool, inactive: bool) -> NDArray[np.uint8]:
    wafer, camera, cracks, region = (np.random.default_rng((seed, index, stream)) for stream in range(4))
    count = int(wafer.integers(2, 5))
    rows = (np.arange(count) + 0.5) / count + wafer.uniform(-0.03, 0.03)
    limits = [0.0, *rows.tolist(), 1.0]  # rim, busbars, rim, from the top
    light = _draw_wafer(wafer, size, count) * _draw_metal(wafer, size, limits[1:-1])
    light *= _draw_blemishes(wafer, size, limits)
    dark, edges = _draw_inactive(region, size, limits, crack) if inactive else (1, [])
    light *= dark
    if crack:
        light *= _draw_cracks(cracks, size, edges)
    return _photograph(camera, light)


def _draw_wafer(random: Random, size: int, bands: int) -> Layer:
    """Crystal: smooth with cut corners (mono), or grains, their boundaries and dislocation clouds (multi)."""
    down, across = np.mgrid[0:size, 0:size] / (size - 1) - 0.5
    if random.random() < 0.45:
        corners = np.clip((random.uniform(0.63, 0.685) - np.hypot(down, across)) * size / 2, 0, 1)
        shade = random.uniform(0, 0.06) * np.cos(2 * np.pi * bands * (down + 0.5))
        return (1 - shade) * (0.2 + 0.8 * corners)
    grains = int(random.integers(30, 90))
    centres = np.ones((size, size), bool)
    centres[random.integers(0, size, grains), random.integers(0, size, grains)] = False
    nearest = ndimage.distance_transform_edt(centres, return_distances=False, return_indices=True)
    patch = random.random((size, size))[tuple(nearest)]  # type: ignore[arg-type]
    boundary = ndimage.maximum_filter(patch, 2) != patch
    cloud, wear = (_noise(random, size, blur) for blur in (random.uniform(1.2, 4), 5))
    light = 1 - random.uniform(0.03, 0.22) * patch
    light -= random.uniform(0.05, 0.3) * boundary * np.clip(wear, 0, 1)
    return light * (1 - random.uniform(0.1, 0.45) * np.clip(cloud - random.uniform(0.8, 1.6), 0, 1.5))


def _draw_metal(random: Random, size: int, busbars: list[float]) -> Layer:
    """Busbars across (whole or dashed) and fine fingers down the cell."""
    period = random.uniform(2.6, 5) * size / 96
    fingers = 1 - random.uniform(0, 0.05) * (1 + np.cos(2 * np.pi * np.arange(size) / period))
    thickness, margin = random.uniform(1.2, 3) / 96, random.uniform(0, 0.06)
    dashes = int(random.integers(5, 11)) if random.random() < 0.3 else 0
    spans = np.linspace(margin, 1 - margin, 2 * dashes + 2).reshape(-1, 2)
    strips = [_box(left, row, right, row + thickness) for row in busbars for left, right in spans]
    light = fingers * (1 - random.uniform(0.5, 0.85) * _cover(size, polygons=strips))
    rim = np.pad(np.ones(size - 2), 1, constant_values=random.uniform(0.3, 0.8))
    return light * rim * rim[:, None]


def _draw_blemishes(random: Random, size: int, limits: list[float]) -> Layer:
    """What is no defect: finger interruptions, bright scratches, soft dark clouds and corners, spots."""
    light = np.ones((size, size))
    for _ in range(int(random.poisson(1.5))):
        band = int(random.integers(len(limits) - 1))
        left, width = random.uniform(0, 0.95), random.uniform(0.01, 0.05)
        streak = _cover(size, polygons=[_box(left, limits[band], left + width, limits[band + 1])])
        fade = np.linspace(random.uniform(0, 1), random.uniform(0, 1), size)[:, None]
        soft = ndimage.gaussian_filter1d(streak, 0.8 * size / 96, axis=1)
        light *= 1 - random.uniform(0.2, 0.7) * soft * fade
    if random.random() < 0.35:
        ends = random.random((int(random.integers(1, 3)), 2, 2))
        light *= 1 + random.uniform(0.1, 0.3) * _cover(size, ends, width=random.uniform(0.6, 1.4))
    if random.random() < 0.3:
        centre = random.choice([0.0, 0.5, 1.0], 2) + random.normal(0, 0.15, 2)
        light *= 1 - random.uniform(0.3, 0.8) * _glow(size, centre, random.uniform(0.1, 0.25, 2))
    for centre in random.random((int(random.poisson(1.0)), 2)):
        light *= 1 - random.uniform(0.2, 0.8) * _glow(size, centre, random.uniform(0.006, 0.02, 2))
    return light


def _draw_inactive(random: Random, size: int, limits: list[float], slanted: bool) -> tuple[Layer, list[Line]]:
    """Dark regions between busbars (or a busbar and the rim), and the slanted edges that cracks gave them.

    Without a crack the sides follow the fingers, as where a group of fingers lost its contact.
    """
    bands = [(top, bottom) for top, bottom in itertools.pairwise(limits) if bottom - top > 0.14]
    light = np.ones((size, size))
    edges: list[Line] = []
    for _ in range(int(random.choice([1, 2, 3], p=[0.55, 0.3, 0.15]))):
        top, bottom = bands[int(random.integers(len(bands)))]
        width = random.uniform(0.3, 0.55) * min(1.0, 0.35 / (bottom - top))
        left = random.choice([0.0, 1 - width, random.uniform(0.1, 0.9 - width)])
        region = _box(left, top, left + width, bottom)
        tilt = random.uniform(-0.4, 0.4, 2) * (bottom - top) * slanted
        region[:, 0] += tilt[[0, 1, 1, 0]] * (1, 1, -1, -1)
        light *= 1 - random.uniform(0.7, 0.93) * _cover(size, polygons=[region])
        reach = random.uniform(0, 0.6, 2)[:, None]  # a crack runs on beyond the region that it cut off
        grown = [side + (side - side[::-1]) * reach for side in (region[[0, 3]], region[[1, 2]])]
        edges += [line for line in grown if slanted and 0.02 < line[:, 0].mean() < 0.98]
    return light, edges


def _draw_cracks(random: Random, size: int, edges: list[Line]) -> Layer:
    """Thin dark branching polylines, some with a shadow on one side; `edges` are drawn as cracks as well."""
    lines = list(edges)
    for _ in range(int(random.choice([1, 2, 3, 4], p=[0.4, 0.3, 0.2, 0.1]))):
        angle, length = random.uniform(0, 2 * np.pi), random.uniform(0.45, 1.1)
        main = _polyline(random, random.uniform(0.3, 0.7, 2), angle, length)
        lines.append(main)
        for _ in range(int(random.poisson(0.8))):
            fork = main[int(random.integers(1, len(main) - 1))]
            turn = random.choice([-1, 1]) * random.uniform(0.4, 1.2)
            lines.append(_polyline(random, fork, angle + turn, random.uniform(0.15, 0.4), forward=True))
    dark = _cover(size, lines, width=random.uniform(1.0, 1.7))
    light = 1 - random.uniform(0.5, 0.8) * dark
    if random.random() < 0.4:
        shift = random.choice([-2, 2], 2) / 96
        shadow = _cover(size, [line + shift for line in lines], width=4.0)
        light *= 1 - random.uniform(0.08, 0.25) * ndimage.uniform_filter(shadow, 3)
    return light


def _polyline(random: Random, origin: Line, angle: float, length: float, *, forward: bool = False) -> Line:
    """Six points on a nearly straight line around `origin`, or from it onwards."""
    along = np.linspace(0, length, 6) - (0 if forward else length / 2)
    aside = np.cumsum(random.normal(0, 0.02, 6)) * (along != 0)
    ahead, left = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return origin + along[:, None] * ahead + aside[:, None] * left


def _photograph(random: Random, light: Layer) -> NDArray[np.uint8]:
    """Lens (blur, vignetting, tilt), exposure and sensor noise, as 8-bit grey."""
    axis = np.linspace(-1, 1, len(light))
    vignetting = 1 - random.uniform(0, 0.15) * (axis**2 + axis[:, None] ** 2)
    vignetting *= 1 + random.uniform(-0.1, 0.1) * axis + random.uniform(-0.1, 0.1) * axis[:, None]
    blur = random.uniform(0.3, 0.55) * len(light) / 96
    exposed = ndimage.gaussian_filter(light * vignetting, blur, truncate=3) * random.uniform(70, 235)
    grey = exposed + random.uniform(5, 20)
    grey += random.uniform(0.8, 3.5) * random.standard_normal(light.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _cover(size: int, lines: Iterable[Line] = (), polygons: Iterable[Line] = (), width: float = 1) -> Layer:
    """Share of each pixel that lines (of `width` pixels) and filled polygons cover, 0 to 1."""
    canvas = Image.new("L", (size * _OVERSAMPLING, size * _OVERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        draw.polygon((polygon * canvas.width).ravel().tolist(), fill=255)
    for line in lines:
        pixels = max(1, round(width * canvas.width / 96))
        draw.line((line * canvas.width).ravel().tolist(), fill=255, width=pixels, joint="curve")
    return np.asarray(canvas.reduce(_OVERSAMPLING), np.float64) / 255


def _box(left: float, top: float, right: float, bottom: float) -> Line:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _glow(size: int, centre: Line, radius: Line) -> Layer:
    """A Gaussian spot of height 1 at (x, y) with standard deviations `radius`."""
    axis = (np.arange(size) + 0.5) / size
    across, down = np.exp(-0.5 * ((axis - centre[:, None]) / radius[:, None]) ** 2)
    return down[:, None] * across


def _noise(random: Random, size: int, blur: float) -> Layer:
    """Smooth noise of standard deviation 1, taller than wide as crystals grow."""
    spread = np.array([1.5, 0.8]) * blur * size / 96
    field = ndimage.gaussian_filter(random.standard_normal((size, size)), spread, truncate=2.5, mode="wrap")
    return field / field.std()
