"""Freezing the trunk of a network, unfreezing it from a layer on, and keeping frozen parts as they are.

Layers are counted and compared in registration order, which is the order of the forward pass in the families
that `ova.heads.network.backbones` builds.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain

from torch import nn

from ova.errors import RecipeError
from ova.recipes import nearest


def freeze_trunk(network: nn.Module, classifier_keys: Collection[str]) -> None:
    """Freeze every parameter but those of the classifier, which stays trainable.

    Raises:
        ValueError: No parameter of the network is named in `classifier_keys`: all of it would freeze.
    """
    parameters = dict(network.named_parameters())
    if not parameters.keys() & set(classifier_keys):
        raise ValueError(f"no classifier among the parameters: {sorted(classifier_keys)}")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name in classifier_keys)


def unfreeze(network: nn.Module, from_layer: str | int | None = None) -> None:
    """Make parameters trainable: all, or those registered from a layer on.

    Args:
        network: A network whose trunk was frozen; what is trainable already stays so.
        from_layer: None for everything; the position of a stage in `stage_names`; or the name of any module
            with parameters, such as `layer3` or `features.20`.

    Raises:
        RecipeError: There is no such layer; the valid ones are listed.
    """
    names = [name for name, _ in network.named_parameters()]
    start = 0 if from_layer is None else _first_parameter(network, names, from_layer)
    for name in names[start:]:
        network.get_parameter(name).requires_grad_(True)


def stage_names(network: nn.Module) -> list[str]:
    """Name the stages of a network: its children, with sequences opened once, without parameterless ones."""
    stages = []
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            stages += [(f"{name}.{inner}", module) for inner, module in child.named_children()]
        else:
            stages.append((name, child))
    return [name for name, module in stages if _has_parameters(module)]


def keep_frozen_in_eval(network: nn.Module) -> None:
    """Put the frozen parts back into eval mode; call it after every `network.train()`.

    A module whose parameters are all frozen goes to eval, with all below it, so that the running statistics
    of its batch norms do not move and its dropout is off. A module without parameters follows the next one
    that has some: dropout inside the frozen part is off, dropout just before the classifier stays on.
    """
    next_is_frozen = False
    for module in reversed(_parts(network)):
        if _has_parameters(module):
            next_is_frozen = _is_frozen(module)
        if next_is_frozen:
            module.eval()


def _first_parameter(network: nn.Module, names: list[str], layer: str | int) -> int:
    stages = stage_names(network)
    if isinstance(layer, int):
        if not 0 <= layer < len(stages):
            valid = f"valid are 0 to {len(stages) - 1}: {', '.join(stages)}"
            raise RecipeError(f"there is no stage {layer} to unfreeze from; {valid}")
        layer = stages[layer]
    position = next((index for index, name in enumerate(names) if name.startswith(f"{layer}.")), None)
    if position is None:
        hint = nearest(
            layer, [name for name, module in network.named_modules() if name and _has_parameters(module)]
        )
        raise RecipeError(
            f"there is no layer {layer!r} to unfreeze from{hint}; stages are {', '.join(stages)}"
        )
    return position


def _parts(module: nn.Module) -> list[nn.Module]:
    """Split a network, in order, into the largest parts that are frozen, trainable or parameterless."""
    gradients = {parameter.requires_grad for parameter in module.parameters()}
    if len(gradients) < 2:
        return [module]
    return list(chain.from_iterable(_parts(child) for child in module.children()))


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _is_frozen(module: nn.Module) -> bool:
    return not any(parameter.requires_grad for parameter in module.parameters())
