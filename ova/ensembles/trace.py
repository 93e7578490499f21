"""Networks and rule -> ONNX graphs, by torch's exporter."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict

import onnx
import torch
from torch import Tensor, nn

from ova.digests import digest_json
from ova.ensembles.combined import CombinedNetwork
from ova.ensembles.decision import Decision
from ova.ensembles.graph import LOGITS
from ova.ensembles.manifest import INPUT_NAME, OUTPUT_NAMES, HeadEntry
from ova.ensembles.onnx_file import MAX_MODEL_BYTES
from ova.errors import ArtefactError

OPSET = 20
_ROOM_FOR_GRAPH = 64 * 1024 * 1024
# Traced sizes: a batch of 1 would be taken for a constant, and equal sides for one and the same.
_TRACED_SHAPE = (2, 37, 41)
# Raise it with any change to what `CombinedNetwork.logits` computes: older graphs are then not taken over.
_GRAPH_VERSION = 2


def networks_digest(heads: Sequence[HeadEntry]) -> str:
    """Digest what the graph images -> logits is made from."""
    parts = [
        {
            "weights": head.weights_digest,
            "input": asdict(head.input),
            "views": head.views,
            "backbone": head.backbone,
        }
        for head in heads
    ]
    return digest_json([_GRAPH_VERSION, OPSET, torch.__version__, onnx.__version__, parts])


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
    return _trace(_Logits(network), example, INPUT_NAME, (LOGITS,), ("batch", "height", "width"))


def trace_rule(decision: Decision, heads: int, mode: str) -> onnx.ModelProto:
    """Make the graph `logits` -> the other outputs."""
    return _trace(decision, torch.zeros(2, heads), LOGITS, OUTPUT_NAMES[mode][1:], ("batch",))


class _Logits(nn.Module):
    def __init__(self, network: CombinedNetwork) -> None:
        super().__init__()
        self.heads = network.heads  # names of the weights are those of the combined network
        self._network = [network]  # not as a submodule

    def forward(self, images: Tensor) -> Tensor:
        return self._network[0].logits(images.permute(0, 3, 1, 2).to(torch.float32))


def _trace(
    module: nn.Module, example: Tensor, given: str, names: Sequence[str], free: Sequence[str]
) -> onnx.ModelProto:
    unknown = torch.export.Dim.DYNAMIC
    with _silence(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=(dict.fromkeys(range(len(free)), unknown),),
            input_names=[given],
            output_names=list(names),
            external_data=False,
            verbose=False,
        )
    if program is None:  # only the deprecated exporter returns nothing
        raise ArtefactError("torch gave no ONNX program")
    model = program.model_proto  # made anew by every access
    _tidy(model, free)
    return model


def _tidy(model: onnx.ModelProto, free: Sequence[str]) -> None:
    """Name the free dimensions, and drop what tells of the exporting machine (stack traces with paths)."""
    graph = model.graph
    dimensions = [each.dim_param for each in graph.input[0].type.tensor_type.shape.dim[: len(free)]]
    renamed = dict(zip(dimensions, free, strict=True))
    for value in (*graph.input, *graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = renamed.get(dimension.dim_param, dimension.dim_param)
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")


@contextmanager
def _silence() -> Iterator[None]:
    """Keep torch's exporter from printing, logging and warning."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
