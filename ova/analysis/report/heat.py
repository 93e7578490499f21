"""Where a head looked: how much its logit falls when a part of an image is hidden.

Every part of the image in turn is replaced by the mean grey of the training images (Zeiler and Fergus 2014,
"Visualizing and Understanding Convolutional Networks"). That works for any backbone, with folds and views
averaged as they are, and its unit is the logit that decides.

Shape letters: C channels, H height, W width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ova.data.images.crop import WHOLE, middle
from ova.data.images.resize import resize_pixels
from ova.errors import EnvironmentFault
from ova.heads.network.head import Head

_PARTS = 10  # steps of the hidden part along a side; it is two steps long
_AT_ONCE = 32
_FOR, _AGAINST = (213, 94, 0), (0, 114, 178)  # the orange and blue of the charts
_STRONGEST = 0.65  # opacity


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Where a head looked in one image."""

    falls: NDArray[np.float32]
    """(H, W) how much the logit falls when this place is hidden; below 0 it rises."""
    crop: int = WHOLE
    """Thousandths of either side of the image that it covers, in the middle."""

    @property
    def strongest(self) -> float:
        """The largest fall or rise, in logits."""
        return float(np.abs(self.falls).max())

    def over(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Lay the map over a photograph (height, width, 3): orange speaks for a yes, blue against it."""
        rows, columns = (middle(side, self.crop) for side in photo.shape[:2])
        share = Image.fromarray(self.falls / (self.strongest or 1.0))
        size = columns.stop - columns.start, rows.stop - rows.start
        values = np.zeros((*photo.shape[:2], 1), np.float32)
        values[rows, columns, 0] = np.asarray(share.resize(size, Image.Resampling.BILINEAR))
        colour = np.where(values > 0, np.array(_FOR), np.array(_AGAINST))
        opacity = _STRONGEST * np.abs(values)
        grey = photo.mean(axis=2, keepdims=True)
        return (opacity * colour + (1 - opacity) * grey).round().astype(np.uint8)


def require_captum() -> None:
    """Tell early that the extra is missing.

    Raises:
        EnvironmentFault: captum is not installed.
    """
    try:
        import captum.attr  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            'heat maps need captum; install it with: pip install "ova[explain]"'
        ) from error


def heat_map(head: Head, pixels: NDArray[np.uint8]) -> HeatMap:
    """Hide one part of an image after another.

    Args:
        head: In evaluation mode.
        pixels: (height, width, C) uint8 in any size, with the head's channels.

    Raises:
        EnvironmentFault: captum is not installed.
    """
    require_captum()
    from captum.attr import Occlusion

    spec = head.input_spec
    resized = resize_pixels(pixels, (spec.height, spec.width), spec.crop)
    image = torch.from_numpy(resized).permute(2, 0, 1)[None].float()
    steps = [math.ceil(side / _PARTS) for side in (spec.height, spec.width)]
    windows = [min(2 * step, side) for step, side in zip(steps, (spec.height, spec.width), strict=True)]
    with torch.inference_mode():
        falls = Occlusion(head).attribute(
            image,
            sliding_window_shapes=(spec.channels, *windows),
            strides=(spec.channels, *steps),
            baselines=_mean_grey(head, image),
            perturbations_per_eval=_AT_ONCE,
        )
    return HeatMap(falls[0, 0].numpy().astype(np.float32), spec.crop)


def _mean_grey(head: Head, image: Tensor) -> Tensor:
    return (255 * head.normalise.mean).cpu().expand_as(image[0])[None].contiguous()
