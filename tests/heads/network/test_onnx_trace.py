"""A graph that computes what torch does, made without a word and without a trace of the machine."""

from __future__ import annotations

import logging
import os
import sys
import sysconfig
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ova.heads.network.onnx_trace import trace_module


@pytest.fixture(scope="module")
def module() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))


@pytest.fixture
def traced(module: nn.Module, capfd: pytest.CaptureFixture[str]) -> tuple[onnx.ModelProto, str]:
    """A graph, and what was printed meanwhile."""
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = trace_module(module, torch.zeros(2, 1, 8, 8), "pixels", ("features",), ("batch",))
    return model, "".join(capfd.readouterr())


def test_the_graph_computes_what_the_module_does_for_any_number_of_images(
    traced: tuple[onnx.ModelProto, str], module: nn.Module
) -> None:
    model, _ = traced
    onnx.checker.check_model(model)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert model.graph.output[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 2, 5):
        pixels = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(count))
        (found,) = session.run(["features"], {"pixels": pixels.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(np.asarray(found), module(pixels).numpy(), atol=1e-5)


def test_nothing_is_printed_and_no_path_of_the_machine_is_in_the_graph(
    traced: tuple[onnx.ModelProto, str],
) -> None:
    model, printed = traced
    assert printed == ""
    content = model.SerializeToString()
    places = {
        sys.prefix,
        sysconfig.get_paths()["purelib"],
        str(Path(torch.__file__).parent),
        str(Path.home()),
    }
    for place in [*places, str(Path(__file__).parents[3]), ".py", "site-packages"]:
        assert place == os.sep or place.encode() not in content
    assert not model.graph.value_info
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


def test_logging_is_as_it_was_before(module: nn.Module) -> None:
    before = logging.root.manager.disable
    with pytest.raises(Exception):  # noqa: B017, PT011 (the exporter's own)
        trace_module(module, torch.zeros(2, 3, 8, 8), "pixels", ("features",), ("batch",))
    assert logging.root.manager.disable == before
