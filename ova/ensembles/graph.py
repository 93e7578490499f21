"""Join the graph of the networks with the graph of the rule, and take the networks out of a model again.

Tracing networks takes seconds each; a rule changes with every threshold. So a combined model is two graphs in
a row, and where only the rule has changed, the first is taken over from the model that is there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx

from ova.ensembles.manifest import INPUT_NAME, MANIFEST_FILE, MODEL_FILE, read_manifest
from ova.errors import ArtefactError

LOGITS = "logits"
_RULE = "rule/"


def join(networks: onnx.ModelProto, rule: onnx.ModelProto) -> None:
    """Put the rule behind the networks, in place.

    Args:
        networks: images -> `logits`.
        rule: `logits` -> the other outputs. Its names get a prefix, except those of inputs and outputs.
    """
    kept = {LOGITS, *(value.name for value in rule.graph.output)}

    def named(name: str) -> str:
        return name if name in kept or not name else _RULE + name

    for tensor in rule.graph.initializer:
        tensor.name = named(tensor.name)
    for node in rule.graph.node:
        node.name = _RULE + node.name
        node.input[:] = [named(name) for name in node.input]
        node.output[:] = [named(name) for name in node.output]
    networks.graph.node.extend(rule.graph.node)
    networks.graph.initializer.extend(rule.graph.initializer)
    networks.graph.output.extend(rule.graph.output)


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
            if parts[index].name.startswith(_RULE):
                del parts[index]
    for index in range(len(graph.output) - 1, -1, -1):
        if graph.output[index].name != LOGITS:
            del graph.output[index]
    del model.metadata_props[:]
    assert [each.name for each in graph.input] == [INPUT_NAME]  # noqa: S101 (our own file, by its digest)
    return model
