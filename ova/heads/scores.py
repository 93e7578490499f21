"""Logits of a head on images, and the table in which they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ova.data.images.store import PixelStore
from ova.errors import ArtefactError
from ova.heads.rows import Rows, in_batches, read_batch
from ova.storage import read_csv, write_csv

_BATCH = 64


@dataclass(frozen=True, eq=False)
class Scores:
    """Logits of one head on rows with a known label."""

    images: tuple[str, ...]
    labels: NDArray[np.int8]
    """(n,) 0 or 1."""
    logits: NDArray[np.float64]
    """(n,) float32 values."""

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """Put the rows of several parts, at least one, behind each other."""
        return cls(
            tuple(image for part in parts for image in part.images),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.logits for part in parts]),
        )


def score_rows(
    forward: Callable[[Tensor], Tensor],
    module: nn.Module,
    store: PixelStore,
    rows: Rows,
    *,
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """Score rows in evaluation mode.

    Args:
        forward: Pixels uint8 (B, C, H, W) -> logits (B,).
        module: The network behind `forward`, put in evaluation mode meanwhile.
        store: Pixels.
        rows: What to score.
        device: Where the network is.
        progress: Told the number of rows done.

    Returns:
        Logits (n,), float32 values as float64, in the order of `rows`.
    """
    was_training = module.training
    module.eval()
    logits = np.empty(len(rows))
    with torch.inference_mode(), whole_float32():
        for part in in_batches(len(rows), _BATCH):
            pixels = read_batch(store, rows.positions[part], device)
            logits[part] = forward(pixels).float().cpu().numpy()
            if progress is not None:
                progress(part.stop)
    module.train(was_training)
    return logits


@contextmanager
def whole_float32() -> Iterator[None]:
    """Convolve in whole float32 on CUDA: thresholds fitted on rounded scores would not hold elsewhere."""
    convolutions: Any = torch.backends.cudnn.conv  # pyright: ignore[reportAttributeAccessIssue]
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before


def write_scores(path: Path, scores: Scores) -> None:
    """Write (image, label, logit), sorted by image; logits keep every digit."""
    rows = zip(scores.images, scores.labels.tolist(), scores.logits.tolist(), strict=True)
    write_csv(path, ("image", "label", "logit"), sorted(rows))


def read_scores(path: Path) -> Scores:
    """Read the table of `write_scores`.

    Raises:
        ArtefactError: It is missing or damaged.
    """
    rows = read_csv(path)
    try:
        labels = np.array([int(row["label"]) for row in rows], np.int8)
        logits = np.array([float(row["logit"]) for row in rows], np.float64)
        images = tuple(row["image"] for row in rows)
    except (KeyError, ValueError, OverflowError) as error:
        raise ArtefactError(f"{path} is damaged: {error}") from error
    if not np.isin(labels, (0, 1)).all() or not np.isfinite(logits).all():
        raise ArtefactError(f"{path} is damaged: a label is not 0 or 1, or a logit is not finite")
    return Scores(images, labels, logits)
