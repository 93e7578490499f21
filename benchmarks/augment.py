"""Augmentation per image on one core, against torchvision's v2 transforms per image, in one run.

Both start from float images and leave float images; ours includes the random draws. A ratio above 1 says how
many times faster ours is. Seconds are those of the processor, so that a busy machine disturbs them little.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from ova.data.augment.augment import augment
from ova.data.augment.draws import draw
from ova.data.augment.recipe import AugmentSettings

REPEATS = 5
BATCH = 32
BILINEAR = v2.InterpolationMode.BILINEAR


def cases(size: int, channels: int) -> dict[str, tuple[AugmentSettings, list[v2.Transform]]]:
    """Settings of ours, and the transforms of torchvision that do the same."""
    jitter = {"brightness": 0.2, "contrast": 0.2} | (
        {"saturation": 0.2, "hue": 0.05} if channels == 3 else {}
    )
    colour = {"exposure": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}
    flips: list[v2.Transform] = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()]
    turn: list[v2.Transform] = [v2.RandomRotation(45, interpolation=BILINEAR)]
    plants: list[v2.Transform] = [
        v2.RandomResizedCrop(size, (0.2, 1), antialias=False),
        *flips,
        *turn,
        v2.RandomPerspective(0.3, 1, interpolation=BILINEAR),
        v2.RandomAdjustSharpness(1.5, 1),
        v2.ColorJitter(**jitter),
        v2.RandomErasing(1, (0.02, 0.2)),
    ]
    return {
        "flips": (AugmentSettings(flips=True), flips),
        "flips, shift": (
            AugmentSettings(flips=True, shift=0.1),
            [*flips, v2.RandomAffine(0, (0.1, 0.1))],
        ),
        "rotation": (AugmentSettings(rotation=45), turn),
        "colour": (AugmentSettings(**colour), [v2.ColorJitter(**jitter)]),
        "blur": (AugmentSettings(blur=2), [v2.GaussianBlur(13, (0.1, 2))]),
        "noise": (AugmentSettings(noise=0.1), [v2.GaussianNoise(sigma=0.1)]),
        "fifty plants": (
            AugmentSettings(
                crop=0.2, flips=True, rotation=45, perspective=0.3, sharpness=0.5, erasing=0.2, **colour
            ),
            plants,
        ),
    }


def milliseconds(work: Callable[[], object]) -> float:
    """Time one batch, per image."""
    started = time.process_time()
    work()
    return (time.process_time() - started) / BATCH * 1000


def compare(settings: AugmentSettings, transforms: list[v2.Transform], pixels: Tensor) -> dict[str, object]:
    """Take turns, so that what else the machine does hits both alike."""
    keys = np.arange(BATCH, dtype=np.uint64)
    one_by_one = v2.Compose(transforms)
    shares = pixels.contiguous() / 255
    ours, theirs = [], []
    for repeat in range(REPEATS + 1):
        own = milliseconds(lambda epoch=repeat: augment(pixels, draw(keys, 0, epoch), settings))
        other = milliseconds(lambda: torch.stack([one_by_one(image) for image in shares]))
        if repeat:  # the first round fills caches
            ours.append(own)
            theirs.append(other)
    ratios = sorted(other / own for own, other in zip(ours, theirs, strict=True))
    return {
        "ms_per_image": round(statistics.median(ours), 3),
        "torchvision_ms_per_image": round(statistics.median(theirs), 3),
        "ratio": {
            "min": round(ratios[0], 2),
            "median": round(statistics.median(ratios), 2),
            "max": round(ratios[-1], 2),
        },
    }


def main() -> None:
    """Print one JSON object."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    result: dict[str, dict[str, object]] = {}
    for size, channels in ((64, 1), (64, 3), (224, 1), (224, 3)):
        values = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, channels), np.uint8)
        pixels = torch.from_numpy(values).permute(0, 3, 1, 2).float()
        result[f"{size} px, {channels} channels"] = {
            name: compare(settings, transforms, pixels)
            for name, (settings, transforms) in cases(size, channels).items()
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
