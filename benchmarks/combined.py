"""Ten heads on one trunk in one file: against ten files of one head each, and against one head alone.

All is timed in turns within one run and compared as a ratio, because machines differ and are shared. ONNX
Runtime and torch run on one thread: the waiting threads of ten sessions would get in each other's way, which
would make their loop look slower than it is. Weights are random. An export includes its comparison with torch
on eight images, for which every head runs on its own.

    python benchmarks/combined.py            about 2 minutes on two cores
    python benchmarks/combined.py --quick    a network made for tests, at 64 pixels
    python benchmarks/combined.py --json     one JSON object: the medians, their ranges, sizes of the files
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ova.ensembles.export.onnx_export import EnsembleSpec, export_combined
from ova.ensembles.runtime.model import CombinedModel
from ova.heads.calibration.calibration import Calibration
from ova.heads.network.backbones import build_backbone
from ova.heads.network.head import Head, InputSpec

HEADS = 10
BATCH = 8
COMPARED = 8
SAME_WEIGHTS = "0" * 64
GOALS = {"shared_trunk": ">= 9", "shared_vs_one": "<= 1.05", "export_ten_vs_one": "<= 2"}


@dataclass(frozen=True)
class Size:
    """What is measured, and how often."""

    backbone: str
    side: int
    runs: int
    exports: int


FULL = Size("tf_efficientnet_lite0", 224, runs=12, exports=2)
QUICK = Size("test_efficientnet", 64, runs=12, exports=1)


@dataclass(frozen=True)
class RandomHead:
    """A trained head without a training."""

    name: str
    head: Head
    calibration: Calibration
    backbone: str
    weights_digest: str = SAME_WEIGHTS
    weights_licence: str | None = None

    @property
    def label(self) -> str:
        """Its name."""
        return self.name


def make_heads(size: Size) -> list[RandomHead]:
    """Make heads on one trunk, each with a classifier of its own."""
    torch.manual_seed(0)
    trunk = build_backbone(size.backbone, channels=3, size=(size.side, size.side))
    spec = InputSpec(size.side, size.side, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    heads = []
    for index in range(HEADS):
        network = copy.deepcopy(trunk)
        for layer in network.modules():
            if isinstance(layer, nn.Linear) and layer.out_features == 1:
                layer.reset_parameters()
        heads.append(RandomHead(f"head{index}", Head([network], spec), calibration(), size.backbone))
    return heads


def calibration() -> Calibration:
    """Return one that changes nothing; its threshold is out of reach, as random logits lie close together."""
    return Calibration(
        threshold=1e3,
        slope=1.0,
        intercept=0.0,
        objective="f1",
        method="auto",
        positives=10,
        negatives=30,
        prior=0.25,
        pos_weight=1.0,
        f1=None,
        note=None,
        weights_digest=SAME_WEIGHTS,
    )


def noise(count: int, side: int) -> NDArray[np.uint8]:
    """Draw images a little larger than the input: (count, H, W, 3)."""
    shape = (count, side * 5 // 4, side * 4 // 3, 3)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def export_in_turns(
    heads: Sequence[RandomHead], size: Size, root: Path
) -> tuple[dict[str, list[float]], dict[str, Path]]:
    """Export one head and all of them, into new folders each time; return seconds and the last folders."""
    images = list(noise(COMPARED, size.side))
    times: dict[str, list[float]] = defaultdict(list)
    folders = {}
    export_combined(heads[:1], EnsembleSpec(name="warm"), folder=root / "warm", images=images)
    for turn in range(size.exports):
        for name, chosen in (("one", heads[:1]), ("ten", heads)):
            folder = folders[name] = root / f"{name}-{turn}"
            spec = EnsembleSpec(name=name)
            seconds = timed(lambda: export_combined(chosen, spec, folder=folder, images=images))  # noqa: B023
            times[name].append(seconds)
    return times, folders


def run_in_turns(folders: dict[str, Path], size: Size) -> dict[str, list[float]]:
    """Time one head, ten on one trunk, and a loop over ten files of one head; return seconds of each."""
    one, ten = (CombinedModel.load(folders[name], threads=1) for name in ("one", "ten"))
    separate = [CombinedModel.load(folders["one"], threads=1) for _ in range(HEADS)]
    images = noise(BATCH, size.side)
    times: dict[str, list[float]] = defaultdict(list)
    ways = {
        "one": lambda: one.run(images),
        "ten": lambda: ten.run(images),
        "loop": lambda: [model.run(images) for model in separate],
    }
    for turn in range(size.runs + 1):
        # Whoever follows the loop finds the caches full of its weights, so each does so in turn.
        names = list(ways)[turn % len(ways) :] + list(ways)[: turn % len(ways)]
        for name in names:
            seconds = timed(ways[name])
            if turn:  # the first run of a session makes room for its results
                times[name].append(seconds)
    return times


def ratio(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return minimum, median and maximum of above / below, turn by turn."""
    ratios = sorted(one / other for one, other in zip(above, below, strict=True))
    return [round(value, 3) for value in (ratios[0], statistics.median(ratios), ratios[-1])]


def measure(size: Size) -> dict[str, Any]:
    """Run everything."""
    heads = make_heads(size)
    with tempfile.TemporaryDirectory() as place:
        exports, folders = export_in_turns(heads, size, Path(place))
        runs = run_in_turns(folders, size)
        sizes = {name: (folder / "model.onnx").stat().st_size for name, folder in folders.items()}
    ranges = {
        "shared_trunk": ratio(runs["loop"], runs["ten"]),
        "shared_vs_one": ratio(runs["ten"], runs["one"]),
        "export_ten_vs_one": ratio(exports["ten"], exports["one"]),
    }
    return {
        **{key: values[1] for key, values in ranges.items()},
        "goals": GOALS,
        "ranges": ranges,
        "backbone": size.backbone,
        "cores": os.cpu_count(),
        "bytes_of_one_head": sizes["one"],
        "bytes_per_further_head": (sizes["ten"] - sizes["one"]) // (HEADS - 1),
        "ms_per_image": {
            name: round(statistics.median(each) / BATCH * 1000, 2) for name, each in runs.items()
        },
        "export_seconds": {name: round(statistics.median(each), 1) for name, each in exports.items()},
    }


def main() -> None:
    """Print a table, or one JSON object."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="A small network.")
    options.add_argument("--json", action="store_true", help="Print one JSON object.")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    result = measure(QUICK if chosen.quick else FULL)
    if chosen.json:
        print(json.dumps(result))
        return
    for key, (least, median, most) in result["ranges"].items():
        goal = result["goals"][key]
        print(f"{key:18} min {least:6.2f}  median {median:6.2f}  max {most:6.2f}  goal {goal}")
    print(f"{result['bytes_per_further_head']} bytes per further head, {result['bytes_of_one_head']} of one")


if __name__ == "__main__":
    main()
