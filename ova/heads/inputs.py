"""What a head derives from its training rows before it starts: mean and deviation of the pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ova.data.store import PixelStore
from ova.heads.batches import in_batches
from ova.heads.head import InputSpec
from ova.heads.plan import HeadPlan
from ova.heads.weights import pretrained_normalisation


def input_spec(plan: HeadPlan, store: PixelStore) -> InputSpec:
    """Return size and normalisation: as the recipe says, as the pretrained weights want, or measured."""
    settings = plan.recipe.input
    height, width = settings.shape
    if settings.mean is not None and settings.std is not None:
        return InputSpec(height, width, settings.channels, settings.mean, settings.std)
    if plan.recipe.backbone.pretrained:
        mean, std = pretrained_normalisation(plan.recipe.backbone.name, settings.channels)
        return InputSpec(height, width, settings.channels, mean, std)
    training = sorted({image for names, _ in plan.members for image in plan.join(names).images})
    mean, std = pixel_statistics(store, store.rows(training))
    return InputSpec(height, width, settings.channels, mean, std)


def pixel_statistics(
    store: PixelStore, positions: NDArray[np.intp]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, in shares of white; sums are exact integers."""
    total = np.zeros(store.spec.channels, np.int64)
    squares = np.zeros(store.spec.channels, np.int64)
    for part in in_batches(len(positions), 256):
        pixels = store.pixels[positions[part]].reshape(-1, store.spec.channels).astype(np.int64)
        total += pixels.sum(0)
        squares += (pixels**2).sum(0)
    count = len(positions) * store.spec.height * store.spec.width
    mean = total / count
    # Rounded to what float32 holds anyway: the recipe, the record and the graph then say the same number.
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 1e-4))
    return tuple((mean / 255).round(6).tolist()), tuple((deviation / 255).round(6).tolist())
