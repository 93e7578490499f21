"""The manifest of a combined model: what is in the file, in words and numbers, strict and without code.

The part that `Manifest.description` returns is stored inside the ONNX file as well. Importing this module is
light: no torch, no pydantic.
"""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ova.data.images.crop import WHOLE
from ova.ensembles.rule.rule import Rule
from ova.errors import ArtefactError, first_few
from ova.heads.calibration.calibrators.curve import Curve
from ova.storage import read_json

FORMAT = 1
MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
MAX_MANIFEST_BYTES = 4 * 1024 * 1024
_MAX_HEADS = 4096
INPUT_NAME = "images"
METADATA_KEY = "ova"
"""Key of `Manifest.description` in the metadata of the ONNX file."""
OUTPUT_NAMES = {
    "multilabel": ("logits", "probabilities", "decisions"),
    "argmax": ("logits", "probabilities", "decisions", "scores", "class_probabilities", "choice"),
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NOT_IN_MODEL = ("model_sha256", "parity")
# Keys of later versions that may be missing: files without them are read, and written, as before.
_ABSENT_IF_NONE = frozenset({"trunk"})

_Entry = TypeVar("_Entry")

_hints = cache(get_type_hints)


@dataclass(frozen=True)
class InputEntry:
    """What one head reads: size in pixels, and normalisation in fractions of white."""

    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: int = WHOLE
    """Thousandths of either side that are kept, in the middle."""


@dataclass(frozen=True)
class HeadEntry:
    """One head: logit >= threshold decides; see `curve`, `slope` and `intercept` for its probability."""

    name: str
    label: str
    threshold: float
    slope: float
    """Where there is no curve, sigmoid(slope * logit + intercept) is its probability."""
    intercept: float
    prior: float
    """Share of positives in its calibration rows."""
    input: InputEntry
    views: str
    """Mirrored and turned copies over which the logit is averaged, inside the model."""
    backbone: str
    weights_licence: str | None
    """Licence of the pretrained weights that it started from, if any."""
    weights_digest: str
    calibration_digest: str
    run: RunEntry | None = None
    """Where it comes from, if it was exported from a workspace."""
    curve: Curve | None = None
    """Logit -> log odds in place of slope and intercept."""
    trunk: str | None = None
    """Digest of the trunk that it shares with other heads; the key is absent where it shares none."""


@dataclass(frozen=True)
class RunEntry:
    """Which training a head is of, and why that one."""

    run: str
    """Its number in the workspace that exported."""
    digest: str
    """Of its recipe, rows, labels and pixels."""
    ova_version: str
    """Which trained it."""
    criterion: str | None = None
    """By which it was chosen among runs; None where it was simply the one in use."""
    figure: float | None = None
    """Of that criterion, on held-out rows."""
    rows: int | None = None
    """Held-out rows that all runs of the choice share."""
    positives: int | None = None
    others: tuple[OtherRun, ...] = ()


@dataclass(frozen=True)
class OtherRun:
    """A run that was not chosen, and its figure by the same criterion."""

    run: str
    figure: float | None


@dataclass(frozen=True)
class AbsentEntry:
    """A head of the ensemble that is not in the model, because its label cannot be learnt."""

    name: str
    label: str
    reason: str


@dataclass(frozen=True)
class ParityEntry:
    """How the written file compared with torch on real images."""

    images: int
    max_logit_difference: float
    decision_flips: int


@dataclass(frozen=True)
class Manifest:
    """Everything that a reader of a combined model needs to know."""

    format: int
    ova_version: str
    ensemble: str
    mode: Literal["multilabel", "argmax"]
    heads: tuple[HeadEntry, ...]
    """In the order of the outputs."""
    absent: tuple[AbsentEntry, ...]
    """Heads of the ensemble without an output."""
    none_prior: float | None
    tie_rule: str | None
    channels: int
    """How images are decoded: 1 for grey, 3 for RGB."""
    white_level: int | None
    """Value that becomes white in 16-bit images, if one was declared."""
    draft_side: int | None
    """JPEGs are decoded at the smallest of 1/1, 1/2, 1/4, 1/8 with both sides this long; in full if null."""
    rule: Rule
    """What becomes of the logits."""
    networks_digest: str
    """Of weights, inputs and views of all heads, and of what made the graph from them."""
    model_sha256: str
    parity: ParityEntry

    @property
    def labels(self) -> tuple[str, ...]:
        """Label texts in the order of the outputs."""
        return tuple(head.label for head in self.heads)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of `manifest.json`; `parse_manifest` reads it back unchanged."""
        return json.loads(json.dumps(self._content(), allow_nan=False))

    def description(self) -> str:
        """Return the part that is also inside the ONNX file, as JSON text with sorted keys."""
        content = {name: value for name, value in self._content().items() if name not in _NOT_IN_MODEL}
        return json.dumps(content, sort_keys=True, allow_nan=False)

    def _content(self) -> dict[str, Any]:
        content = asdict(self)
        for head in content["heads"]:
            for name in _ABSENT_IF_NONE:
                if head[name] is None:
                    del head[name]
        return content


def read_manifest(path: Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        ArtefactError: Missing, too large, damaged, of another format, or contradicting itself.
    """
    if path.is_symlink() or not path.is_file():
        raise ArtefactError(
            f"{path} is missing; export the ensemble again, or copy the file beside the model"
        )
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ArtefactError(f"{path} is larger than {MAX_MANIFEST_BYTES} bytes; it is not a manifest of ova")
    try:
        return parse_manifest(read_json(path))
    except RecursionError as error:
        raise ArtefactError(f"{path} is damaged: nested too deeply") from error
    except _ManifestProblem as problem:
        raise ArtefactError(f"{path}: {problem}; export the ensemble again") from problem


def parse_manifest(content: object) -> Manifest:
    """Check a parsed manifest.

    Raises:
        ArtefactError: A key is missing, unknown or of the wrong type, or the values contradict each other.
    """
    if isinstance(content, dict) and content.get("format") not in (FORMAT, None):
        raise _ManifestProblem(f"format {content['format']!r} is not known to this version of ova")
    manifest = _parse(Manifest, content, "manifest")
    for wrong, problem in _contradictions(manifest):
        if wrong:
            raise _ManifestProblem(problem)
    return manifest


class _ManifestProblem(ArtefactError):
    """An ArtefactError to which the reader of a file adds its path."""


def _contradictions(manifest: Manifest) -> list[tuple[bool, str]]:
    heads, priors = manifest.heads, [head.prior for head in manifest.heads]
    trunks = [head.trunk for head in heads if head.trunk is not None]
    sizes = [number for head in heads for number in (head.input.height, head.input.width)]
    argmax = manifest.mode == "argmax"
    none = manifest.none_prior
    return [
        (not 1 <= len(heads) <= _MAX_HEADS, f"it has {len(heads)} heads, not 1 to {_MAX_HEADS}"),
        (_repeats([each.name for each in (*heads, *manifest.absent)]), "two heads have the same name"),
        (_repeats(manifest.labels), "two heads have the same label"),
        (not all(0 <= prior <= 1 for prior in priors), "a prior is outside [0, 1]"),
        (not all(1 <= size <= 65535 for size in sizes), "an input size is out of range"),
        (any(head.curve and head.curve.problems() for head in heads), "a curve is damaged"),
        (any(not 1 <= head.input.crop <= WHOLE for head in heads), "an input crop is out of range"),
        (any(trunks.count(trunk) == 1 for trunk in trunks), "a head shares its trunk with no other"),
        (any(head.input.channels not in (1, 3) for head in heads), "a head has neither 1 nor 3 channels"),
        (
            manifest.channels != max((head.input.channels for head in heads), default=0),
            "its channels do not fit those of its heads",
        ),
        (
            manifest.draft_side is not None and manifest.draft_side < max(sizes, default=0),
            "its draft_side is smaller than the input of a head",
        ),
        (argmax and (none is None or not 0 < none <= 1), "argmax mode has no sound none prior"),
        (argmax != (manifest.tie_rule is not None), "only argmax mode has a tie rule"),
        (not argmax and none is not None, "multilabel mode has a none prior"),
        *manifest.rule.contradictions([head.name for head in heads], manifest.mode),
        (not _SHA256.fullmatch(manifest.model_sha256), "model_sha256 is not a SHA-256"),
    ]


def _repeats(texts: Sequence[str]) -> bool:
    return len(set(texts)) < len(texts)


def _parse(kind: Any, value: object, where: str) -> Any:
    if is_dataclass(kind):
        return _parse_object(kind, value, where)  # pyright: ignore[reportArgumentType]
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _parse(options[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_parse(options[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Literal and value in options:
        return value
    # bool is an int to Python, and 1e999 is JSON that reads as infinity
    if kind is float and type(value) in (int, float) and math.isfinite(float(value)):  # type: ignore[arg-type]
        return float(value)  # type: ignore[arg-type]
    if kind in (int, str) and type(value) is kind:
        return value
    raise _ManifestProblem(f"{where} is damaged or of the wrong type")


def _parse_object(kind: type[_Entry], value: object, where: str) -> _Entry:
    if not isinstance(value, dict):
        raise _ManifestProblem(f"{where} is not an object")
    hints = _hints(kind)
    names = [field.name for field in fields(kind)]  # pyright: ignore[reportArgumentType]
    unknown, missing = sorted(set(value) - set(names)), sorted(set(names) - set(value) - _ABSENT_IF_NONE)
    if unknown:
        raise _ManifestProblem(f"{where} has unknown keys {first_few([repr(key) for key in unknown], 3)}")
    if missing:
        raise _ManifestProblem(f"{where} lacks {first_few(missing, 3)}")
    return kind(
        **{name: _parse(hints[name], value[name], f"{where}.{name}") for name in names if name in value}
    )
