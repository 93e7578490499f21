"""250,000 rows, 50 classes and as many small images: from the raw table to a split and statistics.

The size is that of a plankton survey (243,610 images). Data are made first, and are not part of the time;
the work runs in a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 50
_PER_FOLDER = 1000


def make_survey(folder: Path, count: int) -> Path:
    """Write a workspace whose classes are as unequal as those of plankton: shares fall as rank^-1.3.

    Returns:
        The workspace.
    """
    data = folder / "data"
    data.mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        starts = range(0, count, _PER_FOLDER)
        list(pool.map(partial(_write_images, data, count), starts))
    shares = 1 / np.arange(1, CLASSES + 1) ** 1.3
    classes = np.random.default_rng(0).choice(CLASSES, count, p=shares / shares.sum())
    with (data / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", *(f"species {number:02d}" for number in range(CLASSES))])
        cells = np.eye(CLASSES, dtype=int).astype(str)
        for number, row in enumerate(classes):
            table.writerow([_name(number), *cells[row]])
    (data / "dataset.toml").write_text('labels = "labels.csv"\n')
    return folder


def measure_survey(workspace: Path) -> dict[str, float]:
    """Run intake, split and statistics in a new process.

    Returns:
        `seconds`, of which `statistics_seconds`, and `mib`: the most memory of that process, and of as many
        workers as there are cores if each took the most that one took.
    """
    made = subprocess.run(
        [sys.executable, __file__, str(workspace)], check=True, capture_output=True, text=True
    )
    return json.loads(made.stdout)


def _name(number: int) -> str:
    return f"{number // _PER_FOLDER:03d}/{number:06d}.png"


def _write_images(data: Path, count: int, start: int) -> None:
    """Write grey pictures of a dark blob on a light ground, 64 x 48 pixels, no two alike."""
    draw = np.random.default_rng(start)
    rows, columns = np.mgrid[0:64, 0:48]
    (data / _name(start)).parent.mkdir()
    for number in range(start, min(start + _PER_FOLDER, count)):
        y, x, radius = draw.uniform(16, 48), draw.uniform(12, 36), draw.uniform(5, 20)
        blob = 120 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / radius**2)
        pixels = (200 + draw.normal(0, 6, blob.shape) - blob).clip(0, 255).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG", compress_level=1)
        (data / _name(number)).write_bytes(content.getvalue())


def _measure(workspace: Path) -> dict[str, float]:
    import os

    from ova.analysis.statistics.describe import describe_data
    from ova.data.dataset import open_dataset
    from ova.workspace import Workspace

    started = time.perf_counter()
    open_dataset(Workspace(workspace))
    opened = time.perf_counter()
    describe_data(Workspace(workspace))
    ended = time.perf_counter()
    own, worker = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return {
        "seconds": ended - started,
        "statistics_seconds": ended - opened,
        "mib": own + worker * (os.cpu_count() or 1),
    }


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]))))
