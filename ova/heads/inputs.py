"""What a head derives from its training rows before it starts: mean and deviation of the pixels."""

from __future__ import annotations

import functools
import operator

import numpy as np
from numpy.typing import NDArray

from ova.data.channels import ChannelSums
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
        mean, std = settings.mean, settings.std
    elif plan.recipe.backbone.pretrained:
        mean, std = pretrained_normalisation(plan.recipe.backbone.name, settings.channels)
    else:
        training = sorted({image for names, _ in plan.members for image in plan.join(names).images})
        mean, std = pixel_statistics(store, store.rows(training))
    return InputSpec(height, width, settings.channels, mean, std, settings.thousandths)


def pixel_statistics(
    store: PixelStore, positions: NDArray[np.intp]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation per channel, in shares of white; sums are exact integers."""
    parts = in_batches(len(positions), 256)
    sums = (ChannelSums.of(store.read(positions[part])) for part in parts)
    return functools.reduce(operator.add, sums).mean_and_deviation()
