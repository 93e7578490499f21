"""Features of a frozen trunk for every image of a pixel store, kept in `runs/features/DIGEST/`.

The digest covers trunk, input, cut point, views, and the store with its pixels: heads, folds, later runs and
`ova tune` that stand on the same trunk read the same folder. In it are `spec.json`, then
`features-00000.safetensors`, ... with `CHUNK` images each, in the order of the store, and `index.json`, which
is written last. An interrupted computation goes on with the first chunk that is missing, to the same bits on
a CPU at a fixed thread count.

Features are float32. Half of that would do for the fit, but the scores that calibrate a head are made of
them, and a threshold holds in use only if the exported file computes what was calibrated.

Shape letters: N images of the store, V views, D features, B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import nn

from ova.data.images.store import PixelStore
from ova.digests import digest_json
from ova.errors import ArtefactError
from ova.heads.features.engine import Engine, fastest_engine
from ova.heads.network.head import InputSpec, Views, all_views
from ova.heads.rows import in_batches
from ova.progress import Interrupted, Watch
from ova.storage import read_json, read_tensors, write_json, write_tensors

# Part of every digest: raised when features of the same trunk and pixels change, or the form of the files.
FEATURE_FORMAT = 1
CHUNK = 256
# Images times views that the network is given at once; always as many, so that no sum is ordered otherwise.
_BATCH = 32


@dataclass(frozen=True)
class FeatureSpec:
    """What decides the features of an image, besides its pixels."""

    trunk: str
    """Digest of weights, architecture, input and cut point (`ova.heads.network.backbones.trunk_digest`)."""
    views: Views
    """Which copies of an image are looked at, in the order of `all_views`."""
    averaged: bool
    """Whether one mean over the views is kept (V = 1), or each view of its own."""

    def digest(self, store: PixelStore) -> str:
        """Name of the folder: of these settings and everything in the store, its order too."""
        return digest_json([FEATURE_FORMAT, CHUNK, asdict(self), store.folder.name, store.order_digest()])


def compute_features(
    folder: Path,
    store: PixelStore,
    trunk: nn.Module,
    input_spec: InputSpec,
    spec: FeatureSpec,
    *,
    task: str,
    device: torch.device,
    watch: Watch,
) -> NDArray[np.float32]:
    """Return the features of all images of a store, from the folder where they are there.

    Args:
        folder: `runs/features`; other processes may compute in it.
        store: Pixels.
        trunk: (B, C, H, W) normalised -> (B, D).
        input_spec: Size and normalisation of its input.
        spec: Its digest, and the views.
        task: Name under which progress is told.
        device: Where torch computes.
        watch: Told and asked after every chunk.

    Returns:
        (N, V, D), rows as in the store.

    Raises:
        Interrupted: `watch` said so; what is computed is kept.
        ArtefactError: The folder is damaged.
        EnvironmentFault: The disk is full or read-only.
    """
    place = folder / spec.digest(store)
    index = place / "index.json"
    if not index.is_file():
        write_json(place / "spec.json", asdict(spec))  # makes the folder, and says what it will hold
        with _only_one(place / ".lock", task, watch):
            if not index.is_file():
                _fill(place, store, trunk, input_spec, spec, task=task, device=device, watch=watch)
    return _read(place, len(store))


def _fill(
    place: Path,
    store: PixelStore,
    trunk: nn.Module,
    input_spec: InputSpec,
    spec: FeatureSpec,
    *,
    task: str,
    device: torch.device,
    watch: Watch,
) -> None:
    count, started = len(store), time.monotonic()
    views = len(all_views(torch.zeros(1, 1, 1, 1), spec.views))
    batch = max(1, _BATCH // views)
    watch.progress.start(task, count)
    engine: Engine | None = None
    for number, part in enumerate(in_batches(count, CHUNK)):
        path = _chunk(place, number)
        if not path.is_file():
            if engine is None:
                sample = _views_of(store, np.arange(min(batch, count)), spec.views, batch)
                engine = fastest_engine(trunk, input_spec, device, sample)
            features = [
                _describe(engine, store, rows, spec, batch)
                for rows in np.array_split(np.arange(part.start, part.stop), range(batch, CHUNK, batch))
                if len(rows)
            ]
            write_tensors(path, {"features": np.concatenate(features)})
        watch.progress.advance(task, part.stop)
        if part.stop < count and watch.should_stop():
            raise Interrupted(
                f"{task}: stopped after {part.stop} images; run the same command again to go on"
            )
    name = engine.name if engine is not None else "kept"
    seconds = round(time.monotonic() - started, 3)
    index = {"format": FEATURE_FORMAT, "images": count, "engine": name, "seconds": seconds, **asdict(spec)}
    write_json(place / "index.json", index)


def _describe(
    engine: Engine, store: PixelStore, rows: NDArray[np.intp], spec: FeatureSpec, batch: int
) -> NDArray[np.float32]:
    """Return the features (b, V, D) of b <= `batch` rows."""
    views = _views_of(store, rows, spec.views, batch)
    found = engine.compute(views).reshape(batch, len(views) // batch, -1)[: len(rows)]
    return found.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32) if spec.averaged else found


def _views_of(store: PixelStore, rows: NDArray[np.intp], views: Views, batch: int) -> NDArray[np.uint8]:
    """Return all views of rows, those of one image side by side, filled up to `batch` with the last row."""
    filled = np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows))])
    pixels = torch.from_numpy(store.read(filled)).permute(0, 3, 1, 2)
    return torch.stack(all_views(pixels, views), dim=1).flatten(0, 1).contiguous().numpy()


def _read(place: Path, count: int) -> NDArray[np.float32]:
    try:
        known = read_json(place / "index.json")
        chunks = [read_tensors(_chunk(place, n))[0]["features"] for n in range(-(-count // CHUNK))]
        features = np.concatenate(chunks)
        sound = known["format"] == FEATURE_FORMAT and known["images"] == len(features) == count
    except (ArtefactError, KeyError, TypeError, ValueError) as error:
        raise ArtefactError(f"{place} is damaged ({error}); remove it and run again") from error
    if not sound or features.dtype != np.float32 or not np.isfinite(features).all():
        raise ArtefactError(f"{place} is damaged; remove it and run again")
    return features


def _chunk(place: Path, number: int) -> Path:
    return place / f"features-{number:05d}.safetensors"


@contextmanager
def _only_one(lock_file: Path, task: str, watch: Watch) -> Iterator[None]:
    """Wait while another process computes the same features, and ask meanwhile whether to stop."""
    lock = FileLock(lock_file)
    while True:
        try:
            lock.acquire(timeout=1)
            break
        except Timeout:
            if watch.should_stop():
                raise Interrupted(f"{task}: stopped while another process computes them") from None
    try:
        yield
    finally:
        lock.release()
