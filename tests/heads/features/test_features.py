"""Features are what the trunk gives, computed once, and whole or refused."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines import compute_by_torch
from filelock import FileLock
from small import write_workspace
from torch import nn

from ova.data.dataset import open_dataset
from ova.data.images.store import PixelStore, StoreSpec
from ova.errors import ArtefactError, EnvironmentFault
from ova.heads.features import engine as engine_module
from ova.heads.features import features as features_module
from ova.heads.features.engine import fastest_engine
from ova.heads.features.features import FeatureSpec, compute_features
from ova.heads.network.backbones import build_backbone, classifier_keys
from ova.heads.network.head import InputSpec, Views, all_views
from ova.heads.network.trunk import part_network
from ova.progress import Interrupted, Watch
from ova.storage import read_json, read_tensors, write_tensors

COUNT = 40
INPUT = InputSpec(24, 24, 1, (0.45,), (0.2,))
CPU = torch.device("cpu")
COPIES = {"none": 1, "flips": 4, "dihedral": 8}


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[PixelStore, PixelStore]:
    """The same images at two sizes."""
    workspace = write_workspace(tmp_path_factory.mktemp("features") / "workspace", count=COUNT)
    specs = [StoreSpec(24, 24, 1), StoreSpec(32, 32, 1)]
    dataset = open_dataset(workspace, specs)
    return dataset.stores[specs[0]], dataset.stores[specs[1]]


@pytest.fixture(scope="module")
def store(stores: tuple[PixelStore, PixelStore]) -> PixelStore:
    return stores[0]


def trunk_of(name: str, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_backbone(name, channels=1, size=(24, 24))
    trunk, _ = part_network(network, classifier_keys(name, channels=1, size=(24, 24)))
    return trunk


@pytest.fixture(scope="module")
def trunk() -> nn.Module:
    return trunk_of("test_resnet")


@pytest.fixture
def by_torch(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Compute by torch alone, and note how many images every batch has."""
    return compute_by_torch(monkeypatch)


def compute(
    folder: Path,
    store: PixelStore,
    trunk: nn.Module,
    views: Views = "none",
    *,
    averaged: bool = True,
    name: str = "trunk",
    should_stop: Callable[[], bool] = lambda: False,
) -> np.ndarray:
    return compute_features(
        folder,
        store,
        trunk,
        INPUT,
        FeatureSpec(name, views, averaged),
        task="features",
        device=CPU,
        watch=Watch(should_stop=should_stop),
    )


def by_hand(store: PixelStore, trunk: nn.Module, views: Views) -> np.ndarray:
    """(N, V, D): each view of each image through the trunk, with nothing but torch."""
    pixels = torch.from_numpy(store.read(np.arange(len(store)))).permute(0, 3, 1, 2).double() / 255
    normalised = ((pixels - INPUT.mean[0]) / INPUT.std[0]).float()
    trunk.eval()
    with torch.inference_mode():
        return torch.stack([trunk(view) for view in all_views(normalised, views)], dim=1).numpy()


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "views"),
    [("test_resnet", "none"), ("test_resnet", "dihedral"), ("test_efficientnet", "flips")],
)
def test_features_are_those_of_the_trunk_view_by_view(
    tmp_path: Path, store: PixelStore, name: str, views: Views
) -> None:
    trunk = trunk_of(name)
    wanted = by_hand(store, trunk, views)
    one_by_one = compute(tmp_path, store, trunk, views, averaged=False)
    assert (one_by_one.dtype, one_by_one.shape) == (np.float32, wanted.shape)
    assert one_by_one.shape[:2] == (COUNT, COPIES[views])
    assert_close(one_by_one, wanted)
    averaged = compute(tmp_path, store, trunk, views, averaged=True)
    assert averaged.shape == (COUNT, 1, wanted.shape[2])
    assert_close(averaged, wanted.mean(axis=1, keepdims=True))
    # Else a mix-up of rows, views or both would not be seen.
    largest = np.abs(wanted).max()
    assert np.abs(wanted - wanted[::-1]).max() > 0.1 * largest
    assert views == "none" or np.abs(wanted - wanted[:, ::-1]).max() > 0.01 * largest


def test_both_engines_say_the_same(store: PixelStore, trunk: nn.Module) -> None:
    sample = torch.from_numpy(store.read(np.arange(32))).permute(0, 3, 1, 2).contiguous().numpy()
    engine = fastest_engine(trunk, INPUT, CPU, sample)
    assert engine.name == "onnxruntime"
    network = nn.Sequential(engine_module.Normalise(INPUT.mean, INPUT.std), trunk).eval()
    assert_close(engine.compute(sample), engine_module._torch_engine(network, CPU)(sample))
    assert_close(engine.compute(sample), by_hand(store, trunk, "none")[:32, 0])


@pytest.mark.parametrize("fault", ["other numbers", "no session"])
def test_an_engine_that_disagrees_or_fails_is_not_used(
    tmp_path: Path, store: PixelStore, trunk: nn.Module, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    original = engine_module._onnxruntime_engine

    def broken(network: nn.Module, sample: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        if fault == "no session":
            raise RuntimeError("this operator is unknown\nand more")
        compute = original(network, sample)
        return lambda pixels: compute(pixels) + 1

    monkeypatch.setattr(engine_module, "_onnxruntime_engine", broken)
    assert_close(compute(tmp_path, store, trunk), by_hand(store, trunk, "none"))
    (index,) = tmp_path.glob("*/index.json")
    assert read_json(index)["engine"] == "torch"


def test_a_second_call_computes_nothing(
    tmp_path: Path, store: PixelStore, trunk: nn.Module, by_torch: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compute(tmp_path, store, trunk)
    assert by_torch == [32, 32]  # the second is filled up
    monkeypatch.setattr(features_module, "fastest_engine", None)
    assert compute(tmp_path, store, trunk).tobytes() == first.tobytes()
    assert by_torch == [32, 32]


def chunks(folder: Path) -> int:
    return len(list(folder.rglob("features-*")))


@pytest.mark.parametrize(
    ("engine", "views"),
    [
        ("torch", "none"),
        ("torch", "flips"),
        pytest.param("onnxruntime", "flips", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_computation_ends_with_the_same_bits(
    tmp_path: Path,
    store: PixelStore,
    trunk: nn.Module,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    views: Views,
    engine: str,
) -> None:
    batches = request.getfixturevalue("by_torch") if engine == "torch" else []
    chunk = 11 if engine == "torch" else 21  # no multiple of a batch
    monkeypatch.setattr(features_module, "CHUNK", chunk)
    straight = compute(tmp_path / "straight", store, trunk, views)
    (index,) = tmp_path.glob("straight/*/index.json")
    assert read_json(index)["engine"] == engine
    computed = len(batches)
    broken, last = tmp_path / "broken", -(-COUNT // chunk)
    for done in range(1, last):
        with pytest.raises(Interrupted, match=f"features: stopped after {chunk * done} images"):
            compute(broken, store, trunk, views, should_stop=lambda done=done: chunks(broken) == done)
        assert chunks(broken) == done
        assert not list(broken.rglob("index.json"))
    resumed = compute(broken, store, trunk, views, should_stop=lambda: chunks(broken) == last)
    assert resumed.tobytes() == straight.tobytes()
    assert len(batches) == 2 * computed  # what was there was not computed again
    assert_close(resumed, by_hand(store, trunk, views).mean(axis=1, keepdims=True))


def test_another_trunk_other_views_or_another_store_is_another_folder(
    tmp_path: Path,
    stores: tuple[PixelStore, PixelStore],
    by_torch: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, _ = stores
    specs = [
        FeatureSpec("a", "none", True),
        FeatureSpec("b", "none", True),
        FeatureSpec("a", "flips", True),
        FeatureSpec("a", "none", False),
    ]
    digests = [spec.digest(store) for spec in specs for store in stores]
    assert len(set(digests)) == len(digests)
    with monkeypatch.context() as later:
        later.setattr(features_module, "FEATURE_FORMAT", -1)
        assert specs[0].digest(one) not in digests
    assert specs[0].digest(PixelStore(one.folder)) == digests[0]
    trunks = trunk_of("test_resnet"), trunk_of("test_resnet", seed=1)
    found = [compute(tmp_path, one, trunk, name=str(number)) for number, trunk in enumerate(trunks)]
    assert len(list(tmp_path.iterdir())) == 2
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_rows_in_another_order_are_another_folder(
    tmp_path: Path, trunk: nn.Module, by_torch: list[int]
) -> None:
    workspace = write_workspace(tmp_path / "workspace", count=12)
    spec = StoreSpec(24, 24, 1)
    images = [f"{number:03d}.png" for number in range(12)]
    found = []
    for _ in range(2):
        store = open_dataset(workspace, [spec]).stores[spec]
        found.append(compute(workspace.features, store, trunk)[store.rows(images)])
        shutil.rmtree(workspace.stores)  # people who are short of disk do that
        table = workspace.root / "data" / "images" / "data.csv"
        header, *lines = table.read_text().splitlines()
        table.write_text("\n".join([header, *reversed(lines)]) + "\n")
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def shorten(path: Path) -> None:
    write_tensors(path, {"features": read_tensors(path)[0]["features"][1:]})


def rename(path: Path) -> None:
    write_tensors(path, {"other": read_tensors(path)[0]["features"]})


def spoil(path: Path) -> None:
    write_tensors(path, {"features": read_tensors(path)[0]["features"] * np.float32(np.nan)})


@pytest.mark.parametrize("harm", [cut, flip, shorten, rename, spoil, Path.unlink])
def test_a_damaged_chunk_is_refused_by_the_name_of_its_folder(
    tmp_path: Path,
    store: PixelStore,
    trunk: nn.Module,
    by_torch: list[int],
    harm: Callable[[Path], None],
) -> None:
    compute(tmp_path, store, trunk)
    (chunk,) = tmp_path.rglob("features-00000.safetensors")
    harm(chunk)
    with pytest.raises(ArtefactError) as caught:
        compute(tmp_path, store, trunk)
    assert str(chunk.parent) in str(caught.value)
    assert "remove it and run again" in str(caught.value)
    assert "\n" not in str(caught.value)
    shutil.rmtree(chunk.parent)
    assert_close(compute(tmp_path, store, trunk), by_hand(store, trunk, "none"))


@pytest.mark.parametrize(
    "content", ["{", "{}", "[]", '{"format": 1, "images": 3}', '{"format": 0, "images": 40}']
)
def test_a_damaged_index_is_refused(
    tmp_path: Path, store: PixelStore, trunk: nn.Module, by_torch: list[int], content: str
) -> None:
    compute(tmp_path, store, trunk)
    (index,) = tmp_path.rglob("index.json")
    index.write_text(content)
    with pytest.raises(ArtefactError, match="remove it and run again"):
        compute(tmp_path, store, trunk)


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_environment(
    tmp_path: Path, store: PixelStore, trunk: nn.Module, by_torch: list[int]
) -> None:
    (tmp_path / "features").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="features"):
        compute(tmp_path / "features", store, trunk)
    assert by_torch == []


def test_a_second_caller_waits_and_may_be_stopped(
    tmp_path: Path, store: PixelStore, trunk: nn.Module, by_torch: list[int]
) -> None:
    place = tmp_path / FeatureSpec("trunk", "none", True).digest(store)
    place.mkdir()
    with (
        FileLock(place / ".lock"),
        pytest.raises(Interrupted, match="another process"),
    ):
        compute(tmp_path, store, trunk, should_stop=lambda: True)
    assert by_torch == []
    assert_close(compute(tmp_path, store, trunk), by_hand(store, trunk, "none"))


def test_who_waited_reads_what_the_other_computed(
    tmp_path: Path, store: PixelStore, trunk: nn.Module, by_torch: list[int]
) -> None:
    other = tmp_path / "other"
    wanted = compute(other, store, trunk)
    (done,) = other.iterdir()
    place = tmp_path / "shared" / done.name
    place.mkdir(parents=True)
    found: list[np.ndarray] = []

    def wait() -> None:
        found.append(compute(tmp_path / "shared", store, trunk))

    by_torch.clear()
    lock: Any = FileLock(place / ".lock")
    with lock:
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        shutil.copytree(done, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock"))
    thread.join(20)
    assert not thread.is_alive()
    assert by_torch == []
    np.testing.assert_array_equal(found[0], wanted)


def test_a_batch_is_always_full_so_that_no_sum_is_ordered_otherwise(
    tmp_path: Path, store: PixelStore, trunk: nn.Module, by_torch: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_module, "CHUNK", 7)
    compute(tmp_path, store, trunk, "dihedral")
    assert set(by_torch) == {32}
    assert len(by_torch) == 12  # of 4 images each: chunks are 4 + 3 images, and the last one 4 + 1
