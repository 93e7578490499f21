"""Does a combined model say what the heads in torch say? Compared on real images before it may be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ova.data.images.colour import luma
from ova.data.images.decode import decode_image
from ova.data.images.resize import resize_pixels
from ova.ensembles.export.network import CalibratedHead
from ova.ensembles.rule.numpy_rule import decide
from ova.ensembles.rule.rule import Rule
from ova.ensembles.runtime.manifest import Manifest, ParityEntry
from ova.ensembles.runtime.model import CombinedModel
from ova.errors import ArtefactError, DataError, RecipeError, first_few
from ova.heads.network.head import Head

_MAX_LOGIT_DIFFERENCE = 1e-4
_BATCH = 16

RealImage = Path | bytes | NDArray[np.uint8]


def check_parity(
    model: CombinedModel, heads: Sequence[CalibratedHead], images: Sequence[RealImage]
) -> ParityEntry:
    """Predict images with the model and with the heads in torch, and compare.

    The reference takes the way of training: decode to RGB, luma where the head reads grey, resize in numpy,
    the head in torch, then `ova.ensembles.rule.numpy_rule`.

    Args:
        model: The combined model, in ONNX Runtime.
        heads: The heads it was made from, in the order of its outputs.
        images: Files, their bytes, or decoded pixels (height, width, 1 or 3); at least one.

    Returns:
        How far apart the two were.

    Raises:
        ArtefactError: A decision or choice differs, or a logit by more than 1e-4.
        DataError: An image cannot be read.
        RecipeError: There is no image.
    """
    if not images:
        raise RecipeError("export compares the model on real images; name at least one")
    expected = _reference(heads, images, model.manifest)
    predictions = list(model.predict(images, batch_size=_BATCH))
    unread = [prediction.error for prediction in predictions if prediction.error]
    if unread:
        raise ArtefactError(f"the exported model gives no answer: {first_few(unread, 3)}")
    logits = np.array([list(each.logits.values()) for each in predictions], np.float32)
    decisions = np.array([list(each.decisions.values()) for each in predictions], np.bool_)
    differences = np.abs(expected.logits - logits)
    tipped = (expected.decisions != decisions).any(axis=1)
    tipped |= np.array(expected.chosen) != np.array([each.label for each in predictions])
    tipped |= np.array(expected.unsure) != np.array([bool(each.unsure) for each in predictions])
    parity = ParityEntry(len(images), float(differences.max()), int(tipped.sum()))
    if parity.decision_flips or not parity.max_logit_difference <= _MAX_LOGIT_DIFFERENCE:
        worst = int(np.argmax(np.where(tipped, np.inf, differences.max(axis=1))))
        raise ArtefactError(
            f"the exported model differs from torch: {parity.decision_flips} of {len(images)} images are"
            f" decided otherwise, logits differ by up to {parity.max_logit_difference:.2g} (worst on"
            f" {predictions[worst].image}); nothing was written"
        )
    return parity


@dataclass(frozen=True)
class _Expected:
    logits: NDArray[np.float32]
    """(images, K)."""
    decisions: NDArray[np.bool_]
    """(images, K)."""
    chosen: list[str | None]
    """(images,) label in argmax mode."""
    unsure: list[bool]
    """(images,) whether no label is chosen because none is probable enough."""


def _reference(heads: Sequence[CalibratedHead], images: Sequence[RealImage], manifest: Manifest) -> _Expected:
    rows = []
    for start in range(0, len(images), _BATCH):
        decoded = [_decoded(image, manifest) for image in images[start : start + _BATCH]]
        rows.append(np.column_stack([_torch_logits(head.head, decoded) for head in heads]))
    logits = np.concatenate(rows)
    calibrations = [head.calibration for head in heads]
    names = [head.name for head in heads]
    decided = decide(calibrations, names, _own_thresholds(heads, manifest.rule), manifest.none_prior, logits)
    texts = (*manifest.labels, None, None)
    choices = [len(heads)] * len(logits) if decided.choice is None else decided.choice.tolist()
    unsure = [index > len(heads) for index in choices]
    return _Expected(logits, decided.decisions, [texts[index] for index in choices], unsure)


def _own_thresholds(heads: Sequence[CalibratedHead], rule: Rule) -> Rule:
    """Take thresholds from the calibrations wherever the rule has not set its own."""
    if rule.objective is not None:
        return rule
    stacked = rule.stack.heads if rule.stack is not None else ()
    pairs = zip(heads, rule.thresholds, strict=True)
    return replace(
        rule,
        thresholds=tuple(cut if head.name in stacked else head.calibration.threshold for head, cut in pairs),
    )


def _decoded(image: RealImage, manifest: Manifest) -> NDArray[np.uint8]:
    if isinstance(image, Path | bytes):
        return decode_image(
            image, channels=3, white_level=manifest.white_level, draft_side=manifest.draft_side
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise DataError(f"pixels are {image.dtype} {image.shape}; give uint8 (height, width, 1 or 3)")
    return np.repeat(image, 3 // image.shape[2], axis=2)


def _torch_logits(head: Head, decoded: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    spec = head.input_spec
    pixels = [
        resize_pixels(
            image if spec.channels == 3 else luma(image)[:, :, None], (spec.height, spec.width), spec.crop
        )
        for image in decoded
    ]
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).to(torch.float32)
    with torch.inference_mode():
        return head(batch).numpy()
