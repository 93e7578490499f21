"""Heads that stand on one and the same trunk: it runs once, and their classifiers become one product.

Which heads those are is read from the networks themselves, not from names or records: the same class of
network, the same tensors bit for bit up to the classifier, the same input and views, and the same features of
one image of noise.

Shape letters: B images, C channels, H height, W width, V views, D features, N heads of one trunk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ova.digests import digest_arrays, digest_json
from ova.heads.network.head import Head, Views, all_views
from ova.heads.network.trunk import classifier_input, part_network

# Equal weights give equal features; the last bits may depend on how a tensor lies in memory.
_FEATURE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class TrunkGroup:
    """Heads that are scored together."""

    heads: tuple[int, ...]
    """Their positions, rising."""
    digest: str | None
    """Of the trunk that they share; None for a head that is scored alone."""


def group_by_trunk(heads: Sequence[Head]) -> list[TrunkGroup]:
    """Part heads into those that share a trunk and those that are scored alone.

    Several members, a classifier that is not one linear layer at the end, or a trunk like no other: such a
    head is scored alone.

    Args:
        heads: In evaluation mode, on the CPU.

    Returns:
        Groups in the order of their first heads; every head is in one.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for position, head in enumerate(heads):
        digest = _trunk_digest(head)
        if digest is not None:
            alike[digest].append(position)
    candidates = [(digest, _same_features(heads, positions)) for digest, positions in alike.items()]
    shared = [TrunkGroup(tuple(positions), digest) for digest, positions in candidates if len(positions) > 1]
    taken = {position for group in shared for position in group.heads}
    alone = [TrunkGroup((position,), None) for position in range(len(heads)) if position not in taken]
    return sorted([*shared, *alone], key=lambda group: group.heads)


class SharedTrunk(nn.Module):
    """Several heads on one trunk: its weights are there once, those of the first head.

    Args:
        heads: N heads of one group of `group_by_trunk`.

    Raises:
        ValueError: The heads end in something else than one linear layer.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        super().__init__()
        first, members = heads[0], [head.members[0] for head in heads]
        keys = _classifier_keys(first)
        if keys is None:
            raise ValueError("these heads share no trunk")
        self.normalise = first.normalise
        self.views: Views = first.views
        self.trunk, _ = part_network(members[0], keys)
        weight, bias = (torch.cat([member.get_parameter(key) for member in members]) for key in keys)
        self.classifier = nn.utils.skip_init(nn.Linear, weight.shape[1], len(weight))
        self.classifier.load_state_dict({"weight": weight, "bias": bias})

    def forward(self, pixels: Tensor) -> Tensor:
        """Score pixels (B, C, H, W) with values 0..255, already of the input size, giving logits (B, N)."""
        views = all_views(self.normalise(pixels), self.views)
        features = self.trunk(torch.cat(views)).reshape(len(views), -1, self.classifier.in_features)
        # The mean of linear functions is the linear function of the mean.
        return self.classifier(features.mean(dim=0))


def _classifier_keys(head: Head) -> tuple[str, str] | None:
    """Name weight and bias of the one linear layer with one output; None if there is none, or several."""
    found = [
        name
        for name, module in head.members[0].named_modules()
        if isinstance(module, nn.Linear) and module.out_features == 1 and module.bias is not None
    ]
    return (f"{found[0]}.weight", f"{found[0]}.bias") if len(found) == 1 and found[0] else None


def _trunk_digest(head: Head) -> str | None:
    """Digest what equal trunks have in common; None for a head that is scored alone in any case."""
    keys = _classifier_keys(head)
    if len(head.members) > 1 or keys is None:
        return None
    kind = type(head.members[0])
    classifier = {f"members.0.{key}" for key in keys}
    tensors = {name: array for name, array in head.tensors().items() if name not in classifier}
    return digest_json(
        {
            "network": f"{kind.__module__}.{kind.__qualname__}",
            "classifier": keys,
            "weights": digest_arrays(tensors),
            "input": head.input_spec.to_json(),
            "views": head.views,
        }
    )


def _same_features(heads: Sequence[Head], positions: Sequence[int]) -> list[int]:
    """Keep those of the positions whose networks make the same features as the first of them does.

    Equal tensors are not enough: pooling, activations and strides have none.
    """
    if len(positions) < 2:
        return []  # nobody to share with, so nothing is run
    features = {position: _features(heads[position]) for position in positions}
    first = features[positions[0]]
    if first is None:
        return []
    tolerance = _FEATURE_TOLERANCE * float(first.abs().max())
    return [
        position
        for position, own in features.items()
        if own is not None and own.shape == first.shape and float((own - first).abs().max()) <= tolerance
    ]


@torch.no_grad()
def _features(head: Head) -> Tensor | None:
    """Run the network on noise and return what its classifier takes, (1, D).

    None where the classifier is not the last step, or is no plain linear layer of one row per image.
    """
    network, spec, keys = head.members[0], head.input_spec, _classifier_keys(head)
    if keys is None:
        return None
    noise = torch.randn(1, spec.channels, spec.height, spec.width, generator=torch.Generator().manual_seed(0))
    given, made, output = classifier_input(network, keys[0].rpartition(".")[0], noise)
    if made is not output or given.ndim != 2:
        return None
    weight, bias = (network.get_parameter(key) for key in keys)
    return given if torch.equal(nn.functional.linear(given, weight, bias), output) else None
