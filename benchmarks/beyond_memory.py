"""Train on a pixel store that is larger than memory, and show how much memory that takes.

    python benchmarks/beyond_memory.py --gib 30

The store is written as a store of drawn noise; one head (a network of a few thousand weights) is fitted for
one epoch over random batches of it. Resident memory stays that of a batch: pages of the store are the
system's to keep or drop.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ova.data.augment.draws import image_keys
from ova.data.images.store import ImageRows, PixelStore
from ova.heads.rows import Rows, read_batch
from ova.heads.training.batches import plan_epoch

SIDE = 224
BATCH = 32


def write_store(folder: Path, gib: float) -> PixelStore:
    """Write a store of noise, in files of 8 GiB."""
    row = SIDE * SIDE * 3
    shard_rows = 8 * 2**30 // row
    count = int(gib * 2**30 / row)
    block = np.random.default_rng(0).integers(0, 256, (64, row), np.uint8)
    for shard, start in enumerate(range(0, count, shard_rows)):
        with (folder / f"pixels-{shard:03d}.bin").open("wb") as file:
            for first in range(start, min(start + shard_rows, count), len(block)):
                file.write(block[: min(len(block), start + shard_rows - first, count - first)])
    ImageRows.of([f"{number:07d}" for number in range(count)]).write(folder / "rows.safetensors")
    spec = {"height": SIDE, "width": SIDE, "channels": 3}
    (folder / "index.json").write_text(json.dumps({"spec": spec, "shard_rows": shard_rows}))
    return PixelStore(folder)


def train(store: PixelStore, most_seconds: float) -> dict[str, float]:
    """Fit a small network over random batches of the whole store, for an epoch or until time is up."""
    images = tuple(f"{number:07d}" for number in range(len(store)))
    labels = (np.arange(len(store)) % 8 == 0).astype(np.int8)
    rows = Rows(images, labels, store.rows(images), image_keys(images))
    network = nn.Sequential(
        nn.Conv2d(3, 8, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)
    )
    optimiser = torch.optim.SGD(network.parameters(), 0.01)
    before, started, shown = _resident_mib(), time.perf_counter(), 0
    plan = plan_epoch(rows, BATCH, 0, 1)
    for batch in plan.batches:
        pixels = read_batch(store, rows.positions[batch], torch.device("cpu")) / 255
        loss = nn.functional.binary_cross_entropy_with_logits(
            network(pixels)[:, 0], torch.from_numpy(labels[batch]).float()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        shown += len(batch)
        if time.perf_counter() - started > most_seconds:
            break
    seconds = time.perf_counter() - started
    return {
        "images": len(store),
        "images_shown": shown,
        "images_per_second": shown / seconds,
        "resident_mib_before": before,
        "resident_mib_at_most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--gib", type=float, default=30.0, help="Size of the store.")
    options.add_argument("--seconds", type=float, default=240.0, help="Longest training.")
    options.add_argument("--folder", help="Where there is room for the store.")
    chosen = options.parse_args()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        store = write_store(Path(folder), chosen.gib)
        print(
            json.dumps(
                {"memory_gib": memory, "store_gib": chosen.gib, **train(store, chosen.seconds)}, indent=2
            )
        )


if __name__ == "__main__":
    main()
