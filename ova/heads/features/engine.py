"""Pixels -> features by the fastest engine at hand that agrees with torch.

On a CPU that is ONNX Runtime: the same network takes a third of the time of eager torch there (one core,
EfficientNet-Lite2 at 300 px: 39 images a second against 12). It is believed only where it says on a real
batch what torch says; else, and on other devices, torch computes.

Shape letters: B images, C channels, H height, W width, D features.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ova.heads.network.head import InputSpec, Normalise
from ova.heads.network.onnx_trace import trace_module
from ova.heads.scores import whole_float32

_log = logging.getLogger("ova")
PIXELS, FEATURES = "pixels", "features"
# Largest difference, in parts of the largest feature, between two engines that compute the same network.
TOLERANCE = 1e-4

Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Engine:
    """Something that computes features."""

    name: str
    """`torch` or `onnxruntime`."""
    compute: Compute
    """(B, C, H, W) uint8 -> (B, D)."""


def fastest_engine(
    trunk: nn.Module, spec: InputSpec, device: torch.device, sample: NDArray[np.uint8]
) -> Engine:
    """Choose the engine, comparing it with torch on a sample.

    Args:
        trunk: (B, C, H, W) normalised -> (B, D), on `device`; it is put in evaluation mode.
        spec: Size and normalisation of its input.
        device: Where torch computes.
        sample: (B, C, H, W) real images, of the batch size that will be used.
    """
    network = nn.Sequential(Normalise(spec.mean, spec.std), trunk).to(device).eval()
    by_torch = Engine("torch", _torch_engine(network, device))
    if device.type != "cpu":
        return by_torch
    try:
        by_onnxruntime = Engine("onnxruntime", _onnxruntime_engine(network, sample))
        found, wanted = by_onnxruntime.compute(sample), by_torch.compute(sample)
    except Exception as error:  # whatever the exporter or the runtime make of a family that they do not know
        _log.info("features are computed by torch: %s", (str(error).splitlines() or [""])[0])
        return by_torch
    agrees = bool(np.abs(found - wanted).max() <= TOLERANCE * float(np.abs(wanted).max()))
    return by_onnxruntime if agrees else by_torch


def _torch_engine(network: nn.Module, device: torch.device) -> Compute:
    def compute(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), whole_float32():
            batch = torch.from_numpy(pixels).to(device).contiguous(memory_format=torch.channels_last)
            return network(batch).float().cpu().numpy()

    return compute


def _onnxruntime_engine(network: nn.Module, sample: NDArray[np.uint8]) -> Compute:
    import onnxruntime

    # A traced batch of 1 would be taken for a constant.
    model = trace_module(_FromBytes(network), torch.from_numpy(sample[:2]), PIXELS, (FEATURES,), ("batch",))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def compute(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        (features,) = session.run([FEATURES], {PIXELS: pixels})
        return np.asarray(features, np.float32)

    return compute


class _FromBytes(nn.Module):
    """A network behind bytes, because an exported graph divides whole numbers otherwise than torch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels.to(torch.float32))
