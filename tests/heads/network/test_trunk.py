"""A trunk and one linear layer are together the network they were parted from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ova.errors import RecipeError
from ova.heads.network.backbones import Pooling, build_backbone, classifier_keys
from ova.heads.network.trunk import classifier_name, part_network

SIZE = (32, 32)
FAMILIES = {
    "test_resnet": "fc",
    "test_efficientnet": "classifier",
    "test_convnext": "head.fc",
    "test_vit": "head",
    "torchvision/mobilenet_v3_small": "classifier.3",
}


def network_of(name: str, pooling: Pooling = "mean") -> tuple[nn.Module, frozenset[str]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_backbone(name, channels=1, size=SIZE, pooling=pooling).eval()
    return network, classifier_keys(name, channels=1, size=SIZE)


def noise(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 1, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_both_parts_together_are_the_network(name: str) -> None:
    network, classifier = network_of(name)
    wanted, modules = network(noise()), dict(network.named_modules())
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    trunk, layer = part_network(network, classifier)
    assert classifier_name(network, classifier) == FAMILIES[name]
    assert layer is network.get_submodule(FAMILIES[name])
    features = trunk(noise())
    assert features.shape == (3, layer.in_features)
    torch.testing.assert_close(layer(features), wanted, rtol=0, atol=0)
    assert dict(network.named_modules()) == modules
    assert {key: tensor.tolist() for key, tensor in network.state_dict().items()} == {
        key: tensor.tolist() for key, tensor in state.items()
    }
    torch.testing.assert_close(network(noise()), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_weights_are_shared_and_those_of_the_classifier_are_not_in_the_trunk(name: str) -> None:
    network, classifier = network_of(name)
    trunk, layer = part_network(network, classifier)
    own = {key: tensor.data_ptr() for key, tensor in network.state_dict(keep_vars=True).items()}
    theirs = {key: tensor.data_ptr() for key, tensor in trunk.state_dict(keep_vars=True).items()}
    assert theirs == {key: place for key, place in own.items() if key not in classifier}
    before = trunk(noise())
    with torch.no_grad():
        next(network.parameters()).mul_(1.5)
        layer.weight.fill_(1.0)
        layer.bias.fill_(2.0)
    assert not torch.equal(trunk(noise()), before)
    torch.testing.assert_close(network(noise())[:, 0], trunk(noise()).sum(dim=1) + 2, rtol=1e-4, atol=1e-4)


def test_mean_and_maximum_side_by_side() -> None:
    network, classifier = network_of("test_resnet", "mean+max")
    trunk, layer = part_network(network, classifier)
    features, last_map = trunk(noise()), network.get_submodule("global_pool")
    seen: list[torch.Tensor] = []
    last_map.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network(noise())
    (before,) = seen
    mean, most = before.mean(dim=(2, 3)), before.amax(dim=(2, 3))
    assert layer.in_features == 2 * before.shape[1]
    torch.testing.assert_close(features, torch.cat([mean, most], dim=1))


def test_a_classifier_of_another_kind_is_refused_in_one_line() -> None:
    network, classifier = network_of("torchvision/squeezenet1_0")
    assert classifier_name(network, classifier) is None
    with pytest.raises(RecipeError, match="something else than one linear layer") as caught:
        part_network(network, classifier)
    assert "\n" not in str(caught.value)


class _Two(nn.Module):
    def __init__(self, *, bias: bool) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 1, bias=bias), nn.Linear(3, 1)


def test_two_layers_or_one_without_a_bias_are_no_classifier() -> None:
    both = ("one.weight", "one.bias", "other.weight", "other.bias")
    assert classifier_name(_Two(bias=True), both) is None
    assert classifier_name(_Two(bias=True), both[:2]) == "one"
    assert classifier_name(_Two(bias=False), both[:1]) is None
