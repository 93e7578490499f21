"""The combined model as a network: raw images of any size in; logits, probabilities and decisions out.

Decoding aside, everything that an image goes through is in the graph: luma, resize, normalisation, views,
every head, calibration, thresholds and the rule. Luma and resize give the very integers of
`ova.data.images.luma` and `ova.data.resize.resize_pixels`, so a head sees the pixels that it was trained on.

Shape letters: B images, H height, W width, C channels, K heads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from ova.data.resize import SCALE
from ova.ensembles.coupling import coupling_constants
from ova.ensembles.recipe import Mode
from ova.errors import ArtefactError, DataError

if TYPE_CHECKING:
    from ova.heads.calibration import Calibration
    from ova.heads.head import Head

InputForm = tuple[int, int, int]
"""(channels, height, width) that a head reads; heads of one form share a resize."""


class CalibratedHead(Protocol):
    """What a combined model needs of a trained head."""

    @property
    def name(self) -> str:
        """Name of the head, a slug."""
        ...

    @property
    def label(self) -> str:
        """Label that the head answers for."""
        ...

    @property
    def head(self) -> Head:
        """The network, on the CPU."""
        ...

    @property
    def calibration(self) -> Calibration:
        """Logit -> probability, and the threshold."""
        ...


class CombinedNetwork(nn.Module):
    """Several heads behind one batch of images.

    Heads that read the same size and channels share one resize. All heads are put into eval mode.

    Args:
        heads: In the order of the outputs.
        mode: `multilabel`, or `argmax` for the three outputs more.
        none_prior: Share of images with none of the labels, in (0, 1]; needed for `argmax`.

    Raises:
        ArtefactError: There is no head, or a calibration is not finite or not exact in float32.
        DataError: A prior that `argmax` needs is missing or outside its range.
    """

    thresholds: Tensor
    slopes: Tensor
    intercepts: Tensor
    offsets: Tensor
    none_score: Tensor

    def __init__(
        self, heads: Sequence[CalibratedHead], *, mode: Mode = "multilabel", none_prior: float | None = None
    ) -> None:
        super().__init__()
        if not heads:
            raise ArtefactError("a combined model needs at least one head")
        calibrations = [head.calibration for head in heads]
        self.heads = nn.ModuleList([head.head for head in heads])
        specs = [head.head.input_spec for head in heads]
        self._forms: list[InputForm] = [(spec.channels, spec.height, spec.width) for spec in specs]
        self.channels = max(spec.channels for spec in specs)
        self.mode: Mode = mode
        self._keep("thresholds", [each.threshold for each in calibrations])
        if self.thresholds.tolist() != [each.threshold for each in calibrations]:
            raise ArtefactError("a threshold is not exact in float32; calibrate the heads again")
        self._keep("slopes", [each.slope for each in calibrations])
        self._keep("intercepts", [each.intercept for each in calibrations])
        if mode == "argmax":
            if none_prior is None:
                raise DataError("argmax mode needs the share of images with none of the labels")
            offsets, none_score = coupling_constants([each.prior for each in calibrations], none_prior)
            self._keep("offsets", offsets.tolist())
            self._keep("none_score", [none_score])
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Score and judge images.

        Args:
            images: (B, H, W, C) uint8, C = `channels`.

        Returns:
            logits (B, K) float32; probabilities (B, K) float32, sigmoid(slope * logit + intercept);
            decisions (B, K) bool, logit >= threshold. In argmax mode also scores (B, K + 1) float32, none
            last, their softmax, and choice (B,) int64, the index of the first greatest score; K is none.
        """
        logits = self.logits(images.permute(0, 3, 1, 2).to(torch.float32))
        calibrated = self.slopes * logits + self.intercepts
        outputs = (logits, torch.sigmoid(calibrated), logits >= self.thresholds)
        if self.mode != "argmax":
            return outputs
        none = self.none_score.expand(logits.shape[0], 1)
        scores = torch.cat([calibrated + self.offsets, none], dim=1)
        return (*outputs, scores, torch.softmax(scores, dim=1), torch.argmax(scores, dim=1))

    def logits(self, pixels: Tensor) -> Tensor:
        """Score pixels (B, C, H, W) float32 with values 0..255, giving (B, K)."""
        resized: dict[InputForm, Tensor] = {}
        columns = []
        for head, form in zip(self.heads, self._forms, strict=True):
            if form not in resized:
                channels, height, width = form
                source = luma(pixels) if channels < self.channels else pixels
                resized[form] = resize_images(source, (height, width))
            columns.append(head(resized[form]))
        return torch.stack(columns, dim=1)

    def _keep(self, name: str, values: Sequence[float]) -> None:
        if not all(math.isfinite(value) for value in values):
            raise ArtefactError(
                f"calibration {name} {list(values)} are not finite; calibrate the heads again"
            )
        self.register_buffer(name, torch.tensor(values, dtype=torch.float32))


def luma(pixels: Tensor) -> Tensor:
    """Turn RGB (B, 3, H, W) into grey (B, 1, H, W), float32 integers, as `ova.data.images.luma` does.

    Every number stays below 2**24, so that float32 holds it exactly.
    """
    red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
    return torch.floor((19595 * red + 38470 * green + 7471 * blue + 0x8000) / 0x10000)


def resize_images(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, C, H, W) to (B, C, *size), float32 integers, as `ova.data.resize.resize_pixels` does.

    H and W may be unknown when the graph is made.
    """
    across = resize_weights(pixels.shape[3], size[1]).to(torch.float32)
    narrowed = torch.floor((torch.matmul(pixels, across.T) + SCALE // 2) / SCALE)
    down = resize_weights(pixels.shape[2], size[0]).to(torch.float32)
    return torch.floor((torch.matmul(down, narrowed) + SCALE // 2) / SCALE)


def resize_weights(length: int, size: int) -> Tensor:
    """Compute the int64 weights (size, length) of `ova.data.resize.resize_weights` inside the graph."""
    inputs = (2 * torch.arange(length, dtype=torch.int64) + 1) * size
    # A tensor, because a Python max of an unknown length would fix which side is longer.
    known = torch.full((1, 1), length, dtype=torch.int64)
    outputs = (2 * torch.arange(size, dtype=torch.int64)[:, None] + 1) * known
    triangle = (2 * known.clamp(min=size) - (inputs - outputs).abs()).clamp(min=0)
    cumulative = triangle.cumsum(dim=1)
    total = cumulative[:, -1:]
    rounded = (2 * SCALE * cumulative + total) // (2 * total)
    return torch.cat([rounded[:, :1], rounded[:, 1:] - rounded[:, :-1]], dim=1)
