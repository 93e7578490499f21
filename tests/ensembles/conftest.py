from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from ova.data.images.colour import luma
from ova.data.images.decode import decode_image
from ova.data.images.resize import resize_pixels
from ova.ensembles.export.onnx_export import EnsembleSpec, ExportReport, export_combined
from ova.heads.calibration.calibration import Calibration
from ova.heads.network.head import Head, InputSpec

torch.set_num_threads(1)


@dataclass(frozen=True)
class SmallHead:
    """A trained head without a training."""

    name: str
    label: str
    head: Head
    calibration: Calibration
    weights_digest: str
    backbone: str = ""
    weights_licence: str | None = None


class Brightness(nn.Module):
    """The mean normalised pixel as a logit: exports in a moment."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean(dim=(1, 2, 3)).unsqueeze(1) * 4.0


def make_calibration(threshold: float = 0.0, prior: float = 0.25, **changes: Any) -> Calibration:
    base = Calibration(
        threshold=float(np.float32(threshold)),
        slope=0.75,
        intercept=-0.5,
        objective="f1",
        method="auto",
        positives=10,
        negatives=30,
        prior=prior,
        pos_weight=3.0,
        f1=0.8,
        note=None,
        weights_digest="d" * 64,
    )
    return replace(base, **changes)


def make_head(
    name: str,
    network: nn.Module | None = None,
    *,
    height: int = 24,
    width: int = 24,
    channels: int = 1,
    views: str = "none",
    **changes: Any,
) -> SmallHead:
    spec = InputSpec(height, width, channels, (0.5, 0.4, 0.3)[:channels], (0.2, 0.25, 0.3)[:channels])
    head = Head([network or Brightness()], spec, views)  # type: ignore[arg-type]
    return SmallHead(name, name.title(), head.eval(), make_calibration(**changes), "d" * 64, name)


def logits_in_torch(head: Head, images: list[np.ndarray]) -> np.ndarray:
    """Logits by the way of training: decoded RGB pixels -> numpy resize -> the head, one image at a time."""
    spec = head.input_spec
    logits = []
    for image in images:
        pixels = image if spec.channels == 3 else luma(image)[:, :, None]
        pixels = resize_pixels(pixels, (spec.height, spec.width))
        with torch.inference_mode():
            logits.append(head(torch.from_numpy(pixels).permute(2, 0, 1)[None].float()).item())
    return np.array(logits, np.float32)


def placed(head: SmallHead, images: list[np.ndarray], **changes: Any) -> SmallHead:
    """Put the threshold into the middle of the widest gap between the logits of some images."""
    logits = np.sort(logits_in_torch(head.head, images).astype(np.float64))
    widest = int(np.argmax(np.diff(logits)))
    threshold = float(np.float32((logits[widest] + logits[widest + 1]) / 2))
    return replace(head, calibration=replace(head.calibration, threshold=threshold, **changes))


# Test files cannot import this module, so what they need of it comes as fixtures.


@pytest.fixture(scope="session")
def small_head() -> Callable[..., SmallHead]:
    return make_head


@pytest.fixture(scope="session")
def torch_logits() -> Callable[[Head, list[np.ndarray]], np.ndarray]:
    return logits_in_torch


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight files of four sizes: grey and colour, PNG, JPEG and 16 bits."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(7)
    files = []
    sizes = [(40, 52), (40, 52), (90, 33), (40, 52), (17, 19), (90, 33), (64, 64), (40, 52)]
    for index, (height, width) in enumerate(sizes):
        level = 30 + 25 * index
        rows, columns = np.mgrid[0:height, 0:width]
        texture = (
            level + 30 * np.sin(rows / (2 + index)) + random.normal(0, 12, (height, width)) + columns * 0.3
        )
        grey = np.clip(texture, 0, 255).astype(np.uint8)
        colour = np.stack([grey, np.roll(grey, 3, 1), 255 - grey], axis=2)
        path = folder / f"cell-{index}.{'jpg' if index % 3 == 1 else 'png'}"
        if index == 2:
            Image.fromarray(grey.astype(np.uint16) * 257).save(path)
        else:
            Image.fromarray(grey if index % 2 else colour).save(path, quality=95)
        files.append(path)
    return files


@pytest.fixture(scope="session")
def decoded(image_files: list[Path]) -> list[np.ndarray]:
    return [decode_image(path, channels=3) for path in image_files]


def three_heads(images: list[np.ndarray]) -> list[SmallHead]:
    """Unlike backbones, sizes, channels and normalisations, with thresholds amid the logits."""
    torch.manual_seed(5)
    resnet = timm.create_model("test_resnet", in_chans=1, num_classes=1)
    convnext = timm.create_model("test_convnext", in_chans=3, num_classes=1)
    vit = timm.create_model("test_vit", in_chans=1, num_classes=1, img_size=(32, 32))
    return [
        placed(make_head("resnet", resnet, height=32, width=32, prior=0.3), images),
        placed(make_head("convnext", convnext, height=32, width=48, channels=3, prior=0.1), images),
        placed(make_head("vit", vit, height=32, width=32, prior=0.06), images),
    ]


@dataclass(frozen=True)
class Exported:
    folder: Path
    heads: list[SmallHead]
    report: ExportReport
    printed: str


@pytest.fixture(scope="session")
def exported(
    tmp_path_factory: pytest.TempPathFactory, image_files: list[Path], decoded: list[np.ndarray]
) -> Exported:
    """Three small real backbones in one argmax model."""
    folder = tmp_path_factory.mktemp("exported") / "solar-cell"
    heads = three_heads(decoded)
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as errors:
        report = export_combined(
            heads,
            EnsembleSpec(
                name="solar-cell", mode="argmax", none_prior=0.5, output_names={"convnext": "Inaktiv µ"}
            ),
            folder=folder,
            images=image_files,
        )
    return Exported(folder, heads, report, out.getvalue() + errors.getvalue())


@pytest.fixture
def copied(exported: Exported, tmp_path: Path) -> Path:
    """A copy of the exported folder, to be damaged."""
    return Path(shutil.copytree(exported.folder, tmp_path / "copy"))
