"""From image files to batches: against a DataLoader, bare loops on all cores, and 250,000 rows.

Everything is timed in turns within one run, and compared as a ratio, because machines differ and are shared.
A ratio above 1 says how many times faster `ova` is. The limit of decoding is `decode_vs_bare`: the same
decoders and Pillow's resizing in a bare loop on all cores, where nothing is checked, digested or stored. What
it takes to start processes is counted on no side.

    python benchmarks/data.py            about 4 minutes on two cores, most of it making 250,000 images
    python benchmarks/data.py --quick    a tenth of the images and rows
    python benchmarks/data.py --json     one JSON object: the medians, their ranges, milliseconds per image
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from many_rows import make_survey, measure_survey
from photographs import write_photographs
from PIL import Image
from simplejpeg import decode_jpeg
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from ova.cli.memory import keep_freed_memory
from ova.data.augment.augment import augment
from ova.data.augment.recipe import AugmentSettings
from ova.data.files.image_files import FolderFiles
from ova.data.images.facts import Decoding
from ova.data.images.store import PixelStore, StoreSpec, prepare_stores
from ova.heads.network.head import Normalise
from ova.heads.rows import Rows, read_batch
from ova.heads.training.batches import plan_epoch
from ova.progress import Silent

SIDE = 224
BATCH = 32
WORKERS = os.cpu_count() or 1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Kind:
    """Images of one kind, and the form in which a head reads them."""

    name: str
    format: str
    height: int
    width: int
    channels: int
    count: int
    draft_side: int | None = None

    @property
    def spec(self) -> StoreSpec:
        """The form of the store."""
        return StoreSpec(SIDE, SIDE, self.channels)


KINDS = (
    Kind("photographs", "jpeg", 375, 500, 3, 1500),
    Kind("cells", "png", 300, 300, 1, 1500),
    Kind("large", "jpeg", 1500, 2000, 3, 240, draft_side=SIDE),
)


class SinceFirst(Silent):
    """Counts time from the first images on: what it takes to start processes is counted on no side."""

    def advance(self, task: str, done: int, note: str = "") -> None:
        """Remember the first time and the last."""
        now = (time.perf_counter(), done)
        self.first = getattr(self, "first", now)
        self.last = now

    def milliseconds(self) -> float:
        """Return those per image after the first ones."""
        return (self.last[0] - self.first[0]) / (self.last[1] - self.first[1]) * 1000


class Images(Dataset[torch.Tensor]):
    """The usual way: Pillow opens a file, torchvision transforms it."""

    def __init__(self, paths: Sequence[Path], kind: Kind, *, augmented: bool) -> None:
        self.paths = paths
        self.mode = "RGB" if kind.channels == 3 else "L"
        reflected = v2.RandomCrop(SIDE, padding=SIDE // 10, padding_mode="reflect")
        moves = [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), reflected] if augmented else []
        to_float = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        normalise = [v2.Normalize(MEAN[: kind.channels], STD[: kind.channels])] if augmented else []
        self.transform = v2.Compose([v2.Resize((SIDE, SIDE)), *moves, *to_float, *normalise])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert(self.mode))


def load(images: Images) -> float:
    """Return milliseconds per image of a DataLoader on all cores, after the first batch of each worker."""
    batches = iter(DataLoader(images, BATCH, num_workers=WORKERS))
    done = sum(len(next(batches)) for _ in range(WORKERS))
    started = time.perf_counter()
    for _ in batches:
        pass
    return (time.perf_counter() - started) / (len(images) - done) * 1000


def decode_bare(paths: Sequence[Path], kind: Kind, *, resize: bool) -> float:
    """Return milliseconds per image of the decoders alone, in threads (they let go of the lock)."""

    def decode(path: Path) -> None:
        if kind.format == "jpeg":
            side = kind.draft_side or kind.height
            image = Image.fromarray(decode_jpeg(path.read_bytes(), "RGB", min_height=side, min_width=side))
        else:
            image = Image.open(path)
            image.load()
        if resize:
            image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)

    started = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in pool.map(decode, paths):
            pass
    return (time.perf_counter() - started) / len(paths) * 1000


def fill_store(folder: Path, paths: Sequence[Path], kind: Kind) -> tuple[float, PixelStore]:
    """Return milliseconds per image of checking, decoding, digesting, resizing and storing, and the store."""
    clock = SinceFirst()
    _, stores = prepare_stores(
        FolderFiles(paths[0].parent),
        [path.name for path in paths],
        [kind.spec],
        folder,
        known={},
        decoding=Decoding(None, kind.draft_side),
        progress=clock,
    )
    return clock.milliseconds(), stores[kind.spec]


def read_batches(store: PixelStore, images: Sequence[str], epoch: int) -> float:
    """Return milliseconds per image of an epoch of batches: read, flip, shift, normalise."""
    rows = Rows.of(images, (np.arange(len(images)) % 2).astype(np.int8), store)
    channels = store.spec.channels
    normalise, settings = Normalise(MEAN[:channels], STD[:channels]), AugmentSettings(flips=True, shift=0.1)
    plan = plan_epoch(rows, BATCH, 0, epoch)
    started = time.perf_counter()
    for step, batch in enumerate(plan.batches):
        pixels = read_batch(store, rows.positions[batch], torch.device("cpu"))
        normalise(augment(pixels, plan.draws(step), settings))
    return (time.perf_counter() - started) / len(rows) * 1000


def compare(paths: Sequence[Path], kind: Kind, folder: Path, repeats: int) -> dict[str, list[float]]:
    """Time the ways in turns, and return milliseconds per image of each."""
    names = [path.name for path in paths]
    times: dict[str, list[float]] = defaultdict(list)
    for repeat in range(repeats):
        milliseconds, store = fill_store(folder / f"{kind.name}-{repeat}", paths, kind)
        times["store"].append(milliseconds)
        times["bare"].append(decode_bare(paths, kind, resize=True))
        times["bare_decode_only"].append(decode_bare(paths, kind, resize=False))
        times["loader"].append(load(Images(paths, kind, augmented=False)))
        read_batches(store, names, 0)  # the first epoch after a start fills caches
        epochs = [read_batches(store, names, 1 + epoch) for epoch in range(3)]
        times["batches"].append(statistics.median(epochs))
        times["augmented_loader"].append(load(Images(paths, kind, augmented=True)))
    return times


def ratio(times: dict[str, list[float]], baseline: str, ours: str) -> list[float]:
    """Return minimum, median and maximum of baseline / ours, turn by turn."""
    ratios = sorted(there / here for there, here in zip(times[baseline], times[ours], strict=True))
    return [round(value, 2) for value in (ratios[0], statistics.median(ratios), ratios[-1])]


PAIRS = {
    "decode_vs_loader": ("loader", "store"),
    "decode_vs_bare": ("bare", "store"),
    "decode_vs_decode_only": ("bare_decode_only", "store"),
    "batch_vs_loader": ("augmented_loader", "batches"),
}


def measure(quick: bool) -> dict[str, Any]:
    """Run everything.

    Args:
        quick: A tenth of the rows, a third of the images and turns.
    """
    share, repeats, rows = (3, 1, 25_000) if quick else (1, 3, 250_000)
    times = {}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for kind in KINDS:
            form = {"kind": kind.format, "height": kind.height, "width": kind.width}
            paths = write_photographs(root / kind.name, kind.count // share, **form)
            times[kind.name] = compare(paths, kind, root, repeats)
        survey = measure_survey(make_survey(root / "survey", rows))
    ranges = {key: {name: ratio(times[name], *pair) for name in times} for key, pair in PAIRS.items()}
    return {
        **{key: ranges[key]["photographs"][1] for key in PAIRS},
        "rows_250k_seconds": round(survey["seconds"], 1),
        "rows_250k_mib": round(survey["mib"]),
        "rows": rows,
        "cores": WORKERS,
        "ranges": ranges,
        "ms_per_image": {
            name: {way: round(statistics.median(values), 3) for way, values in by_way.items()}
            for name, by_way in times.items()
        },
        "survey": {key: round(value, 1) for key, value in survey.items()},
    }


def main() -> None:
    """Print a table, or one JSON object."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="A tenth of everything.")
    options.add_argument("--json", action="store_true", help="Print one JSON object.")
    chosen = options.parse_args()
    keep_freed_memory()  # as `ova train` does
    result = measure(chosen.quick)
    if chosen.json:
        print(json.dumps(result))
        return
    for key, kinds in result["ranges"].items():
        for kind, values in kinds.items():
            print(f"{key:22} {kind:12} min {values[0]:6.2f}  median {values[1]:6.2f}  max {values[2]:6.2f}")
    print(f"{result['rows']} rows: {result['rows_250k_seconds']} s, {result['rows_250k_mib']} MiB")


if __name__ == "__main__":
    main()
