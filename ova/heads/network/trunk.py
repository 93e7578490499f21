"""A network parted at its classifier: the trunk, which heads may share, and one linear layer on top of it.

Shape letters: B images, C channels, H height, W width, D features.
"""

from __future__ import annotations

import copy
from collections.abc import Collection

from torch import Tensor, nn

from ova.errors import RecipeError


def classifier_name(network: nn.Module, classifier: Collection[str]) -> str | None:
    """Name the linear layer that is a network's whole classifier; None where that is another kind of layer.

    Args:
        network: (B, C, H, W) -> (B, 1).
        classifier: Keys of the classifier (`ova.heads.network.backbones.classifier_keys`).
    """
    owners = {key.rpartition(".")[0] for key in classifier}
    if len(owners) != 1:
        return None
    (name,) = owners
    layer = network.get_submodule(name)
    linear = isinstance(layer, nn.Linear) and {f"{name}.weight", f"{name}.bias"} == set(classifier)
    return name if linear else None


def classifier_input(network: nn.Module, name: str, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run a network and return what its classifier takes, what that gives, and what the network gives.

    Args:
        network: (B, C, H, W) -> (B, 1).
        name: Of the classifier, one layer.
        images: (B, C, H, W).
    """
    seen: list[tuple[Tensor, Tensor]] = []

    def note(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        seen.append((given[0], made))

    hook = network.get_submodule(name).register_forward_hook(note)
    try:
        output = network(images)
    finally:
        hook.remove()
    return *seen[-1], output


def part_network(network: nn.Module, classifier: Collection[str]) -> tuple[nn.Module, nn.Linear]:
    """Part a network into its trunk (B, C, H, W) -> (B, D) and its classifier (B, D) -> (B, 1).

    The trunk shares its weights with the network; the network itself stays as it is.

    Raises:
        RecipeError: The classifier is no linear layer.
    """
    name = classifier_name(network, classifier)
    if name is None:
        raise RecipeError(
            "this family ends in something else than one linear layer, so its trunk cannot be used alone; "
            "choose another backbone, or leave freeze out"
        )
    layer = network.get_submodule(name)
    assert isinstance(layer, nn.Linear)  # noqa: S101 (`classifier_name` says so)
    # Weights are shared, modules are not: what the copy gets in place of its classifier is its own.
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    trunk = copy.deepcopy(network, shared)
    trunk.set_submodule(name, nn.Identity())
    return trunk, layer
