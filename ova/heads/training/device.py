"""Which device trains and scores."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from ova.errors import EnvironmentFault, RecipeError


def choose_device(name: str = "auto") -> torch.device:
    """Return a torch device by name; `auto` prefers CUDA, then MPS, then the CPU.

    Raises:
        RecipeError: The name is not auto, cpu, cuda, cuda:N or mps.
        EnvironmentFault: This machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise RecipeError(f"device {name!r} is unknown; choose auto, cpu, cuda, cuda:0 or mps")
    missing = (kind == "cuda" and int(index or 0) >= torch.cuda.device_count()) or (
        kind == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise EnvironmentFault(f"this machine has no {name}; use --device cpu")
    return torch.device(name)


def reduced_precision(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Compute in bfloat16 if the recipe says so, or where "auto" finds an accelerator that gains from it."""
    gains = device.type == "cuda" and torch.cuda.is_bf16_supported()
    if precision == "bfloat16" or (precision == "auto" and gains):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()
