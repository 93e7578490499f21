"""What the tests of augmentation share: pictures, and draws that make a wanted parameter."""

from __future__ import annotations

import numpy as np
import torch

from ova.data.augment.draws import DRAWS, draw, image_keys


def pictures(
    count: int = 6, channels: int = 3, height: int = 24, width: int = 24, seed: int = 0
) -> torch.Tensor:
    """Whole grey levels, 0..255, float32, planar."""
    values = np.random.default_rng(seed).integers(0, 256, (count, channels, height, width))
    return torch.from_numpy(values.astype(np.float32))


def smooth_pictures(count: int = 6, channels: int = 3, height: int = 24, width: int = 24) -> torch.Tensor:
    """Pictures whose neighbouring pixels are alike, so that a position that is off by 1e-3 changes little."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [
        127 + 100 * np.sin(0.3 * rows + image + channel) * np.cos(0.2 * columns - channel)
        for image in range(count)
        for channel in range(channels)
    ]
    return torch.from_numpy(np.array(waves, np.float32).reshape(count, channels, height, width))


def drawn(count: int = 6, seed: int = 0, epoch: int = 0) -> np.ndarray:
    return draw(image_keys([f"{number}.png" for number in range(count)]), seed, epoch)


def wanted(**columns: object) -> np.ndarray:
    """Draws of 0.5 (no change where a strength goes either way), but for the given columns, as rows."""
    from ova.data.augment import draws

    count = max(np.shape(value)[0] if np.ndim(value) else 1 for value in columns.values())
    rows = np.full((count, DRAWS), 0.5)
    for name, value in columns.items():
        rows[:, getattr(draws, name)] = value
    return rows
