"""The combined model as a network: raw images of any size in; logits, probabilities and decisions out.

Decoding aside, everything that an image goes through is in the graph: luma, resize, normalisation, views,
every head, calibration, thresholds and the rule. Luma and resize give the very integers of
`ova.data.images.colour.luma` and `ova.data.images.resize.resize_pixels`, so a head sees the pixels of its
training.

Shape letters: B images, H height, W width, C channels, K heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from ova.data.images.crop import WHOLE
from ova.data.images.resize import SCALE
from ova.ensembles.export.shared_trunk import SharedTrunk, group_by_trunk
from ova.ensembles.recipe import Mode
from ova.ensembles.rule.rule import Rule, plain_rule
from ova.ensembles.rule.torch_rule import Decision
from ova.errors import ArtefactError

if TYPE_CHECKING:
    from ova.heads.calibration.calibration import Calibration
    from ova.heads.network.head import Head


InputForm = tuple[int, int, int, int]
"""(channels, height, width, crop) that a head reads; heads of one form share a resize."""


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

    Heads that read the same size and channels share one resize, and heads on one and the same trunk share
    that as well (`ova.ensembles.export.shared_trunk`). All heads are put into eval mode.

    Args:
        heads: In the order of the outputs.
        mode: `multilabel`, or `argmax` for the three outputs more.
        none_prior: Share of images with none of the labels, in (0, 1]; needed for `argmax`.
        rule: What to do with the logits; by default each head against its own threshold, and odds coupling.

    Raises:
        ArtefactError: There is no head, or a calibration is not finite or not exact in float32.
        DataError: A prior that `argmax` needs is missing or outside its range.
    """

    def __init__(
        self,
        heads: Sequence[CalibratedHead],
        *,
        mode: Mode = "multilabel",
        none_prior: float | None = None,
        rule: Rule | None = None,
    ) -> None:
        super().__init__()
        if not heads:
            raise ArtefactError("a combined model needs at least one head")
        calibrations = [head.calibration for head in heads]
        networks = [head.head.eval() for head in heads]
        self._groups = group_by_trunk(networks)
        self.heads = nn.ModuleList(
            [_scorer([networks[index] for index in group.heads]) for group in self._groups]
        )
        self._forms = [_form(networks[group.heads[0]]) for group in self._groups]
        self.channels = max(network.input_spec.channels for network in networks)
        self.mode: Mode = mode
        rule = rule or plain_rule([each.threshold for each in calibrations], mode)
        self.decision = Decision(calibrations, [head.name for head in heads], rule, none_prior)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Score and judge images.

        Args:
            images: (B, H, W, C) uint8, C = `channels`.

        Returns:
            logits (B, K) float32, then what `Decision` makes of them: probabilities (B, K) float32 and
            decisions (B, K) bool; in argmax mode also scores (B, K + 1) float32, none last, class
            probabilities (B, K + 1), and choice (B,) int64.
        """
        logits = self.logits(images.permute(0, 3, 1, 2).to(torch.float32))
        return (logits, *self.decision(logits))

    @property
    def trunks(self) -> list[str | None]:
        """Digests of shared trunks, in the order of the heads; None for a head that shares none."""
        by_head = {index: group.digest for group in self._groups for index in group.heads}
        return [by_head[index] for index in range(len(by_head))]

    def logits(self, pixels: Tensor) -> Tensor:
        """Score pixels (B, C, H, W) float32 with values 0..255, giving (B, K)."""
        resized: dict[InputForm, Tensor] = {}
        parts = []
        for scorer, form in zip(self.heads, self._forms, strict=True):
            if form not in resized:
                channels, height, width, crop = form
                source = luma_in_graph(pixels) if channels < self.channels else pixels
                resized[form] = resize_images(source, (height, width), crop)
            parts.append(scorer(resized[form]))
        return self._in_order(parts)

    def _in_order(self, parts: Sequence[Tensor]) -> Tensor:
        """Put logits, (B,) of one head or (B, N) of N on one trunk, into the order of the heads: (B, K)."""
        if all(part.ndim == 1 for part in parts):
            return torch.stack(list(parts), dim=1)
        logits = torch.cat([part if part.ndim == 2 else part.unsqueeze(1) for part in parts], dim=1)
        heads = [index for group in self._groups for index in group.heads]
        if heads == sorted(heads):
            return logits
        return logits.index_select(1, torch.tensor([heads.index(place) for place in range(len(heads))]))


def _scorer(heads: Sequence[Head]) -> nn.Module:
    return SharedTrunk(heads) if len(heads) > 1 else heads[0]


def _form(head: Head) -> InputForm:
    spec = head.input_spec
    return (spec.channels, spec.height, spec.width, spec.crop)


def luma_in_graph(pixels: Tensor) -> Tensor:
    """Turn RGB (B, 3, H, W) into grey (B, 1, H, W), float32 integers, as `ova.data.images.colour.luma` does.

    Every number stays below 2**24, so that float32 holds it exactly.
    """
    red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
    return torch.floor((19595 * red + 38470 * green + 7471 * blue + 0x8000) / 0x10000)


def resize_images(pixels: Tensor, size: tuple[int, int], crop: int = WHOLE) -> Tensor:
    """Resize (B, C, H, W) to (B, C, *size), float32 integers, as `ova.data.images.resize.resize_pixels` does.

    H and W may be unknown when the graph is made.
    """
    across = resize_weights_in_graph(pixels.shape[3], size[1], crop).to(torch.float32)
    narrowed = torch.floor((torch.matmul(pixels, across.T) + SCALE // 2) / SCALE)
    down = resize_weights_in_graph(pixels.shape[2], size[0], crop).to(torch.float32)
    return torch.floor((torch.matmul(down, narrowed) + SCALE // 2) / SCALE)


def resize_weights_in_graph(length: int, size: int, crop: int = WHOLE) -> Tensor:
    """Compute the int64 weights (size, length) of `ova.data.images.resize.resize_weights` inside the graph.

    Pixels outside the middle that a crop keeps have no weight.
    """
    position = torch.arange(length, dtype=torch.int64)
    # A tensor, because a Python max of an unknown length would fix which side is longer.
    known = torch.full((1, 1), length, dtype=torch.int64)
    if crop != WHOLE:
        kept = ((known * crop + WHOLE // 2) // WHOLE).clamp(min=1)
        position, known = position - (known - kept) // 2, kept
    inputs = (2 * position + 1) * size
    outputs = (2 * torch.arange(size, dtype=torch.int64)[:, None] + 1) * known
    triangle = (2 * known.clamp(min=size) - (inputs - outputs).abs()).clamp(min=0)
    if crop != WHOLE:
        triangle = triangle * ((position >= 0) & (position < known))
    cumulative = triangle.cumsum(dim=1)
    total = cumulative[:, -1:]
    rounded = (2 * SCALE * cumulative + total) // (2 * total)
    return torch.cat([rounded[:, :1], rounded[:, 1:] - rounded[:, :-1]], dim=1)
