from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from ova.digests import digest_file
from ova.ensembles.export import onnx_export as export
from ova.ensembles.export import onnx_graph as trace
from ova.ensembles.export.network import CombinedNetwork
from ova.ensembles.export.onnx_export import EnsembleSpec, export_combined
from ova.ensembles.rule.argmax import choose, couple
from ova.ensembles.runtime.manifest import METADATA_KEY, read_manifest
from ova.ensembles.runtime.model import CombinedModel
from ova.errors import ArtefactError, EnvironmentFault, RecipeError

pytestmark = pytest.mark.slow


class Zero(nn.Module):
    """A logit of 0 for every image."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.mean(dim=(1, 2, 3)).unsqueeze(1) * 0.0


def edited(content: bytes, name: str, change: float) -> bytes:
    """Add `change` to one stored array of a model, as a faulty export might."""
    model = onnx.load_from_string(content)
    (array,) = [each for each in model.graph.initializer if each.name.endswith(name)]
    array.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(array) + np.float32(change), array.name))
    return model.SerializeToString()


def again(exported, folder: Path, images: list[Path], **changes: Any) -> export.ExportReport:
    arguments: dict[str, Any] = {
        "name": "solar-cell",
        "mode": "argmax",
        "none_prior": 0.5,
        "output_names": {"convnext": "Inaktiv µ"},
    }
    return export_combined(exported.heads, EnsembleSpec(**arguments | changes), folder=folder, images=images)


def test_one_file_and_its_manifest_are_written_in_silence(exported) -> None:
    assert sorted(path.name for path in exported.folder.iterdir()) == ["manifest.json", "model.onnx"]
    assert exported.printed == ""
    report = exported.report
    assert report.model == exported.folder / "model.onnx"
    assert report.size == report.model.stat().st_size
    assert report.parity.images == 8
    assert report.parity.max_logit_difference <= 1e-4


def test_the_manifest_says_what_is_in_the_file(exported) -> None:
    manifest = read_manifest(exported.folder / "manifest.json")
    assert manifest == exported.report.manifest
    assert manifest.labels == ("Resnet", "Inaktiv µ", "Vit")
    assert manifest.model_sha256 == digest_file(exported.folder / "model.onnx")
    assert [head.threshold for head in manifest.heads] == [
        head.calibration.threshold for head in exported.heads
    ]
    assert (manifest.channels, manifest.none_prior) == (3, 0.5)
    assert manifest.heads[1].input.mean == (0.5, 0.4, 0.3)


def test_the_file_describes_itself(exported) -> None:
    model = onnx.load(exported.folder / "model.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    inside = json.loads(metadata[METADATA_KEY])
    assert inside["mode"] == "argmax"
    assert [head["label"] for head in inside["heads"]] == ["Resnet", "Inaktiv µ", "Vit"]
    assert inside["heads"][0]["weights_digest"] == "d" * 64
    shape = [each.dim_param or each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", "height", "width", 3]
    firsts = {each.type.tensor_type.shape.dim[0].dim_param for each in model.graph.output}
    assert firsts == {"batch"}


def test_the_file_tells_nothing_of_the_machine(exported) -> None:
    content = (exported.folder / "model.onnx").read_bytes()
    assert str(Path(export.__file__).parents[2]).encode() not in content
    assert b".py" not in content


@pytest.mark.parametrize(("array", "change"), [("thresholds", 100.0), ("fc.bias", 3e-4)])
def test_a_file_that_differs_from_torch_is_never_put_in_place(
    exported,
    copied: Path,
    image_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    array: str,
    change: float,
) -> None:
    before = {path.name: path.read_bytes() for path in copied.iterdir()}
    faulty = edited(before["model.onnx"], array, change)
    monkeypatch.setattr(export, "onnx_bytes", lambda *arguments: faulty)
    for folder in (copied, copied.parent / "new"):
        with pytest.raises(ArtefactError, match="differs from torch"):
            again(exported, folder, image_files)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    assert not (copied.parent / "new").exists()


def test_a_crash_between_the_files_is_noticed(
    exported, copied: Path, image_files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = edited((copied / "model.onnx").read_bytes(), "fc.bias", 1e-6)
    monkeypatch.setattr(export, "onnx_bytes", lambda *arguments: changed)

    def full_disk(path: Path, value: object) -> None:
        raise EnvironmentFault(f"cannot write {path}")

    with monkeypatch.context() as patch:
        patch.setattr(export, "write_json", full_disk)
        with pytest.raises(EnvironmentFault):
            again(exported, copied, image_files)
    with pytest.raises(ArtefactError, match="digest"):
        CombinedModel.load(copied)
    again(exported, copied, image_files)
    assert CombinedModel.load(copied).labels == ("Resnet", "Inaktiv µ", "Vit")


def test_calibrations_of_other_weights_and_equal_labels_are_refused(
    exported, image_files: list[Path], tmp_path: Path
) -> None:
    stale = replace(exported.heads[0], weights_digest="e" * 64)
    with pytest.raises(ArtefactError, match="ova calibrate resnet"):
        export_combined([stale], EnsembleSpec(name="x"), folder=tmp_path, images=image_files)
    with pytest.raises(RecipeError, match="two heads answer for 'Vit'"):
        again(exported, tmp_path, image_files, output_names={"resnet": "Vit"})


def test_too_many_weights_for_one_file_are_refused(small_head, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_MODEL_BYTES", trace._ROOM_FOR_GRAPH)
    with pytest.raises(ArtefactError, match="2 GiB"):
        trace.trace_networks(CombinedNetwork([small_head("a")]))


def test_ties_in_the_file_are_decided_as_written_down(small_head, tmp_path: Path) -> None:
    # Two equal heads, and one whose logit 0 makes log(1 - 1/2), which is exactly none's log(1/2).
    heads = [
        small_head("first", prior=0.5, intercept=0.0),
        small_head("second", prior=0.5, intercept=0.0),
        small_head("zero", Zero(), prior=0.5, intercept=0.0),
    ]
    images = [np.full((9, 9, 1), level, np.uint8) for level in (20, 220)]
    spec = EnsembleSpec(name="ties", mode="argmax", none_prior=0.5)
    export_combined(heads, spec, folder=tmp_path, images=images)
    model = CombinedModel.load(tmp_path)
    outputs = model.run(np.stack(images))
    assert outputs["scores"][0, 2] == outputs["scores"][0, 3] > outputs["scores"][0, 0]
    assert outputs["scores"][1, 0] == outputs["scores"][1, 1] > outputs["scores"][1, 2]
    assert outputs["choice"].tolist() == [2, 0]
    coupled = couple(outputs["logits"].astype(float) * 0.75, [0.5] * 3, 0.5)
    assert choose(coupled).tolist() == [2, 0]
    assert [each.label for each in model.predict(images)] == ["Zero", "First"]


def test_multilabel_with_averaged_views(small_head, torch_logits, decoded, tmp_path: Path) -> None:
    torch.manual_seed(1)
    lopsided = nn.Sequential(nn.Conv2d(1, 2, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(50, 1))
    head = small_head("turned", lopsided, views="dihedral")
    straight = torch_logits(small_head("straight", lopsided).head, decoded)
    averaged = torch_logits(head.head, decoded)
    assert np.abs(averaged - straight).max() > 1e-2  # to this network a turned image is another image

    export_combined([head], EnsembleSpec(name="turned", none_prior=0.5), folder=tmp_path, images=decoded)
    model = CombinedModel.load(tmp_path)
    assert (model.manifest.none_prior, model.manifest.tie_rule, model.manifest.channels) == (None, None, 1)
    assert model.manifest.heads[0].views == "dihedral"
    predictions = list(model.predict(decoded))
    np.testing.assert_allclose([each.logits["Turned"] for each in predictions], averaged, atol=1e-6)
    assert {each.label for each in predictions} == {None}
