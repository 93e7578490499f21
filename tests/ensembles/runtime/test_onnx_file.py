from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ova.ensembles.runtime.onnx_file import check_self_contained
from ova.errors import ArtefactError


def tensor(external: bool, name: str = "w") -> TensorProto:
    made = numpy_helper.from_array(np.arange(4, dtype=np.float32), name)
    if external:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        entry = made.external_data.add()
        entry.key, entry.value = "location", "../../secret"
    return made


def model(
    *,
    initializer: bool = False,
    attribute: bool = False,
    subgraph: bool = False,
    function: bool = False,
    sparse: bool = False,
    training: bool = False,
) -> onnx.ModelProto:
    inner = helper.make_graph(
        [], "inner", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [4])], [tensor(subgraph)]
    )
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor(attribute)),
        helper.make_node("If", ["b"], ["d"], then_branch=inner, else_branch=inner),
    ]
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
    graph = helper.make_graph(nodes, "outer", [], [output], [tensor(initializer)])
    graph.sparse_initializer.add().values.CopyFrom(tensor(sparse))
    made = helper.make_model(graph)
    body = [helper.make_node("Constant", [], ["y"], value=tensor(function))]
    made.functions.append(helper.make_function("own", "f", [], ["y"], body, made.opset_import))
    made.training_info.add().algorithm.initializer.append(tensor(training))
    return made


def test_a_model_with_its_own_weights_passes() -> None:
    check_self_contained(model().SerializeToString())


@pytest.mark.parametrize("place", ["initializer", "attribute", "subgraph", "function", "sparse", "training"])
def test_external_data_is_refused_wherever_it_hides(place: str) -> None:
    with pytest.raises(ArtefactError, match="another file"):
        check_self_contained(model(**{place: True}).SerializeToString())


@pytest.mark.parametrize("field", ["external_data", "data_location"])
def test_either_sign_of_external_data_is_enough(field: str) -> None:
    made = model(initializer=True)
    made.graph.initializer[0].ClearField(field)
    with pytest.raises(ArtefactError, match="another file"):
        check_self_contained(made.SerializeToString())


def test_nested_graphs_have_an_end() -> None:
    graph = helper.make_graph([], "g", [], [])
    for _ in range(10):
        graph = helper.make_graph([helper.make_node("If", ["b"], ["d"], then_branch=graph)], "g", [], [])
    with pytest.raises(ArtefactError, match="nested"):
        check_self_contained(helper.make_model(graph).SerializeToString())


@pytest.mark.parametrize(
    "content", [b"", b"hello world, not protobuf", b"\x80\x02}q\x00.", b"\x08" + b"\xff" * 11]
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ArtefactError):
        check_self_contained(content)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10_000), st.binary(max_size=12))
def test_damage_never_escapes_as_another_error(place: int, patch: bytes) -> None:
    content = bytearray(model().SerializeToString())
    place %= len(content)
    content[place : place + len(patch)] = patch
    for changed in (bytes(content), bytes(content[:place])):
        try:
            check_self_contained(changed)
        except ArtefactError:
            continue
