from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from ova.errors import RecipeError
from ova.heads.network.backbones import (
    FAMILIES,
    build_backbone,
    classifier_keys,
    grey_stem,
    sketch,
    timm_network,
    trunk_digest,
)
from ova.heads.network.head import InputSpec

torch.set_num_threads(1)

SMALL = (
    "torchvision/squeezenet1_0",
    "torchvision/mobilenet_v3_small",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/mnasnet0_5",
    "torchvision/regnet_x_400mf",
    "torchvision/googlenet",
    "resnet10t",
    "mobilenetv3_small_050",
    "convnext_atto",
    "test_convnext",
    "test_efficientnet",
    "test_vit",
)
SPEC = InputSpec(64, 64, 1, (0.5,), (0.25,))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_one_logit_and_a_trunk(name: str) -> None:
    channels = 1 + 2 * (FAMILIES.index(name) % 2)
    network = sketch(name, 1, channels=channels, size=(224, 224))
    with torch.no_grad():
        output = network.eval()(torch.zeros(2, channels, 224, 224, device=next(network.parameters()).device))
    assert output.shape == (2, 1)
    keys = classifier_keys(name, channels=channels, size=(224, 224))
    state = network.state_dict()
    shapes = [tuple(state[key].shape) for key in keys]
    assert {shape[0] for shape in shapes} == {1}
    assert sorted(len(shape) for shape in shapes) in (
        [1, 2],
        [1, 4],
    )  # bias, and weight of a linear or 1x1 layer
    assert len(state) > len(keys)


@pytest.mark.parametrize("name", SMALL)
def test_small_families_learn_in_every_layer(name: str) -> None:
    torch.manual_seed(0)
    network = build_backbone(name, channels=1, size=(64, 64)).eval()
    images = torch.randn(2, 1, 64, 64)
    logits = network(images)
    logits.sum().backward()
    silent = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert logits.shape == (2, 1)
    assert silent == []
    with torch.no_grad():
        for key in classifier_keys(name, channels=1, size=(64, 64)):
            network.get_parameter(key).neg_()
        # Nothing may follow the classifier: SqueezeNet's last ReLU would keep every logit at 0 or above.
        torch.testing.assert_close(network(images), -logits.detach())
    assert logits.abs().max() > 0


def test_hidden_layers_of_the_old_classifiers_are_trunk() -> None:
    # The predecessor set `.fc` on VGG, which VGG never uses, and froze EfficientNet's
    # classifier with its trunk.
    last = {"classifier.6.weight", "classifier.6.bias"}
    assert classifier_keys("torchvision/vgg16", channels=3, size=(224, 224)) == last
    assert classifier_keys("torchvision/alexnet", channels=3, size=(224, 224)) == last
    classifier = classifier_keys("torchvision/efficientnet_b3", channels=1, size=(224, 224))
    assert classifier == {"classifier.1.weight", "classifier.1.bias"}


@pytest.mark.parametrize("name", ["torchvision/squeezenet1_0", "torchvision/shufflenet_v2_x0_5"])
def test_a_grey_network_scores_as_the_colour_one_on_equal_channels(name: str) -> None:
    networks = []
    for channels in (1, 3):
        torch.manual_seed(0)
        networks.append(build_backbone(name, channels=channels, size=(64, 64)).eval())
    grey = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            networks[0](grey), networks[1](grey.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-6
        )


def test_grey_stem_keeps_the_answer() -> None:
    weight, grey = torch.randn(4, 3, 3, 3), torch.randn(2, 1, 8, 8)
    expected = nn.functional.conv2d(grey.expand(-1, 3, -1, -1), weight)
    torch.testing.assert_close(nn.functional.conv2d(grey, grey_stem(weight)), expected)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet81", "resnet18"),
        ("torchvision/resnet19", "torchvision/resnet18"),
        ("resnet18.a1_in2k", "resnet18.a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "is unknown"),
        ("local-dir:/models", "is unknown"),
        ("torchvision/fasterrcnn_resnet50_fpn", "is unknown"),
        ("", "give a timm model or torchvision/NAME"),
    ],
)
def test_unknown_names_get_near_ones(name: str, hint: str) -> None:
    with pytest.raises(RecipeError, match="is unknown") as caught:
        build_backbone(name, channels=1, size=(64, 64))
    assert hint in str(caught.value)
    with pytest.raises(RecipeError, match="is unknown"):
        classifier_keys(name, channels=1, size=(64, 64))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("torchvision/alexnet", (32, 48)),
        ("torchvision/inception_v3", (64, 64)),
        ("torchvision/vit_b_16", (60, 60)),
        ("torchvision/vit_b_16", (64, 32)),
        ("torchvision/maxvit_t", (64, 64)),
        ("vit_tiny_patch16_224", (8, 8)),
    ],
)
def test_a_size_that_does_not_fit_is_named_in_one_line(name: str, size: tuple[int, int]) -> None:
    with pytest.raises(
        RecipeError, match=f"{name} does not take images of {size[0]}x{size[1]} pixels"
    ) as caught:
        build_backbone(name, channels=1, size=size)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "size"), [("test_vit", (64, 96)), ("test_vit.r160_in1k", (48, 48))])
def test_fixed_size_families_take_the_size_asked_for(name: str, size: tuple[int, int]) -> None:
    network = build_backbone(name, channels=3, size=size).eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, *size)).shape == (2, 1)


def test_dropout_replaces_the_family_rate() -> None:
    for rate in (0.0, 0.3):
        network = build_backbone("torchvision/mobilenet_v3_small", channels=1, size=(64, 64), drop_rate=rate)
        assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [rate]
        timm_rates = build_backbone("test_efficientnet", channels=1, size=(64, 64), drop_rate=rate)
        assert timm_rates.drop_rate == rate


def test_stochastic_depth_rises_linearly_to_its_rate() -> None:
    from torchvision.ops import StochasticDepth

    settings = {"channels": 1, "size": (64, 64), "drop_path_rate": 0.2}
    network = sketch("torchvision/convnext_tiny", 1, **settings)
    rates = [layer.p for layer in network.modules() if isinstance(layer, StochasticDepth)]
    np.testing.assert_allclose(rates, np.linspace(0, 0.2, len(rates) + 1)[1:])


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("torchvision/resnet18", "drop_rate"),
        ("torchvision/resnet18", "drop_path_rate"),
        ("vgg11", "drop_path_rate"),
    ],
)
def test_a_rate_that_the_family_lacks_is_refused(name: str, rate: str) -> None:
    with pytest.raises(RecipeError, match=f"{name} has no {rate}"):
        sketch(name, 1, channels=1, size=(64, 64), **{rate: 0.1})


def test_the_seed_alone_decides_the_weights() -> None:
    # RegNet cannot be sketched without numbers, so its sketch draws some: the caller must not notice.
    torch.manual_seed(0)
    built = build_backbone("torchvision/regnet_x_400mf", channels=3, size=(64, 64)).state_dict()
    torch.manual_seed(0)
    plain = sketch("torchvision/regnet_x_400mf", 1, channels=3, size=(64, 64)).state_dict()
    assert all(torch.equal(built[key], plain[key]) for key in plain)


def test_trunk_digest_is_of_the_trunk() -> None:
    network = timm_network("test_resnet", 1, channels=1, size=(64, 64))
    classifier = classifier_keys("test_resnet", channels=1, size=(64, 64))

    def digest(name: str = "test_resnet", spec: InputSpec = SPEC) -> str:
        state = {key: tensor.numpy() for key, tensor in network.state_dict().items()}
        return trunk_digest(state, classifier, name=name, input_spec=spec)

    first = digest()
    with torch.no_grad():
        network.get_parameter("fc.weight").add_(1)
    assert digest() == first
    assert digest(name="test_resnet.r160_in1k") == first
    assert digest(name="test_resnet2") != first
    assert digest(spec=InputSpec(64, 64, 1, (0.5,), (0.26,))) != first
    with torch.no_grad():
        network.get_buffer("bn1.running_mean")[0] += 1
    assert digest() != first


def test_importing_loads_neither_timm_nor_torchvision() -> None:
    code = (
        "import sys, ova.heads.network.head, ova.heads.network.backbones, ova.heads.network.pretrained, ova.heads.network.freezing;"
        "print(sorted({'timm', 'torchvision', 'huggingface_hub'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
