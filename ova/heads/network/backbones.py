"""Backbones by name: any timm model, and the torchvision families, each with exactly one logit as output.

A backbone is a trunk plus its classifier. The classifier is the layer whose shape depends on the number of
outputs; it is found by building the network twice, never by the name of a slot, because every family has
another one (`fc`, `classifier.6`, `head.fc`, `_fc`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from ova.digests import digest_arrays, digest_json
from ova.errors import RecipeError
from ova.heads.network.head import InputSpec
from ova.recipes import nearest

if TYPE_CHECKING:
    from types import ModuleType

    import numpy as np

    from ova.heads.recipe import HeadRecipe


TORCHVISION = "torchvision/"
Pooling = Literal["mean", "mean+max"]

# fmt: off
FAMILIES = (
    *(TORCHVISION + family for family in (
        "resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_b3", "efficientnet_v2_s", "vgg16",
        "vgg19", "inception_v3", "googlenet", "alexnet", "squeezenet1_0", "densenet121", "mobilenet_v2",
        "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "regnet_x_400mf", "convnext_tiny", "swin_t",
        "vit_b_16",
    )),
    "resnet10t", "resnet18", "efficientnet_b3", "tf_efficientnetv2_s", "vgg16", "mobilenetv3_small_050",
    "convnext_atto", "convnext_xlarge", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224",
    "test_resnet", "test_convnext", "test_efficientnet", "test_vit",
)
# fmt: on
"""The names that the documentation promises; every other timm or torchvision name is accepted as well."""


def build_backbone(
    name: str,
    *,
    channels: int,
    size: tuple[int, int],
    pooling: Pooling = "mean",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """Build an untrained network (batch, channels, height, width) -> logits (batch, 1).

    Args:
        name: A timm model, with or without a pretrained tag, or `torchvision/NAME`.
        channels: 1 (grey) or 3 (RGB).
        size: Height and width of the input in pixels.
        pooling: "mean" is the family's own way; "mean+max" puts mean and maximum of the last map side by
            side.
        drop_rate: Dropout before the classifier, 0 to 1. It replaces the family's own rate, 0 included.
        drop_path_rate: Stochastic depth of the last block, 0 to 1; it too replaces the family's own rate.

    Raises:
        RecipeError: The name is unknown, or the family does not take this size or one of these rates.
    """
    _check_name(name)
    shape = {"channels": channels, "size": size}
    _check_size(sketch(name, 1, **shape), name, **shape)
    rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    return _construct(name, 1, **shape, **rates, **_pooling_of(name, pooling))


def network_of(recipe: HeadRecipe, *, to_train: bool = False) -> nn.Module:
    """Build the untrained network of a head.

    Args:
        recipe: Of the head.
        to_train: With the dropout of the recipe, which has no weights and no effect in use.

    Raises:
        RecipeError: As `build_backbone`.
    """
    backbone, settings = recipe.backbone, recipe.input
    return build_backbone(
        backbone.name,
        channels=settings.channels,
        size=settings.shape,
        pooling=backbone.pooling,
        drop_rate=backbone.dropout if to_train else 0.0,
        drop_path_rate=backbone.drop_path if to_train else 0.0,
    )


def _pooling_of(name: str, pooling: Pooling) -> dict[str, str]:
    """Return what timm is told of the pooling.

    Raises:
        RecipeError: The family has no other pooling than its own.
    """
    if pooling == "mean":
        return {}
    network = None if name.startswith(TORCHVISION) else sketch(name, 1, channels=3, size=(224, 224))
    if not hasattr(getattr(network, "global_pool", None) or _head_of(network), "pool_type"):
        raise RecipeError(
            f'{name} has its own pooling; pooling = "mean+max" is for convolutional networks of timm'
        )
    return {"global_pool": "catavgmax"}


def _head_of(network: nn.Module | None) -> object:
    """Return the pooling layer of families that have it inside their head."""
    return getattr(getattr(network, "head", None), "global_pool", None)


def _check_name(name: str) -> None:
    if name not in _known_names():
        hint = nearest(name, sorted(_known_names())) or "; give a timm model or torchvision/NAME"
        raise RecipeError(f"backbone {name!r} is unknown{hint}")


@functools.cache
def _known_names() -> frozenset[str]:
    import torchvision

    timm = timm_library()
    families = torchvision.models.list_models(module=torchvision.models)
    return frozenset(
        [
            *timm.list_models(),
            *timm.list_models(pretrained=True),
            *(TORCHVISION + family for family in families),
        ]
    )


def _check_size(network: nn.Module, name: str, channels: int, size: tuple[int, int]) -> None:
    device = next(network.parameters()).device
    network.eval()
    try:
        with torch.no_grad():
            output = network(torch.zeros(2, channels, *size, device=device))
    except NotImplementedError:  # an operation that cannot be sketched: training will tell
        return
    except Exception as error:  # families fail in their own ways on a size that they do not take
        raise _size_error(name, size, error) from error
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != (2, 1):
        raise RecipeError(
            f"{name} does not give one logit per image; choose an image classification backbone"
        )


def _size_error(name: str, size: tuple[int, int], error: Exception) -> RecipeError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return RecipeError(f"{name} does not take images of {size[0]}x{size[1]} pixels: {reason}")


def classifier_keys(name: str, *, channels: int, size: tuple[int, int]) -> frozenset[str]:
    """Return the state-dict keys of the classifier; all others are the trunk.

    They are the keys whose shape changes with the number of outputs, so the hidden fully connected layers of
    VGG and AlexNet belong to the trunk.

    Raises:
        RecipeError: The name is unknown, or the family does not take this size.
    """
    _check_name(name)
    one, two = (sketch(name, outputs, channels=channels, size=size).state_dict() for outputs in (1, 2))
    return frozenset(key for key, tensor in one.items() if tensor.shape != two[key].shape)


def trunk_digest(
    state: Mapping[str, np.ndarray],
    classifier: Collection[str],
    *,
    name: str,
    input_spec: InputSpec,
    pooling: Pooling = "mean",
) -> str:
    """Digest what makes two trunks interchangeable: weights, architecture, input and cut point.

    Args:
        state: The network's parameters and buffers by state-dict name.
        classifier: The keys to leave out (`classifier_keys`).
        name: The architecture; a pretrained tag says where weights came from and does not count.
        input_spec: Size and normalisation of the input.
        pooling: What stands between the last map and the classifier.

    Returns:
        A SHA-256 in hexadecimal digits.
    """
    weights = digest_arrays({key: array for key, array in state.items() if key not in classifier})
    architecture = name.partition(".")[0]
    trunk = {"weights": weights, "architecture": architecture, "input": input_spec.to_json()}
    cut = "classifier" if pooling == "mean" else f"classifier, {pooling}"
    return digest_json({**trunk, "cut": cut})


def sketch(name: str, outputs: int, **settings: Any) -> nn.Module:
    """Build a network without its numbers, to learn its shapes at no cost; settings as for `timm_network`."""
    with torch.random.fork_rng(devices=[]):  # the networks built for real must not depend on the sketches
        try:
            with torch.device("meta"):
                return _construct(name, outputs, **settings)
        except NotImplementedError:  # a family that reads tensor values while it is built (RegNet)
            return _construct(name, outputs, **settings)


def _construct(name: str, outputs: int, **settings: Any) -> nn.Module:
    build = torchvision_network if name.startswith(TORCHVISION) else timm_network
    try:
        return build(name, outputs, **settings)
    except (ValueError, AssertionError, RuntimeError) as error:
        if isinstance(error, NotImplementedError):
            raise
        raise _size_error(name, settings["size"], error) from error


def timm_network(
    name: str,
    outputs: int,
    *,
    channels: int,
    size: tuple[int, int],
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    **more: Any,
) -> nn.Module:
    """Call timm's factory with the settings that the family knows; `more` goes to the factory as it is."""
    timm = timm_library()
    settings: dict[str, Any] = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    if getattr(timm.get_pretrained_cfg(name), "fixed_input_size", False):
        settings["img_size"] = size
    while True:
        try:
            return timm.create_model(name, num_classes=outputs, in_chans=channels, **settings, **more)
        except TypeError as error:
            unknown = next((key for key in settings if f"'{key}'" in str(error)), None)
            if unknown is None:
                raise
            if unknown != "img_size" and settings[unknown]:
                raise RecipeError(
                    f"{name} has no {unknown}; leave it out or choose another backbone"
                ) from error
            del settings[unknown]


def timm_library() -> ModuleType:
    """Import timm, with the hub client's telemetry off unless the user set it."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import timm

    return timm


def torchvision_network(
    name: str,
    outputs: int,
    *,
    channels: int,
    size: tuple[int, int],
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """Build the family of a name `torchvision/FAMILY`, from scratch, without auxiliary outputs."""
    from torchvision.models import get_model

    family = name.removeprefix(TORCHVISION)
    options: dict[str, Any] = {}
    if family in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    elif family.startswith("vit_"):
        options = {"image_size": size[0]}
    elif family.startswith("maxvit"):
        options = {"input_size": size}
    network = get_model(family, weights=None, num_classes=outputs, **options)
    if family.startswith("squeezenet"):
        # The family ends in a ReLU after the classifier, with which no logit could be negative.
        network.get_submodule("classifier").register_module("2", nn.Identity())
    if channels == 1:
        stem = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
        stem.weight = nn.Parameter(grey_stem(stem.weight.detach()))
        stem.in_channels = 1
    _set_dropout(network, name, drop_rate)
    _set_drop_path(network, name, drop_path_rate)
    return network


def _set_dropout(network: nn.Module, name: str, rate: float) -> None:
    # The classifier comes last in every family; its dropout is in the same child or is a child itself.
    last = list(network.children())[-1]
    layers = [module for module in (*network.children(), *last.modules()) if isinstance(module, nn.Dropout)]
    if rate and not layers:
        raise RecipeError(f"{name} has no drop_rate; leave it out or choose a timm backbone")
    for layer in layers:
        layer.p = rate


def _set_drop_path(network: nn.Module, name: str, rate: float) -> None:
    # Linear decay rule: Huang et al., Deep Networks with Stochastic Depth, ECCV 2016, section 3.
    from torchvision.ops import StochasticDepth

    layers = [module for module in network.modules() if isinstance(module, StochasticDepth)]
    if rate and not layers:
        raise RecipeError(f"{name} has no drop_path_rate; leave it out or choose a timm backbone")
    for depth, layer in enumerate(layers, start=1):
        layer.p = rate * depth / len(layers)


def grey_stem(weight: torch.Tensor) -> torch.Tensor:
    """Fold the weight (out, 3, h, w) of a first convolution to (out, 1, h, w).

    The sum over the input channels makes a grey image score as its three equal channels did.
    """
    return weight.sum(dim=1, keepdim=True)
