"""One torch module -> one ONNX graph, in silence and without a word about the machine that made it."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

import onnx
import torch
from torch import Tensor, nn

from ova.errors import ArtefactError

OPSET = 20


def trace_module(
    module: nn.Module, example: Tensor, given: str, names: Sequence[str], free: Sequence[str]
) -> onnx.ModelProto:
    """Make the ONNX graph of a module in evaluation mode.

    Args:
        module: One tensor -> one tensor, or as many as there are `names`.
        example: An input. A free dimension of 1 would be taken for a constant, and two that are equal for
            one and the same.
        given: Name of the input.
        names: Names of the outputs.
        free: Names of the first dimensions of the input, which the graph leaves open.

    Raises:
        ArtefactError: The exporter gave nothing.
    """
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
