"""Heads -> one ONNX file and its manifest, kept only if it says what the heads say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import onnx

from ova import __version__
from ova.data.images.facts import Decoding
from ova.digests import digest_json
from ova.ensembles.export.network import CalibratedHead, CombinedNetwork
from ova.ensembles.export.onnx_graph import join, networks_digest, networks_in, trace_networks, trace_rule
from ova.ensembles.export.parity import RealImage, check_parity
from ova.ensembles.recipe import Mode
from ova.ensembles.rule.argmax import TIE_RULE
from ova.ensembles.rule.rule import Rule, plain_rule
from ova.ensembles.runtime.manifest import (
    FORMAT,
    MANIFEST_FILE,
    METADATA_KEY,
    MODEL_FILE,
    AbsentEntry,
    HeadEntry,
    InputEntry,
    Manifest,
    ParityEntry,
    RunEntry,
)
from ova.ensembles.runtime.model import CombinedModel
from ova.errors import ArtefactError, RecipeError
from ova.storage import write_bytes, write_json


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


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec:
    """How heads become one model: what is said of it besides the heads themselves."""

    name: str
    """Of the ensemble."""
    mode: Mode = "multilabel"
    none_prior: float | None = None
    """Share of images with none of the labels, for `argmax`; see `none_prior_of`."""
    rule: Rule | None = None
    """What to do with the logits; None: each head against its own threshold, and odds coupling."""
    output_names: Mapping[str, str] = field(default_factory=dict)
    """Head -> text of its output, where that is not its label."""
    decoding: Decoding = field(default_factory=Decoding)
    """How files became pixels in training."""
    absent: Sequence[AbsentEntry] = ()
    """Heads of the ensemble that have nothing to learn from, for the manifest."""
    runs: Mapping[str, RunEntry] = field(default_factory=dict)
    """Head -> which training it is of, for the manifest."""


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
    heads: Sequence[ExportableHead], spec: EnsembleSpec, *, folder: Path, images: Sequence[RealImage]
) -> ExportReport:
    """Write `model.onnx` and `manifest.json` into `folder`.

    The model is made and compared with torch in memory. The two files are put in place only then, model
    first; a crash between them leaves a model that the runtime refuses because its digest is not the
    manifest's. The heads are put into eval mode. If the model in `folder` is of the same networks, they are
    taken over from it, so that a change of calibration or rule takes a moment; the comparison is made anyway.

    Args:
        heads: On the CPU, in the order of the outputs.
        spec: How they become one model.
        folder: Where the files go; other files in it are left alone.
        images: Real images for the comparison, of any sizes.

    Raises:
        ArtefactError: A calibration belongs to other weights, the model is too large for one file, or it
            differs from torch. What lay in `folder` is unchanged.
        DataError: An image cannot be read, or a head has no prior for `argmax`.
        EnvironmentFault: The files cannot be written.
        RecipeError: Two heads have the same output name, or there is no image.
    """
    mode, none_prior = spec.mode, spec.none_prior if spec.mode == "argmax" else None
    rule = spec.rule or plain_rule([head.calibration.threshold for head in heads], mode)
    network = CombinedNetwork(heads, mode=mode, none_prior=none_prior, rule=rule)
    draft = _draft(heads, spec, rule, network)
    _check_labels(draft.labels)
    content = onnx_bytes(network, draft, folder)
    manifest = replace(draft, model_sha256=hashlib.sha256(content).hexdigest())
    manifest = replace(manifest, parity=check_parity(CombinedModel(content, manifest), heads, images))
    write_bytes(folder / MODEL_FILE, content)
    write_json(folder / MANIFEST_FILE, manifest.to_json())
    return ExportReport(folder / MODEL_FILE, manifest, len(content))


def onnx_bytes(network: CombinedNetwork, manifest: Manifest, folder: Path) -> bytes:
    """Turn a combined network into the bytes of one ONNX file that holds the manifest's description.

    Args:
        network: The heads and the rule.
        manifest: Of them.
        folder: Where a model may lie whose networks are the same, and are then taken over.

    Raises:
        ArtefactError: The weights do not fit into one file.
    """
    model = networks_in(folder, manifest.networks_digest) or trace_networks(network)
    join(model, trace_rule(network.decision, len(manifest.heads), manifest.mode))
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest.description()})
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def _draft(
    heads: Sequence[ExportableHead], spec: EnsembleSpec, rule: Rule, network: CombinedNetwork
) -> Manifest:
    """Describe a model that is still to be made and compared."""
    argmax, runs = spec.mode == "argmax", spec.runs
    entries = tuple(
        replace(_entry(head, spec.output_names, runs.get(head.name)), trunk=trunk)
        for head, trunk in zip(heads, network.trunks, strict=True)
    )
    return Manifest(
        format=FORMAT,
        ova_version=__version__,
        ensemble=spec.name,
        mode=spec.mode,
        heads=entries,
        absent=tuple(spec.absent),
        none_prior=spec.none_prior if argmax else None,
        tie_rule=TIE_RULE if argmax else None,
        channels=network.channels,
        white_level=spec.decoding.white_level,
        draft_side=spec.decoding.draft_side,
        rule=rule,
        networks_digest=networks_digest(entries),
        model_sha256="",
        parity=ParityEntry(0, 0.0, 0),
    )


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
        curve=calibration.curve,
        prior=calibration.prior,
        input=InputEntry(spec.height, spec.width, spec.channels, spec.mean, spec.std, spec.crop),
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
