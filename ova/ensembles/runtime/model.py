"""A combined model, loaded, checked and ready to predict.

model = CombinedModel.load(Path("runs/ensembles/solar-cell"))
answers = [each.to_json() for each in model.predict(sorted(Path("images").glob("*.png")))]
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ova.data.images.colour import to_channels
from ova.data.images.decode import decode_image
from ova.ensembles.rule.numpy_rule import decide
from ova.ensembles.runtime.manifest import (
    INPUT_NAME,
    MANIFEST_FILE,
    METADATA_KEY,
    MODEL_FILE,
    OUTPUT_NAMES,
    Manifest,
    read_manifest,
)
from ova.ensembles.runtime.onnx_file import MAX_MODEL_BYTES, check_self_contained
from ova.errors import ArtefactError, DataError

ImageSource = Path | str | bytes | NDArray[np.uint8]
Outputs = dict[str, NDArray[Any]]

# Logits of one image may differ by about 1e-6 between batch sizes; an image whose decision is nearer to
# tipping than this is scored again alone, and that result stands whatever batch it came in.
_CLOSE_CALL = 1e-3
_MAX_BATCH_PIXELS = 8_000_000
_FATAL_ONLY = 4


@dataclass(frozen=True)
class Prediction:
    """What a combined model says about one image, by label, or why it says nothing."""

    image: str
    """The path as it was given; `#3` for the fourth image if that was bytes or an array."""
    logits: dict[str, float] = field(default_factory=dict)
    probabilities: dict[str, float] = field(default_factory=dict)
    """Calibrated probability of each label on its own."""
    decisions: dict[str, bool] = field(default_factory=dict)
    """Whether each label fires, in both modes."""
    label: str | None = None
    """The chosen label in argmax mode, None for none of them or no choice; None in multilabel mode."""
    error: str | None = None
    """Why there is no answer."""
    unsure: bool | None = None
    """Whether no label was chosen because none is probable enough; None if the model always chooses."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of this image."""
        if self.error is not None:
            return {"image": self.image, "error": self.error}
        answer = {
            "image": self.image,
            "logits": self.logits,
            "probabilities": self.probabilities,
            "decisions": self.decisions,
            "label": self.label,
        }
        return answer if self.unsure is None else {**answer, "unsure": self.unsure}


class CombinedModel:
    """An exported ensemble, ready to predict. Make one with `load`.

    Example:
        `workspace` has an exported ensemble "all" of the heads spot and bar:

        >>> import ova
        >>> model = ova.CombinedModel.load(workspace.ensemble_output("all"))
        >>> model.labels
        ('spot', 'bar')
        >>> (answer,) = model.predict([workspace.root / "data/images/000.png"])
        >>> answer.decisions
        {'spot': ..., 'bar': ...}
        >>> answer.error is None  # else it says why the image cannot be read
        True
    """

    def __init__(self, content: bytes, manifest: Manifest, *, threads: int | None = None) -> None:
        """Start ONNX Runtime on the bytes of a model.

        Raises:
            ArtefactError: The bytes are not the model that the manifest describes.
        """
        self.manifest = manifest
        self._session = _open_session(content, manifest, threads)

    @classmethod
    def load(cls, path: Path, *, threads: int | None = None) -> CombinedModel:
        """Load a combined model and check it against its manifest.

        Args:
            path: The folder of an exported ensemble, or the ONNX file in it; `manifest.json` lies beside it.
            threads: Threads of one prediction; as many as there are cores by default.

        Raises:
            ArtefactError: Either file is missing, damaged, changed, foreign, or names other files.
        """
        model = path / MODEL_FILE if path.is_dir() else path
        if model.is_symlink() or not model.is_file():
            raise ArtefactError(f"{model} is missing; export the ensemble first")
        manifest = read_manifest(model.parent / MANIFEST_FILE)
        if model.stat().st_size > MAX_MODEL_BYTES:
            raise ArtefactError(f"{model} is larger than 2 GiB; it is not a model of ova")
        try:
            return cls(model.read_bytes(), manifest, threads=threads)
        except ArtefactError as error:
            raise ArtefactError(f"{model} is refused: {error}; export the ensemble again") from error

    @property
    def labels(self) -> tuple[str, ...]:
        """Label texts in the order of the outputs."""
        return self.manifest.labels

    @property
    def mode(self) -> str:
        """`multilabel` or `argmax`."""
        return self.manifest.mode

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Score a batch of decoded images of one size.

        Args:
            images: (batch, height, width, `manifest.channels`) uint8.

        Returns:
            The outputs by name, see `ova.ensembles.export.network.CombinedNetwork.forward`.
        """
        names = OUTPUT_NAMES[self.manifest.mode]
        values = self._session.run(names, {INPUT_NAME: images})
        return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}

    def predict(self, images: Iterable[ImageSource], *, batch_size: int = 16) -> Iterator[Prediction]:
        """Predict images one after the other, in the order given.

        Images of the same size are scored together; the decisions do not depend on which. An image that
        cannot be read gets a prediction with an `error`, and the others are answered all the same.

        Args:
            images: JPEG or PNG files, their bytes, or uint8 pixels (height, width[, 1 or 3]).
            batch_size: Images that are decoded and scored at a time.
        """
        numbered = iter(enumerate(images))
        while chunk := list(islice(numbered, max(1, batch_size))):
            yield from self._predict_chunk(chunk)

    def _predict_chunk(self, chunk: list[tuple[int, ImageSource]]) -> list[Prediction]:
        results: dict[int, Prediction] = {}
        groups: dict[tuple[int, ...], dict[int, NDArray[np.uint8]]] = {}
        names = {number: _name(number, source) for number, source in chunk}
        for number, source in chunk:
            try:
                pixels = self._decode(source)
                groups.setdefault(pixels.shape, {})[number] = pixels
            except (DataError, MemoryError) as error:
                results[number] = Prediction(names[number], error=str(error) or "not enough memory")
        for shape, group in groups.items():
            room = max(1, _MAX_BATCH_PIXELS // (shape[0] * shape[1]))
            waiting = iter(group.items())
            while batch := dict(islice(waiting, room)):
                for number, outcome in zip(batch, self._score(list(batch.values())), strict=True):
                    results[number] = self._answer(names[number], outcome)
        return [results[number] for number, _ in chunk]

    def _decode(self, source: ImageSource) -> NDArray[np.uint8]:
        manifest = self.manifest
        if isinstance(source, np.ndarray):
            return _as_channels(source, manifest.channels)
        path = Path(source) if isinstance(source, str) else source
        return decode_image(
            path,
            channels=manifest.channels,
            white_level=manifest.white_level,
            draft_side=manifest.draft_side,
        )

    def _score(self, batch: list[NDArray[np.uint8]]) -> list[Outputs | str]:
        """Return the outputs of each image of one size, or why there are none."""
        if len(batch) == 1:
            return [self._score_alone(batch[0])]
        try:
            outputs = self.run(np.stack(batch))
        except Exception:  # ONNX Runtime raises many kinds; alone, each image gets its own answer
            return [self._score_alone(pixels) for pixels in batch]
        rows = [{name: values[row] for name, values in outputs.items()} for row in range(len(batch))]
        return [
            self._score_alone(pixels) if self._is_close(row) else row
            for pixels, row in zip(batch, rows, strict=True)
        ]

    def _score_alone(self, pixels: NDArray[np.uint8]) -> Outputs | str:
        try:
            outputs = {name: values[0] for name, values in self.run(pixels[None]).items()}
        except Exception as error:
            return f"cannot be scored: {' '.join(str(error).split())}"
        if not np.isfinite(outputs["logits"]).all():
            return "cannot be scored: a logit is not a finite number"
        return outputs

    def _is_close(self, row: Outputs) -> bool:
        """Say whether rounding might tip a decision, or whether a logit is not finite."""
        manifest = self.manifest
        names = [head.name for head in manifest.heads]
        decided = decide(manifest.heads, names, manifest.rule, manifest.none_prior, row["logits"][None])
        slack = float(decided.slack[0])
        if "scores" in row:
            second, first = np.sort(row["scores"])[-2:].tolist()
            slack = min(slack, first - second)
        return not (np.isfinite(row["logits"]).all() and slack > _CLOSE_CALL)

    def _answer(self, name: str, outcome: Outputs | str) -> Prediction:
        if isinstance(outcome, str):
            return Prediction(name, error=f"{name}: {outcome}")
        choice = int(outcome["choice"]) if "choice" in outcome else len(self.labels)
        return Prediction(
            name,
            logits=dict(zip(self.labels, outcome["logits"].tolist(), strict=True)),
            probabilities=dict(zip(self.labels, outcome["probabilities"].tolist(), strict=True)),
            decisions=dict(zip(self.labels, outcome["decisions"].tolist(), strict=True)),
            label=self.labels[choice] if choice < len(self.labels) else None,
            unsure=None if self.manifest.rule.abstain_below is None else choice > len(self.labels),
        )


def _name(number: int, source: ImageSource) -> str:
    return str(source) if isinstance(source, str | Path) else f"#{number}"


def _as_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Turn decoded pixels into (height, width, channels)."""
    shaped = pixels[:, :, None] if pixels.ndim == 2 else pixels
    if shaped.dtype != np.uint8 or shaped.ndim != 3 or shaped.shape[2] not in (1, 3) or not shaped.size:
        raise DataError(
            f"pixels are {pixels.dtype} {pixels.shape}; give uint8 (height, width) or (height, width, 1 or 3)"
        )
    return to_channels(shaped, channels)


def _open_session(content: bytes, manifest: Manifest, threads: int | None) -> onnxruntime.InferenceSession:
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
