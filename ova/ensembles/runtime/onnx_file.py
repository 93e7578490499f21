"""Look into the bytes of an ONNX file without the onnx package, before a runtime may open it.

A hostile ONNX file can name other files of the machine as its "external data". A combined model never does,
so such a file is refused before ONNX Runtime sees it. ONNX is a protobuf message; the field numbers below are
those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, the wire format that of
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from collections.abc import Iterator

from ova.errors import ArtefactError

MAX_MODEL_BYTES = 2**31 - 1
_MAX_DEPTH = 16
_MAX_FIELDS = 10_000_000

# message kind -> field number -> message kind of the field
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14


def check_self_contained(content: bytes) -> None:
    """Refuse a model that is not sound protobuf, or of which any tensor lies in another file.

    Raises:
        ArtefactError: The bytes are not an ONNX model of their own.
    """
    try:
        budget = _walk(memoryview(content), "model", 0, _MAX_FIELDS)
    except (IndexError, ValueError) as error:
        raise ArtefactError("not an ONNX file, or damaged") from error
    if budget == _MAX_FIELDS:
        raise ArtefactError("an empty file, not an ONNX model")


def _walk(message: memoryview, kind: str, depth: int, budget: int) -> int:
    """Visit all messages below one; return how many fields may still be visited."""
    if depth > _MAX_DEPTH:
        raise ArtefactError("graphs are nested too deeply; this is not a model of ova")
    for number, value in _fields(message):
        budget -= 1
        if budget < 0:
            raise ArtefactError("too many parts; this is not a model of ova")
        if kind == "tensor":
            if number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0):
                raise ArtefactError("a tensor lies in another file; combined models are one file")
        elif number in _CHILDREN[kind]:
            if not isinstance(value, memoryview):
                raise ValueError("a message was expected")
            budget = _walk(value, _CHILDREN[kind][number], depth + 1, budget)
    return budget


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, number or bytes) of one protobuf message."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire_type == 2:
            length, position = _varint(message, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError("unknown wire type")
        end = position + length
        if number == 0 or end > len(message):
            raise ValueError("cut short")
        yield number, message[position:end]
        position = end


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("number too long")
