"""A head as a network: raw pixels in, one logit per image out, normalisation and view averaging inside.

Shape letters: B images, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from ova.data.images.crop import WHOLE
from ova.errors import ArtefactError, RecipeError, first_few

if TYPE_CHECKING:
    import numpy as np


Views = Literal["none", "flips", "dihedral"]


@dataclass(frozen=True)
class InputSpec:
    """What a network takes: size in pixels, and normalisation in fractions of white (pixels / 255).

    Raises:
        RecipeError: A size below 1, channels other than 1 or 3, a mean or std of another length than
            channels, not finite, or a std of 0 or less.
    """

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: int = WHOLE
    """Thousandths of either side that are kept, in the middle."""

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1:
            raise RecipeError(f"input size {self.height}x{self.width} is empty; give at least 1x1 pixels")
        if not 1 <= self.crop <= WHOLE:
            raise RecipeError(f"input crop {self.crop} is not between 1 and {WHOLE} thousandths")
        if self.channels not in (1, 3):
            raise RecipeError(f"input has {self.channels} channels; give 1 (grey) or 3 (RGB)")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise RecipeError(f"input {name} has {len(values)} values for {self.channels} channels")
            if not all(math.isfinite(value) for value in values):
                raise RecipeError(f"input {name} {list(values)} is not finite")
        if min(self.std) <= 0:
            raise RecipeError(f"input std {list(self.std)} must be above 0; are all images one flat grey?")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object; `from_json` reads it back unchanged."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: object) -> InputSpec:
        """Read the JSON object of `to_json`.

        Raises:
            ArtefactError: A key is missing, unknown or of the wrong type, or a value is out of range.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(value, dict) or set(value) != names:
            raise ArtefactError(f"stored input is damaged: expected the keys {', '.join(sorted(names))}")
        for name in ("height", "width", "channels", "crop"):
            if type(value[name]) is not int:
                raise ArtefactError(f"stored input is damaged: {name} is {value[name]!r}, not a whole number")
        try:
            return cls(
                value["height"],
                value["width"],
                value["channels"],
                _floats(value, "mean"),
                _floats(value, "std"),
                value["crop"],
            )
        except RecipeError as error:
            raise ArtefactError(f"stored input is damaged: {error}") from error


class Normalise(nn.Module):
    """Pixels (B, C, H, W) with values 0..255 -> (pixels / 255 - mean) / std, channel by channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).reshape(-1, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise pixels (B, C, H, W), uint8 or float32, to float32 of the same shape and memory order."""
        if torch.compiler.is_compiling():  # the exported graph says it as it is
            return (pixels / 255.0 - self.mean) / self.std
        batch, channels, height, width = pixels.shape
        if channels == 1 or not pixels.is_contiguous(memory_format=torch.channels_last):
            return (pixels / 255.0).sub_(self.mean).div_(self.std)
        # The same numbers, several times faster on a CPU: whole rows at a time instead of single pixels.
        rows = pixels.permute(0, 2, 3, 1).reshape(batch, height, width * channels)
        rows = rows.to(torch.float32, copy=True).div_(255.0)
        rows.sub_(self.mean.flatten().repeat(width)).div_(self.std.flatten().repeat(width))
        return rows.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class Head(nn.Module):
    """One or more networks of one label, the fold models of one head, whose logits are averaged.

    Args:
        members: Networks (B, C, H, W) -> (B, 1).
        input_spec: The size and normalisation that all members share.
        views: Which turned and mirrored copies of an image are averaged as well.

    Raises:
        RecipeError: No member, or the dihedral views of an input that is not square.
    """

    def __init__(self, members: Sequence[nn.Module], input_spec: InputSpec, views: Views = "none") -> None:
        super().__init__()
        if not members:
            raise RecipeError("a head needs at least one network")
        _check_views(views, input_spec.height, input_spec.width)
        self.members = nn.ModuleList(members)
        self.normalise = Normalise(input_spec.mean, input_spec.std)
        self.input_spec = input_spec
        self.views: Views = views

    def forward(self, pixels: Tensor) -> Tensor:
        """Score images.

        Args:
            pixels: (B, C, H, W), uint8 or float32 with values 0..255, already resized to the input size.

        Returns:
            Logits (B,), the mean over members and views.

        Raises:
            ValueError: The pixels have another shape, or a member does not give exactly one logit.
        """
        spec = self.input_spec
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != (spec.channels, spec.height, spec.width):
            expected = f"(batch, {spec.channels}, {spec.height}, {spec.width})"
            raise ValueError(f"expected pixels of shape {expected}, got {tuple(pixels.shape)}")
        views = all_views(self.normalise(pixels), self.views)
        batch = torch.cat(views)  # one pass for all views: an exported graph holds each network once
        logits = [_one_logit(member(batch)).reshape(len(views), -1) for member in self.members]
        return torch.cat(logits).mean(dim=0)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return a copy of every parameter and buffer by its state-dict name, on the CPU."""
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format).numpy()
            for name, tensor in self.state_dict().items()
        }

    def load_tensors(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over the arrays of `tensors`; nothing is changed if one of them does not fit.

        Raises:
            ArtefactError: A name, shape or dtype differs, or the normalisation is not that of `input_spec`.
        """
        state = self.state_dict()
        _check_names(state, arrays)
        incoming = {name: torch.tensor(array) for name, array in arrays.items()}
        wrong = [
            f"{name} is {_describe(incoming[name])} for {_describe(tensor)}"
            for name, tensor in state.items()
            if _describe(incoming[name]) != _describe(tensor)
        ]
        if wrong:
            raise ArtefactError(f"stored weights do not fit the network: {first_few(wrong, 3)}")
        for name in ("normalise.mean", "normalise.std"):
            if not torch.equal(incoming[name], state[name].cpu()):
                raise ArtefactError(f"stored weights do not fit the network: {name} differs from the input's")
        self.load_state_dict(incoming)


def all_views(batch: Tensor, views: Views) -> list[Tensor]:
    """Return the mirrored and turned copies of a batch (B, C, H, W), itself first.

    `none` gives 1, `flips` 4 (itself, left-right, top-bottom, both), `dihedral` 8: the same four of the
    image and of its transpose, which together are the quarter turns and their mirror images.

    Raises:
        RecipeError: An unknown name, or dihedral views of images that are not square.
    """
    _check_views(views, batch.shape[-2], batch.shape[-1])
    if views == "none":
        return [batch]
    turned = [batch] if views == "flips" else [batch, batch.transpose(-2, -1)]
    return [
        torch.flip(image, axes) if axes else image
        for image in turned
        for axes in ((), (-1,), (-2,), (-2, -1))
    ]


def _check_views(views: str, height: int, width: int) -> None:
    if views not in get_args(Views):
        raise RecipeError(f"views {views!r} are unknown; choose one of {', '.join(get_args(Views))}")
    if views == "dihedral" and height != width:
        raise RecipeError(f"dihedral views need a square input, not {height}x{width}; use flips")


def _one_logit(output: Tensor) -> Tensor:
    if output.ndim != 2 or output.shape[1] != 1:
        raise ValueError(f"expected one logit per image, shape (batch, 1), got {tuple(output.shape)}")
    return output.squeeze(1)


def _check_names(state: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray]) -> None:
    missing, unexpected = sorted(state.keys() - arrays.keys()), sorted(arrays.keys() - state.keys())
    problems = [f"{first_few(missing, 3)} missing"] if missing else []
    problems += [f"{first_few(unexpected, 3)} unexpected"] if unexpected else []
    if problems:
        raise ArtefactError(f"stored weights do not fit the network: {'; '.join(problems)}")


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _floats(value: Mapping[str, Any], name: str) -> tuple[float, ...]:
    numbers = value[name]
    if not isinstance(numbers, list) or not all(type(number) in (int, float) for number in numbers):
        raise ArtefactError(f"stored input is damaged: {name} is {numbers!r}, not a list of numbers")
    return tuple(float(number) for number in numbers)
