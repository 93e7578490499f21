from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ova.data.images.colour import luma
from ova.ensembles.rule.argmax import choose
from ova.ensembles.runtime.manifest import METADATA_KEY, read_manifest
from ova.ensembles.runtime.model import CombinedModel, Prediction
from ova.errors import ArtefactError

pytestmark = pytest.mark.slow

LABELS = ("Resnet", "Inaktiv µ", "Vit")


@pytest.fixture(scope="module")
def model(exported) -> CombinedModel:
    return CombinedModel.load(exported.folder, threads=1)


def with_matching_digest(folder: Path, content: bytes) -> Path:
    """Write other model bytes and a manifest that vouches for them, as an attacker would."""
    (folder / "model.onnx").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model_sha256"] = sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_logits_and_decisions_are_those_of_torch(
    model, exported, image_files: list[Path], decoded, torch_logits
) -> None:
    predictions = list(model.predict(image_files))
    assert [each.image for each in predictions] == [str(path) for path in image_files]
    for head, label in zip(exported.heads, LABELS, strict=True):
        wanted = torch_logits(head.head, decoded)
        found = np.array([each.logits[label] for each in predictions])
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        decisions = head.calibration.decide(wanted)
        assert 0 < decisions.sum() < len(decisions)
        assert [each.decisions[label] for each in predictions] == decisions.tolist()
        probabilities = head.calibration.probability(wanted)
        np.testing.assert_allclose(
            [each.probabilities[label] for each in predictions], probabilities, atol=1e-5
        )


def test_json_of_an_image_and_of_an_unreadable_one(model, image_files: list[Path]) -> None:
    row = json.loads(json.dumps(next(iter(model.predict(image_files[:1]))).to_json()))
    assert list(row) == ["image", "logits", "probabilities", "decisions", "label"]
    assert set(row["logits"]) == set(row["probabilities"]) == set(row["decisions"]) == set(LABELS)
    assert row["label"] is None or row["label"] in LABELS
    assert Prediction("x.png", error="x.png: is empty").to_json() == {
        "image": "x.png",
        "error": "x.png: is empty",
    }


def test_argmax_label_is_the_greatest_score_or_none(model, decoded: list[np.ndarray]) -> None:
    for image, prediction in zip(decoded, model.predict(decoded), strict=True):
        outputs = model.run(image[None])
        np.testing.assert_allclose(outputs["class_probabilities"].sum(axis=1), 1.0, rtol=1e-6)
        assert outputs["choice"] == choose(outputs["scores"])
        assert prediction.label == (*LABELS, None)[int(outputs["choice"][0])]


def test_files_bytes_and_arrays_agree(model, image_files: list[Path], decoded: list[np.ndarray]) -> None:
    as_paths = list(model.predict(image_files))
    for other in (
        [str(path) for path in image_files],
        [path.read_bytes() for path in image_files],
        decoded,
    ):
        for found, wanted in zip(model.predict(other), as_paths, strict=True):
            assert found.decisions == wanted.decisions
            assert found.logits == pytest.approx(wanted.logits, abs=1e-6)
    assert [each.image for each in model.predict(decoded[:2])] == ["#0", "#1"]


def test_grey_arrays_are_repeated(model, decoded: list[np.ndarray]) -> None:
    grey = luma(decoded[0])
    flat, with_axis, colour = model.predict([grey, grey[:, :, None], np.stack([grey] * 3, axis=2)])
    assert flat.logits == pytest.approx(colour.logits, abs=1e-6)
    assert with_axis.logits == flat.logits


def test_bad_images_are_answered_alone_and_in_place(model, image_files: list[Path], tmp_path: Path) -> None:
    good = next(iter(model.predict(image_files[:1])))
    cut, text, empty = (tmp_path / name for name in ("cut.png", "text.png", "empty.png"))
    cut.write_bytes(image_files[0].read_bytes()[:-400])
    text.write_text("no image")
    empty.touch()
    bad = [cut, text, empty, tmp_path, tmp_path / "none.png", np.zeros((3, 3)), np.zeros((0, 3, 3), np.uint8)]
    for place in (0, 3, len(bad)):
        mixed = [*bad[:place], image_files[0], *bad[place:]]
        predictions = list(model.predict(mixed, batch_size=3))
        assert [each.error is None for each in predictions] == [index == place for index in range(len(mixed))]
        assert predictions[place].decisions == good.decisions
        for prediction in predictions[:place] + predictions[place + 1 :]:
            assert list(prediction.to_json()) == ["image", "error"]
            assert "\n" not in str(prediction.error)


def test_batch_size_and_order_change_no_decision(model, decoded: list[np.ndarray]) -> None:
    alone = [next(iter(model.predict([image]))) for image in decoded]
    orders = [list(range(8)), list(range(7, -1, -1)), [3, 1, 4, 0, 5, 7, 2, 6]]
    for order, batch_size in itertools.product(orders, (1, 3, 100)):
        predictions = list(model.predict([decoded[index] for index in order], batch_size=batch_size))
        assert [each.decisions for each in predictions] == [alone[index].decisions for index in order]
        assert [each.label for each in predictions] == [alone[index].label for index in order]


class NoisySession:
    """A session whose logits depend on the batch a little, and which has room for two images."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.batches: list[int] = []

    def run(self, names, feeds):
        images = feeds["images"]
        self.batches.append(len(images))
        if len(images) > 2:
            raise RuntimeError("no\nroom")
        step = images.mean(axis=(1, 2, 3), dtype=np.float64) / 64
        logits = np.tile((self.threshold + step)[:, None] - 1e-6 * (len(images) - 1), (1, 3)).astype(
            np.float32
        )
        if images.max() == 255:
            logits[images.max(axis=(1, 2, 3)) == 255] = np.nan
        decisions = logits >= np.float32(self.threshold)
        scores = np.column_stack([logits, np.zeros(len(logits), np.float32)])
        return [logits, logits, decisions, scores, scores, np.argmax(scores, axis=1)]


@pytest.fixture
def noisy(exported) -> tuple[CombinedModel, NoisySession]:
    model = CombinedModel.load(exported.folder, threads=1)
    heads = tuple(replace(head, threshold=0.5) for head in model.manifest.heads)
    rule = replace(model.manifest.rule, thresholds=(0.5, 0.5, 0.5))
    model.manifest = replace(model.manifest, heads=heads, rule=rule)
    session = NoisySession(0.5)
    model._session = session  # type: ignore[assignment]
    return model, session


def flat(level: int) -> np.ndarray:
    return np.full((4, 4, 3), level, np.uint8)


def test_close_calls_are_scored_alone(noisy) -> None:
    model, session = noisy
    # In the batch, an image of 0 falls below the threshold by a millionth; alone it reaches it.
    predictions = list(model.predict([flat(0), flat(200)]))
    assert [each.decisions["Vit"] for each in predictions] == [True, True]
    assert session.batches == [2, 1, 1]  # 200 has three equal scores, which is close as well
    assert predictions[0].logits["Vit"] == 0.5


def test_a_batch_that_fails_is_scored_one_by_one(noisy) -> None:
    model, session = noisy
    predictions = list(model.predict([flat(10), flat(20), flat(255), flat(30)]))
    assert session.batches == [4, 1, 1, 1, 1]
    assert [each.error for each in predictions] == [
        None,
        None,
        "#2: cannot be scored: a logit is not a finite number",
        None,
    ]


def test_an_image_that_no_session_takes_is_named_in_one_line(noisy, monkeypatch) -> None:
    model, session = noisy

    def refuse(names, feeds):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(session, "run", refuse)
    (prediction,) = model.predict([flat(1)])
    assert prediction.error == "#0: cannot be scored: out of memory"


def test_large_images_are_not_stacked(noisy, monkeypatch) -> None:
    model, session = noisy
    monkeypatch.setattr("ova.ensembles.runtime.model._MAX_BATCH_PIXELS", 16)
    assert all(each.error is None for each in model.predict([flat(3), flat(4), flat(5)]))
    assert session.batches == [1, 1, 1]


def test_prediction_is_lazy(model, image_files: list[Path]) -> None:
    endless = itertools.cycle(image_files)
    assert len(list(itertools.islice(model.predict(endless, batch_size=2), 5))) == 5


def test_folder_or_file(exported, model) -> None:
    assert CombinedModel.load(exported.folder / "model.onnx").manifest == model.manifest
    assert (model.labels, model.mode) == (LABELS, "argmax")


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_missing_linked_cut_and_changed_files_are_refused(copied: Path, name: str) -> None:
    file = copied / name
    content = file.read_bytes()
    moved = copied / "moved"
    moved.write_bytes(content)
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for damage in (flipped, content[:middle], b"", None, "link"):
        file.unlink()
        if damage == "link":
            file.symlink_to(moved)
        elif damage is not None:
            file.write_bytes(damage)
        else:
            file.mkdir()
        with pytest.raises(ArtefactError) as caught:
            CombinedModel.load(copied)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
        if damage is None:
            file.rmdir()
            file.touch()


def test_an_edited_manifest_is_refused(copied: Path) -> None:
    good = json.loads((copied / "manifest.json").read_text())
    for change in ("threshold", "label", "order"):
        manifest = json.loads(json.dumps(good))
        if change == "threshold":
            manifest["heads"][0]["threshold"] += 1.0
        elif change == "label":
            manifest["heads"][0]["label"] = "Fine"
        else:
            manifest["heads"].reverse()
        (copied / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ArtefactError, match="description"):
            CombinedModel.load(copied)


def test_a_file_that_names_other_files_is_refused(copied: Path) -> None:
    model = onnx.load(copied / "model.onnx", load_external_data=False)
    array = model.graph.initializer[0]
    array.ClearField("raw_data")
    array.data_location = TensorProto.EXTERNAL
    entry = array.external_data.add()
    entry.key, entry.value = "location", "manifest.json"
    with pytest.raises(ArtefactError, match="another file"):
        CombinedModel.load(with_matching_digest(copied, model.SerializeToString()))


def test_foreign_files_are_refused(copied: Path) -> None:
    manifest = read_manifest(copied / "manifest.json")
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["b", "h", "w", 3])
    other = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["b", "h", "w", 3])
    out = helper.make_tensor_value_info("out", TensorProto.UINT8, ["b", "h", "w", 3])
    bytes_of = {}
    for name, source in (("output", images), ("input", other)):
        graph = helper.make_graph(
            [helper.make_node("Identity", [source.name], ["out"])], "g", [source], [out]
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        helper.set_model_props(model, {METADATA_KEY: manifest.description()})
        bytes_of[name] = model.SerializeToString()
    graph = helper.make_graph([helper.make_node("Stranger", ["images"], ["out"])], "g", [images], [out])
    bytes_of["cannot open"] = helper.make_model(graph).SerializeToString()
    bytes_of["not an ONNX"] = b"PK\x03\x04 some other file"
    for word, content in bytes_of.items():
        with pytest.raises(ArtefactError, match=word) as caught:
            CombinedModel.load(with_matching_digest(copied, content))
        assert "\n" not in str(caught.value)


def test_prediction_imports_nothing_heavy(exported, image_files: list[Path], tmp_path: Path) -> None:
    shutil.copytree(exported.folder, tmp_path / "model")
    code = (
        "import sys; from pathlib import Path; from ova.ensembles.runtime.model import CombinedModel\n"
        "rows = list(CombinedModel.load(Path(sys.argv[1])).predict([sys.argv[2]]))\n"
        "heavy = {'torch', 'torchvision', 'timm', 'pandas', 'sklearn', 'scipy', 'onnx', 'pydantic'}\n"
        "print(len(rows), rows[0].error, sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model"), str(image_files[0])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "1 None []"


def test_grey_models_take_colour(noisy) -> None:
    model, _ = noisy
    heads = tuple(replace(head, input=replace(head.input, channels=1)) for head in model.manifest.heads)
    model.manifest = replace(model.manifest, channels=1, heads=heads)
    colour = np.random.default_rng(0).integers(0, 200, (4, 4, 3), dtype=np.uint8)
    from_colour, from_grey = model.predict([colour, luma(colour)])
    assert from_colour.logits == from_grey.logits


def test_prediction_loads_no_other_library_than_the_readme_says() -> None:
    program = (
        "import sys\nfrom importlib.metadata import packages_distributions\n"
        "before = set(sys.modules)\nimport ova.ensembles.runtime.model\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "made_by = packages_distributions()\n"
        "print(*sorted({each for name in loaded for each in made_by.get(name, ())} - {'ova'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"numpy", "onnxruntime", "pillow"}
