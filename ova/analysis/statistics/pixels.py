"""What training images look like: brightness per channel, colour, small grey pictures.

Only training rows are read, and of many only a sample: decoding is what costs.
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ova.data.augment.draws import image_keys
from ova.data.dataset import Dataset
from ova.data.images.channels import ChannelSums
from ova.data.images.colour import luma
from ova.data.images.resize import resize_pixels
from ova.data.images.store import StoreSpec
from ova.progress import Progress

_THUMBNAIL = 32
"""Side of the grey pictures by which labels are compared."""


class Brightness(NamedTuple):
    """Mean and standard deviation per channel, in shares of white, of images in one form."""

    form: StoreSpec
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class PixelStatistics:
    """What a sample of the training images showed."""

    training: int
    """Training images in all."""
    sample: int
    """How many of them were measured."""
    colour: int
    """Of these, how many show any colour."""
    brightness: tuple[Brightness, ...]
    thumbnails: Mapping[str, NDArray[np.uint8]]
    """Image -> (32, 32) grey, for the images asked for."""

    def to_json(self) -> dict[str, Any]:
        """Return everything but the thumbnails as one JSON object."""
        forms = [
            {
                "height": each.form.height,
                "width": each.form.width,
                "channels": each.form.channels,
                "mean": list(each.mean),
                "std": list(each.deviation),
            }
            for each in self.brightness
        ]
        return {
            "training_images": self.training,
            "measured": self.sample,
            "in_colour": self.colour,
            "inputs": forms,
        }


class _Seen(NamedTuple):
    sums: tuple[ChannelSums, ...]
    colour: bool
    thumbnail: NDArray[np.uint8]


def drawn_order(images: Sequence[str]) -> NDArray[np.intp]:
    """Return the rows of images in an order drawn by lot: that of their keys, whatever the order given."""
    return image_keys(images).argsort(kind="stable")


def measure_pixels(
    dataset: Dataset,
    training: Sequence[str],
    *,
    sample: int,
    forms: Sequence[StoreSpec],
    thumbnails: Sequence[str],
    progress: Progress,
) -> PixelStatistics:
    """Decode a sample of the training images, each once.

    Resized to the form of a head, the whole training part gives the very mean and deviation that the head's
    training measures.

    Args:
        dataset: Where the images lie.
        training: Training images, in drawn order.
        sample: How many of them to measure; all if there are fewer.
        forms: Sizes and channels to measure them in.
        thumbnails: Training images of which a small grey picture is wanted.
        progress: Told after every image.
    """
    measured = training[:sample]
    wanted = list(dict.fromkeys((*measured, *thumbnails)))
    progress.start("looking at images", len(wanted))

    def look(index: int) -> _Seen:
        return _look(dataset, wanted[index], forms if index < len(measured) else ())

    seen: list[_Seen] = []
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for one in pool.map(look, range(len(wanted))):
            seen.append(one)
            progress.advance("looking at images", len(seen))
    own = seen[: len(measured)]
    brightness = []
    for place, form in enumerate(forms):
        total = functools.reduce(operator.add, (one.sums[place] for one in own))
        brightness.append(Brightness(form, *total.mean_and_deviation()))
    asked = set(thumbnails)
    return PixelStatistics(
        training=len(training),
        sample=len(measured),
        colour=sum(one.colour for one in own),
        brightness=tuple(brightness),
        thumbnails={image: one.thumbnail for image, one in zip(wanted, seen, strict=True) if image in asked},
    )


def _look(dataset: Dataset, image: str, forms: Sequence[StoreSpec]) -> _Seen:
    pixels = dataset.decode(image, 3)
    grey = luma(pixels)[..., None]
    sums = tuple(
        ChannelSums.of(
            resize_pixels(pixels if form.channels == 3 else grey, (form.height, form.width), form.crop)
        )
        for form in forms
    )
    colour = bool((pixels != pixels[..., :1]).any())
    return _Seen(sums, colour, resize_pixels(grey, (_THUMBNAIL, _THUMBNAIL))[..., 0])
