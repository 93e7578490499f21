"""Networks and rule -> ONNX graphs by torch's exporter, joined into one and taken apart again.

Tracing networks takes seconds each; a rule changes with every threshold. So a combined model is two graphs in
a row, and where only the rule has changed, the first is taken over from the model that is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from ova.digests import digest_json
from ova.ensembles.export.network import CombinedNetwork
from ova.ensembles.rule.torch_rule import Decision
from ova.ensembles.runtime.manifest import (
    INPUT_NAME,
    MANIFEST_FILE,
    MODEL_FILE,
    OUTPUT_NAMES,
    HeadEntry,
    read_manifest,
)
from ova.ensembles.runtime.onnx_file import MAX_MODEL_BYTES
from ova.errors import ArtefactError
from ova.heads.network.onnx_trace import OPSET, trace_module

_ROOM_FOR_GRAPH = 64 * 1024 * 1024
# Traced sizes: a batch of 1 would be taken for a constant, and equal sides for one and the same.
_TRACED_SHAPE = (2, 37, 41)
# Raise it with any change to what `CombinedNetwork.logits` computes: older graphs are then not taken over.
_GRAPH_VERSION = 2
_LOGITS = "logits"
_RULE_PREFIX = "rule/"


def trace_networks(network: CombinedNetwork) -> onnx.ModelProto:
    """Make the graph images -> `logits`.

    Raises:
        ArtefactError: The weights do not fit into one file.
    """
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    if weights > MAX_MODEL_BYTES - _ROOM_FOR_GRAPH:
        raise ArtefactError(
            f"the heads hold {weights / 2**30:.1f} GiB of weights and one ONNX file at most 2 GiB;"
            " combine fewer heads or smaller backbones"
        )
    example = torch.zeros(*_TRACED_SHAPE, network.channels, dtype=torch.uint8)
    return trace_module(_Logits(network), example, INPUT_NAME, (_LOGITS,), ("batch", "height", "width"))


class _Logits(nn.Module):
    def __init__(self, network: CombinedNetwork) -> None:
        super().__init__()
        self.heads = network.heads  # names of the weights are those of the combined network
        self._network = [network]  # not as a submodule

    def forward(self, images: Tensor) -> Tensor:
        return self._network[0].logits(images.permute(0, 3, 1, 2).to(torch.float32))


def trace_rule(decision: Decision, heads: int, mode: str) -> onnx.ModelProto:
    """Make the graph `logits` -> the other outputs."""
    return trace_module(decision, torch.zeros(2, heads), _LOGITS, OUTPUT_NAMES[mode][1:], ("batch",))


def join(networks: onnx.ModelProto, rule: onnx.ModelProto) -> None:
    """Put the rule behind the networks, in place.

    Args:
        networks: images -> `logits`.
        rule: `logits` -> the other outputs. Its names get a prefix, except those of inputs and outputs.
    """
    kept = {_LOGITS, *(value.name for value in rule.graph.output)}

    def named(name: str) -> str:
        return name if name in kept or not name else _RULE_PREFIX + name

    for tensor in rule.graph.initializer:
        tensor.name = named(tensor.name)
    for node in rule.graph.node:
        node.name = _RULE_PREFIX + node.name
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
    networks.graph.node.extend(rule.graph.node)
    networks.graph.initializer.extend(rule.graph.initializer)
    networks.graph.output.extend(rule.graph.output)


def networks_digest(heads: Sequence[HeadEntry]) -> str:
    """Digest what the graph images -> logits is made from."""
    parts = [
        {
            "weights": head.weights_digest,
            "input": asdict(head.input),
            "views": head.views,
            "backbone": head.backbone,
            **({} if head.trunk is None else {"trunk": head.trunk}),
        }
        for head in heads
    ]
    return digest_json([_GRAPH_VERSION, OPSET, torch.__version__, onnx.__version__, parts])


def networks_in(folder: Path, digest: str) -> onnx.ModelProto | None:
    """Return the graph images -> `logits` of the model in a folder, if it is of these very networks.

    Args:
        folder: Of an exported ensemble, or of none.
        digest: `networks_digest` that its manifest must have.

    Returns:
        The graph; None if there is no such model, or it is damaged.
    """
    try:
        manifest = read_manifest(folder / MANIFEST_FILE)
        if manifest.networks_digest != digest:
            return None
        content = (folder / MODEL_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest.model_sha256:
            return None
        return _without_rule(onnx.load_from_string(content))
    except (ArtefactError, OSError):
        return None


def _without_rule(model: onnx.ModelProto) -> onnx.ModelProto:
    graph = model.graph
    for parts in (graph.node, graph.initializer):
        for index in range(len(parts) - 1, -1, -1):
            if parts[index].name.startswith(_RULE_PREFIX):
                del parts[index]
    for index in range(len(graph.output) - 1, -1, -1):
        if graph.output[index].name != _LOGITS:
            del graph.output[index]
    del model.metadata_props[:]
    assert [each.name for each in graph.input] == [INPUT_NAME]  # noqa: S101 (our own file, by its digest)
    return model
