"""Small data for tests: noise with a bright spot or a dark bar."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from PIL import Image

from ova.workspace import Workspace

HEAD: dict[str, Any] = {
    "label": "spot",
    "backbone": {"name": "test_resnet"},
    "input": {"size": 24, "channels": 1},
    "training": {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3},
}


def head_recipe(label: str = "spot", **sections: Any) -> dict[str, Any]:
    """Return a head recipe for small images; `sections` are merged into it."""
    recipe = copy.deepcopy(HEAD) | {"label": label}
    for section, settings in sections.items():
        recipe[section] = recipe.get(section, {}) | settings
    return recipe


def draw_images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw noise (n, 24, 24); the first label is a bright spot, the second a dark bar."""
    generator = np.random.default_rng(seed)
    images = generator.integers(90, 160, (count, 24, 24))
    labels = np.stack([np.arange(count) % 3 == 0, np.arange(count) % 4 == 1], axis=1).astype(int)
    for image, (spot, bar) in zip(images, labels, strict=True):
        row, column = generator.integers(2, 16, 2)
        if spot:
            image[row : row + 6, column : column + 6] = 250
        if bar:
            image[:, column : column + 3] = 5
    return images.astype(np.uint8), labels


def write_table(path: Path, names: Sequence[str], columns: Mapping[str, Sequence[object]]) -> None:
    """Write a wide label table."""
    lines = [";".join(["filename", *columns])]
    lines += [
        ";".join([name, *(str(column[row]) for column in columns.values())]) for row, name in enumerate(names)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_workspace(
    root: Path,
    heads: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    count: int = 72,
    columns: Mapping[str, Sequence[object]] | None = None,
    dataset: Mapping[str, Any] | None = None,
    ensembles: Mapping[str, Mapping[str, Any]] | None = None,
) -> Workspace:
    """Make a workspace of small images with the labels spot and bar."""
    images, labels = draw_images(count)
    pixels = root / "data" / "images"
    pixels.mkdir(parents=True)
    names = [f"{number:03d}.png" for number in range(count)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(pixels / name)
    write_table(
        pixels / "data.csv",
        names,
        columns or {"spot": labels[:, 0].tolist(), "bar": labels[:, 1].tolist()},
    )
    workspace = Workspace(root)
    recipes: dict[Path, Mapping[str, Any]] = {
        workspace.dataset_recipe: {"root": "images", "labels": "data.csv", **(dataset or {})}
    }
    for name, recipe in (heads or {"spot": head_recipe()}).items():
        recipes[workspace.head_recipe(name)] = recipe
    for name, recipe in (ensembles or {}).items():
        recipes[workspace.ensemble_recipe(name)] = recipe
    for path, recipe in recipes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tomli_w.dumps(recipe))
    return workspace
