"""Heads -> one ONNX file and its manifest, kept only if it says what the heads say."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import onnx
import torch

from ova import __version__
from ova.digests import digest_json
from ova.ensembles.combined import CalibratedHead, CombinedNetwork
from ova.ensembles.coupling import TIE_RULE
from ova.ensembles.manifest import (
    FORMAT,
    INPUT_NAME,
    MANIFEST_FILE,
    METADATA_KEY,
    MODEL_FILE,
    OUTPUT_NAMES,
    AbsentEntry,
    HeadEntry,
    InputEntry,
    Manifest,
    ParityEntry,
)
from ova.ensembles.onnx_file import MAX_MODEL_BYTES
from ova.ensembles.parity import RealImage, check_parity
from ova.ensembles.provenance import RunEntry
from ova.ensembles.recipe import Mode
from ova.ensembles.runtime import CombinedModel
from ova.errors import ArtefactError, RecipeError
from ova.storage import write_bytes, write_json

OPSET = 20
_ROOM_FOR_GRAPH = 64 * 1024 * 1024
# Traced sizes: a batch of 1 would be taken for a constant, and equal sides for one and the same.
_TRACED_SHAPE = (2, 37, 41)


class ExportableHead(CalibratedHead, Protocol):
    """A trained head with the digests that bind its parts together."""

    @property
    def weights_digest(self) -> str:
        """Digest of the head's weights."""
        ...

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        ...

    @property
    def weights_licence(self) -> str | None:
        """Licence of the weights that it started from, if they had one."""
        ...


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how it compared with torch."""

    model: Path
    manifest: Manifest
    size: int
    """Bytes of the model."""

    @property
    def parity(self) -> ParityEntry:
        """How the written file compared with torch."""
        return self.manifest.parity


def export_combined(
    heads: Sequence[ExportableHead],
    *,
    name: str,
    folder: Path,
    images: Sequence[RealImage],
    mode: Mode = "multilabel",
    none_prior: float | None = None,
    output_names: Mapping[str, str] | None = None,
    white_level: int | None = None,
    draft_side: int | None = None,
    absent: Sequence[AbsentEntry] = (),
    runs: Mapping[str, RunEntry] | None = None,
) -> ExportReport:
    """Write `model.onnx` and `manifest.json` into `folder`.

    The model is made and compared with torch in memory. The two files are put in place only then, model
    first; a crash between them leaves a model that the runtime refuses because its digest is not the
    manifest's. The heads are put into eval mode.

    Args:
        heads: On the CPU, in the order of the outputs.
        name: Name of the ensemble.
        folder: Where the files go; other files in it are left alone.
        images: Real images for the comparison, of any sizes.
        mode: `multilabel` or `argmax`.
        none_prior: Share of images with none of the labels; needed for `argmax`
            (`ova.ensembles.coupling.none_prior_of`).
        output_names: Head name -> text of its output, where that is not its label.
        white_level: Value that becomes white in 16-bit images, as in training.
        draft_side: How small JPEGs may be decoded, as in training.
        absent: Heads of the ensemble that have nothing to learn from, for the manifest.
        runs: Head name -> which training it is of, for the manifest.

    Raises:
        ArtefactError: A calibration belongs to other weights, the model is too large for one file, or it
            differs from torch. What lay in `folder` is unchanged.
        DataError: An image cannot be read, or a head has no prior for `argmax`.
        EnvironmentFault: The files cannot be written.
        RecipeError: Two heads have the same output name, or there is no image.
    """
    if mode == "multilabel":
        none_prior = None
    network = CombinedNetwork(heads, mode=mode, none_prior=none_prior)
    draft = Manifest(
        format=FORMAT,
        ova_version=__version__,
        ensemble=name,
        mode=mode,
        heads=tuple(_entry(head, output_names or {}, (runs or {}).get(head.name)) for head in heads),
        absent=tuple(absent),
        none_prior=none_prior,
        tie_rule=TIE_RULE if mode == "argmax" else None,
        channels=network.channels,
        white_level=white_level,
        draft_side=draft_side,
        model_sha256="",
        parity=ParityEntry(0, 0.0, 0),
    )
    _check_labels(draft.labels)
    content = onnx_bytes(network, draft.description())
    manifest = replace(draft, model_sha256=hashlib.sha256(content).hexdigest())
    manifest = replace(manifest, parity=check_parity(CombinedModel(content, manifest), heads, images))
    write_bytes(folder / MODEL_FILE, content)
    write_json(folder / MANIFEST_FILE, manifest.to_json())
    return ExportReport(folder / MODEL_FILE, manifest, len(content))


def onnx_bytes(network: CombinedNetwork, description: str) -> bytes:
    """Turn a combined network into the bytes of one ONNX file, with `description` in its metadata.

    Raises:
        ArtefactError: It does not fit into one file.
    """
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    if weights > MAX_MODEL_BYTES - _ROOM_FOR_GRAPH:
        raise ArtefactError(
            f"the heads hold {weights / 2**30:.1f} GiB of weights and one ONNX file at most 2 GiB;"
            " combine fewer heads or smaller backbones"
        )
    names = OUTPUT_NAMES[network.mode]
    example = torch.zeros(*_TRACED_SHAPE, network.channels, dtype=torch.uint8)
    unknown = torch.export.Dim.DYNAMIC
    with _silence(), torch.no_grad():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes=({0: unknown, 1: unknown, 2: unknown},),
            input_names=[INPUT_NAME],
            output_names=list(names),
            external_data=False,
            verbose=False,
        )
    if program is None:  # only the deprecated exporter returns nothing
        raise ArtefactError("torch gave no ONNX program")
    model = program.model_proto
    _tidy(model)
    onnx.helper.set_model_props(model, {METADATA_KEY: description})
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _tidy(model: onnx.ModelProto) -> None:
    """Name the free dimensions, and drop what tells of the exporting machine (stack traces with paths)."""
    graph = model.graph
    dimensions = [each.dim_param for each in graph.input[0].type.tensor_type.shape.dim[:3]]
    renamed = dict(zip(dimensions, ("batch", "height", "width"), strict=True))
    for value in (*graph.input, *graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param:
                dimension.dim_param = renamed.get(dimension.dim_param, dimension.dim_param)
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer, graph):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    graph.ClearField("value_info")


def _entry(head: ExportableHead, output_names: Mapping[str, str], run: RunEntry | None) -> HeadEntry:
    calibration, spec = head.calibration, head.head.input_spec
    if calibration.weights_digest != head.weights_digest:
        raise ArtefactError(
            f"the calibration of head {head.name} belongs to other weights; calibrate it again:"
            f" ova calibrate {head.name}"
        )
    return HeadEntry(
        name=head.name,
        label=output_names.get(head.name, head.label),
        threshold=calibration.threshold,
        slope=calibration.slope,
        intercept=calibration.intercept,
        prior=calibration.prior,
        input=InputEntry(spec.height, spec.width, spec.channels, spec.mean, spec.std),
        views=head.head.views,
        backbone=head.backbone,
        weights_licence=head.weights_licence,
        weights_digest=head.weights_digest,
        calibration_digest=digest_json(calibration.to_json()),
        run=run,
    )


def _check_labels(labels: Sequence[str]) -> None:
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise RecipeError(
            f"two heads answer for {twice[0]!r}; keep one of them, or name them apart under output_names"
        )


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
