"""Open the bytes of a combined model in ONNX Runtime, if they are what the manifest says."""

from __future__ import annotations

import hashlib

import onnxruntime

from ova.ensembles.manifest import INPUT_NAME, METADATA_KEY, OUTPUT_NAMES, Manifest
from ova.ensembles.onnx_file import check_self_contained
from ova.errors import ArtefactError

_FATAL_ONLY = 4


def open_session(content: bytes, manifest: Manifest, threads: int | None) -> onnxruntime.InferenceSession:
    """Check the bytes and start ONNX Runtime on them, on the CPU.

    Args:
        content: An ONNX file.
        manifest: What it should be.
        threads: Threads of one run; as many as there are cores if None.

    Raises:
        ArtefactError: Digest, inputs, outputs or description are not those of the manifest, a tensor lies in
            another file, or ONNX Runtime cannot open it.
    """
    if hashlib.sha256(content).hexdigest() != manifest.model_sha256:
        raise ArtefactError(
            "its digest is not the one in the manifest; one of the two was changed or replaced"
        )
    check_self_contained(content)
    session = _start(content, threads)
    _check_interface(session, manifest)
    return session


def _start(content: bytes, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many kinds on a damaged model
        raise ArtefactError(f"ONNX Runtime cannot open it ({' '.join(str(error).split())})") from error


def _check_interface(session: onnxruntime.InferenceSession, manifest: Manifest) -> None:
    inputs = [(each.name, each.type, len(each.shape), each.shape[-1:]) for each in session.get_inputs()]
    if inputs != [(INPUT_NAME, "tensor(uint8)", 4, [manifest.channels])]:
        raise ArtefactError("its input is not one uint8 image batch as the manifest says")
    if tuple(each.name for each in session.get_outputs()) != OUTPUT_NAMES[manifest.mode]:
        raise ArtefactError("its outputs are not those of the manifest")
    if session.get_modelmeta().custom_metadata_map.get(METADATA_KEY) != manifest.description():
        raise ArtefactError("the description inside it is not that of the manifest")
