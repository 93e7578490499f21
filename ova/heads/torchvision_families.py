"""Torchvision's classification families: the right classifier, grey stems, dropout where a family has it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ova.errors import RecipeError

TORCHVISION = "torchvision/"


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
