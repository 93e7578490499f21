"""Features by torch, which needs no time to prepare itself, with a note of every batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ova.heads.features import engine, features
from ova.heads.features.engine import Engine
from ova.heads.network.head import InputSpec, Normalise


def compute_by_torch(patch: pytest.MonkeyPatch) -> list[int]:
    """Compute features by torch alone; return the list in which the size of every batch is noted."""
    batches: list[int] = []

    def fastest(trunk: nn.Module, spec: InputSpec, device: torch.device, sample: np.ndarray) -> Engine:
        network = nn.Sequential(Normalise(spec.mean, spec.std), trunk).eval()
        compute = engine._torch_engine(network, device)

        def spy(pixels: np.ndarray) -> np.ndarray:
            batches.append(len(pixels))
            return compute(pixels)

        return Engine("torch", spy)

    patch.setattr(features, "fastest_engine", fastest)
    return batches
