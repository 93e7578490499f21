"""A head on a frozen trunk is the regression that scikit-learn fits on the trunk's own features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engines import compute_by_torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, confusion_matrix
from sklearn.model_selection import StratifiedGroupKFold
from small import draw_images, head_recipe, write_workspace
from torch import nn

from ova.analysis.analyse import analyse_any
from ova.data.dataset import open_dataset
from ova.digests import digest_json
from ova.errors import RecipeError
from ova.heads.features import features as features_module
from ova.heads.features.logistic import STRENGTHS, fit_logistic
from ova.heads.load import load_head
from ova.heads.network.backbones import build_backbone
from ova.heads.recipe import HeadRecipe, read_head_recipe
from ova.heads.runs import HeadRecord, RunFolder, current_run
from ova.heads.scores import Scores, read_scores
from ova.heads.training.plan import store_spec
from ova.heads.training.probe import refuse_what_a_probe_cannot
from ova.heads.training.train import HeadOutcome, TrainOptions, train_head
from ova.heads.tune.space import SpaceSettings
from ova.heads.tune.study import TuneSettings, search
from ova.progress import Interrupted, Watch
from ova.storage import read_csv, read_tensors, write_tensors
from ova.workspace import Workspace

WEIGHTS = "trunk.safetensors"
FOLDS = {"split": {"test": 0.25, "folds": 4}}


def frozen(label: str = "spot", **sections: Any) -> dict[str, Any]:
    backbone = {"freeze": True, "weights": WEIGHTS} | sections.pop("backbone", {})
    return head_recipe(label, backbone=backbone, **sections)


def trunk_network(seed: int = 7) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_backbone("test_resnet", channels=1, size=(24, 24))


def make(root: Path, heads: dict[str, dict[str, Any]], **more: Any) -> Workspace:
    workspace = write_workspace(root, heads, **more)
    state = {name: tensor.numpy() for name, tensor in trunk_network().state_dict().items()}
    write_tensors(workspace.root / WEIGHTS, state)
    return workspace


def train(workspace: Workspace, name: str = "spot", **options: Any) -> HeadOutcome:
    dataset = open_dataset(workspace, [store_spec(read_head_recipe(workspace, name))])
    return train_head(workspace, dataset, name, TrainOptions(device="cpu", **options))


@pytest.fixture(scope="module", autouse=True)
def batches() -> Iterator[list[int]]:
    """Compute features by torch, which needs no time to prepare itself, and note every batch."""
    with pytest.MonkeyPatch.context() as patch:
        yield compute_by_torch(patch)


class Trained:
    """A finished run, and the same numbers by other means."""

    def __init__(self, workspace: Workspace, name: str = "spot") -> None:
        self.workspace = workspace
        self.run: RunFolder = current_run(workspace, name)
        self.record: HeadRecord = self.run.read_record()
        arrays, _ = read_tensors(self.run.weights)
        self.state = {key.removeprefix("members.0."): array for key, array in arrays.items()}
        self.part_of = {row["image"]: row["part"] for row in read_csv(self.run.rows)}
        lines = (workspace.root / "data/images/data.csv").read_text().splitlines()
        column = lines[0].split(";").index(self.record.label)
        cells = [line.split(";") for line in lines[1:]]
        self.labels = {each[0]: int(each[column]) for each in cells if each[column]}

    @property
    def classifier(self) -> tuple[np.ndarray, float]:
        return self.state["fc.weight"][0].astype(np.float64), float(self.state["fc.bias"][0])

    def images(self, *parts: str) -> list[str]:
        return sorted(image for image, part in self.part_of.items() if part in parts)

    def truth(self, images: Sequence[str]) -> np.ndarray:
        return np.array([self.labels[image] for image in images], np.int8)

    def features(
        self, images: Sequence[str], turns: Sequence[tuple[int, bool]] = ((0, False),)
    ) -> np.ndarray:
        """(n, v, D) of images that are turned so many quarters, and mirrored or not, one torch forward each."""
        network = trunk_network().eval()
        network.fc = nn.Identity()
        pixels = np.stack(
            [
                np.asarray(Image.open(self.workspace.root / "data/images" / image), np.float64)
                for image in images
            ]
        )
        (mean,), (deviation,) = self.record.input["mean"], self.record.input["std"]
        found = []
        for quarters, mirrored in turns:
            turned = np.rot90(pixels, quarters, axes=(1, 2))
            turned = turned[:, :, ::-1] if mirrored else turned
            batch = torch.from_numpy(((turned / 255 - mean) / deviation)[:, None].astype(np.float32))
            with torch.inference_mode():
                found.append(network(batch).numpy())
        return np.stack(found, axis=1)


def by_scikit_learn(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, strength: float
) -> tuple[np.ndarray, float]:
    """(n, v, D): every view a row of its own; weights and bias on features in their own units."""
    views = features.shape[1]
    rows = features.reshape(-1, features.shape[2]).astype(np.float64)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    deviation = np.where(deviation > 0, deviation, 1)
    share = np.repeat(weights / views, views)
    model = LogisticRegression(C=strength / share.sum(), solver="newton-cholesky", tol=1e-10, max_iter=1000)
    model.fit((rows - mean) / deviation, np.repeat(labels, views), sample_weight=share)
    own = model.coef_[0] / deviation
    return own, float(np.asarray(model.intercept_)[0] - own @ mean)


def dealt(labels: np.ndarray) -> np.ndarray:
    """The inner folds of rows of which no two belong together."""
    folds = np.empty(len(labels), np.intp)
    cut = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, labels, np.arange(len(labels)))
    for number, (_, held_out) in enumerate(cut):
        folds[held_out] = number
    return folds


def assert_same_classifier(
    found: tuple[np.ndarray, float], wanted: tuple[np.ndarray, float], features: np.ndarray
) -> None:
    """Compare by logits: features that hardly move have weights that hardly matter."""
    rows = features.reshape(-1, features.shape[-1]).astype(np.float64)
    expected = rows @ wanted[0] + wanted[1]
    np.testing.assert_allclose(rows @ found[0] + found[1], expected, atol=2e-3 * max(1.0, np.ptp(expected)))


def logits_of(scores: Scores) -> dict[str, float]:
    return dict(zip(scores.images, scores.logits.tolist(), strict=True))


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One head without folds."""
    workspace = make(tmp_path_factory.mktemp("probe") / "workspace", {"spot": frozen(), "bar": frozen("bar")})
    assert train(workspace).status == "trained"
    return Trained(workspace)


def test_a_frozen_head_is_one_network_with_the_trunk_that_was_given(probe: Trained) -> None:
    given, _ = read_tensors(probe.workspace.root / WEIGHTS)
    own = {name for name in probe.state if name.startswith("fc.")}
    trunk = {name: array for name, array in probe.state.items() if not name.startswith(("fc.", "normalise."))}
    assert own == {"fc.weight", "fc.bias"}
    assert trunk.keys() == {name for name in given if not name.startswith("fc.")}
    assert all(array.tobytes() == given[name].tobytes() for name, array in trunk.items())
    record = probe.record
    assert (record.members, record.best_epochs, len(record.strengths)) == (1, (1,), 1)
    assert set(record.strengths) <= set(STRENGTHS)
    assert record.initial_weights == f"file:{WEIGHTS}"
    assert probe.run.calibration.is_file()
    loaded = load_head(probe.workspace, "spot")
    assert loaded.calibration.weights_digest == record.weights_digest
    assert train(probe.workspace).status == "kept"
    left = {path.name for path in probe.run.path.iterdir() if not path.name.startswith(".")}
    assert left == {
        "run.json", "rows.csv", "head.safetensors", "history.csv", "scores.csv", "test.csv", "calibration.json", "head.json",
    }  # fmt: skip


def test_the_classifier_is_that_of_scikit_learn_on_the_same_features(probe: Trained) -> None:
    images = probe.images("train")
    features, labels = probe.features(images), probe.truth(images)
    weights = np.where(labels == 1, probe.record.pos_weight[0], 1.0)
    fit = fit_logistic(features[:, 0], labels, weights, dealt(labels))
    assert probe.record.strengths == (fit.strength,)
    wanted = by_scikit_learn(features, labels, weights, fit.strength)
    assert_same_classifier(probe.classifier, wanted, features)
    assert_same_classifier(probe.classifier, (fit.linear.weights, fit.linear.bias), features)


def test_scores_are_what_the_head_says_of_the_same_pixels(probe: Trained) -> None:
    head = load_head(probe.workspace, "spot").head
    for file, part in ((probe.run.scores, "validation"), (probe.run.test_scores, "test")):
        scores = read_scores(file)
        assert sorted(scores.images) == probe.images(part)
        np.testing.assert_array_equal(scores.labels, probe.truth(scores.images))
        pixels = [
            np.asarray(Image.open(probe.workspace.root / "data/images" / image)) for image in scores.images
        ]
        with torch.inference_mode():
            logits = head(torch.from_numpy(np.stack(pixels)[:, None])).numpy()
        np.testing.assert_allclose(scores.logits, logits, atol=1e-4)


def test_the_history_says_in_one_row_how_the_fit_did(probe: Trained) -> None:
    (row,) = read_csv(probe.run.history)
    scores = read_scores(probe.run.scores)
    counted = confusion_matrix(scores.labels, scores.logits >= 0, labels=[0, 1]).ravel().tolist()
    assert [int(row[f"validation_{name}"]) for name in ("tn", "fp", "fn", "tp")] == counted
    precision = average_precision_score(scores.labels, scores.logits)
    assert float(row["validation_average_precision"]) == pytest.approx(precision)
    assert probe.record.validation_average_precision == (pytest.approx(precision),)
    assert sum(int(row[f"train_{name}"]) for name in ("tn", "fp", "fn", "tp")) == len(probe.images("train"))
    losses = np.logaddexp(0, np.where(scores.labels == 1, -scores.logits, scores.logits))
    weights = np.where(scores.labels == 1, probe.record.pos_weight[0], 1.0)
    assert float(row["validation_loss"]) in (
        pytest.approx((losses * weights).sum() / weights.sum(), rel=1e-4),
        pytest.approx((losses * weights).mean(), rel=1e-4),
    )


FLIPS = ((0, False), (0, True), (2, False), (2, True))
TURNS = ((0, False), (1, False), (2, False), (3, False))
ALL = (*TURNS, *((quarters, True) for quarters, _ in TURNS))
SHOWN = {
    "mirrors": ({"flips": True}, "none", FLIPS, TURNS[:1]),
    "quarter turns": ({"quarter_turns": True}, "flips", TURNS, FLIPS),
    "both": ({"flips": True, "quarter_turns": True}, "dihedral", ALL, ALL),
    "scored alone": ({}, "dihedral", TURNS[:1], ALL),
}


@pytest.mark.parametrize("case", SHOWN)
def test_mirrors_and_turns_are_rows_of_their_own_and_scores_their_mean(tmp_path: Path, case: str) -> None:
    augment, views, trained, scored = SHOWN[case]
    workspace = make(tmp_path / "w", {"spot": frozen(augment=augment, scoring={"views": views})})
    train(workspace)
    found = Trained(workspace)
    images = found.images("train")
    labels = found.truth(images)
    # Without augmentation the mean over the views is trained on, as it is the mean that is scored.
    seen = found.features(images, trained if augment else scored)
    seen = seen if augment else seen.mean(axis=1, keepdims=True)
    weights = np.where(labels == 1, found.record.pos_weight[0], 1.0)
    wanted = by_scikit_learn(seen, labels, weights, found.record.strengths[0])
    assert_same_classifier(found.classifier, wanted, seen)
    scores = read_scores(found.run.scores)
    coefficients, bias = found.classifier
    logits = found.features(scores.images, scored).mean(axis=1) @ coefficients + bias
    np.testing.assert_allclose(scores.logits, logits, atol=1e-3)
    head = load_head(workspace, "spot").head
    pixels = [np.asarray(Image.open(workspace.root / "data/images" / image)) for image in scores.images]
    with torch.inference_mode():
        np.testing.assert_allclose(
            scores.logits, head(torch.from_numpy(np.stack(pixels)[:, None])).numpy(), atol=1e-4
        )


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One head with four folds."""
    root = tmp_path_factory.mktemp("folded") / "workspace"
    workspace = make(root, {"spot": frozen()}, dataset=FOLDS, count=96)
    train(workspace)
    return Trained(workspace)


def test_with_folds_the_head_is_the_mean_of_their_classifiers(folded: Trained) -> None:
    record = folded.record
    parts = sorted(part for part in record.rows if part.startswith("fold-"))
    assert (record.members, len(parts)) == (1, 4)
    assert len(record.strengths) == len(record.pos_weight) == len(record.best_epochs) == 4
    held_out, classifiers = logits_of(read_scores(folded.run.scores)), []
    assert sorted(held_out) == folded.images(*parts)
    for member, part in enumerate(parts):
        images = folded.images(*(other for other in parts if other != part))
        features, labels = folded.features(images), folded.truth(images)
        weights = np.where(labels == 1, record.pos_weight[member], 1.0)
        # The strength is chosen by the folds of the split that are left.
        inner = np.array([parts.index(folded.part_of[image]) for image in images])
        assert record.strengths[member] == fit_logistic(features[:, 0], labels, weights, inner).strength
        classifiers.append(by_scikit_learn(features, labels, weights, record.strengths[member]))
        coefficients, bias = classifiers[-1]
        own = folded.images(part)
        wanted = folded.features(own)[:, 0] @ coefficients + bias
        np.testing.assert_allclose(
            [held_out[image] for image in own], wanted, atol=2e-3 * max(1, np.ptp(wanted))
        )
    mean = (
        np.mean([each[0] for each in classifiers], axis=0),
        float(np.mean([each[1] for each in classifiers])),
    )
    assert_same_classifier(folded.classifier, mean, folded.features(folded.images(*parts)))
    one = classifiers[0][0]
    assert np.abs(one - mean[0]).max() > 0.05 * np.abs(one).max()  # else folds could be mixed up unseen


def test_test_rows_are_scored_by_the_head_that_is_used(folded: Trained) -> None:
    scores = read_scores(folded.run.test_scores)
    assert sorted(scores.images) == folded.images("test")
    coefficients, bias = folded.classifier
    wanted = folded.features(scores.images)[:, 0] @ coefficients + bias
    np.testing.assert_allclose(scores.logits, wanted, atol=1e-3)
    assert {row["member"] for row in read_csv(folded.run.history)} == {"0", "1", "2", "3"}


def test_unknown_rows_are_left_out(tmp_path: Path) -> None:
    _, drawn = draw_images(72)
    spot = [str(value) if row % 3 != 1 else "" for row, value in enumerate(drawn[:, 0].tolist())]
    workspace = make(tmp_path / "w", {"spot": frozen()}, columns={"spot": spot, "bar": drawn[:, 1].tolist()})
    train(workspace)
    found = Trained(workspace)
    assert found.record.unknown == 24
    assert set(found.part_of) == set(found.labels)
    images = found.images("train")
    labels = found.truth(images)
    features = found.features(images)
    weights = np.where(labels == 1, found.record.pos_weight[0], 1.0)
    wanted = by_scikit_learn(features, labels, weights, found.record.strengths[0])
    assert_same_classifier(found.classifier, wanted, features)
    assert not set(read_scores(found.run.scores).images) - set(found.labels)


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    """One head per way to balance, in one workspace: bar has one positive in four."""
    settings: dict[str, dict[str, Any]] = {
        "auto": {},
        "none": {"pos_weight": "none"},
        "five": {"pos_weight": 5.0, "allow_over_correction": True},
        "capped": {"max_negatives": 20, "pos_weight": "none"},
        "sampled": {"sampler": "balanced"},
    }
    heads = {name: frozen("bar", balance=balance) for name, balance in settings.items()}
    workspace = make(tmp_path_factory.mktemp("balanced") / "workspace", heads)
    for name in heads:
        train(workspace, name)
    return {name: Trained(workspace, name) for name in heads}


@pytest.mark.parametrize("name", ["auto", "none", "five", "capped", "sampled"])
def test_what_is_done_about_few_positives_is_a_weight_of_rows(
    balanced: dict[str, Trained], name: str
) -> None:
    found = balanced[name]
    images = found.images("train")
    features, labels = found.features(images), found.truth(images)
    positives, negatives = int(labels.sum()), int((labels == 0).sum())
    of_each = {  # (negative, positive)
        "auto": (1.0, negatives / positives),
        "none": (1.0, 1.0),
        "five": (1.0, 5.0),
        "capped": (20 / negatives, 1.0),
        "sampled": (1.0, negatives / positives),
    }[name]
    wanted = by_scikit_learn(features, labels, np.array(of_each)[labels], found.record.strengths[0])
    assert_same_classifier(found.classifier, wanted, features)
    assert found.record.log_odds_shift == pytest.approx((math.log(of_each[1] / of_each[0]),))
    unweighted = by_scikit_learn(features, labels, np.ones(len(labels)), found.record.strengths[0])
    apart = np.abs(features[:, 0] @ (wanted[0] - unweighted[0]) + wanted[1] - unweighted[1]).max()
    assert (apart > 0.1) == (name != "none")


def test_settings_that_have_no_use_are_refused_all_at_once(tmp_path: Path) -> None:
    recipe = frozen(
        backbone={"dropout": 0.1, "drop_path": 0.1},
        augment={"flips": True, "brightness": 0.1},
        balance={"loss": "focal", "prototypes": 30, "augment_only": "minority"},
        training={"mixup": 0.2, "label_smoothing": 0.1},
    )
    with pytest.raises(RecipeError) as caught:
        refuse_what_a_probe_cannot(HeadRecipe.model_validate(recipe))
    text = str(caught.value)
    assert "\n" not in text
    for name in (
        "augment (other than flips and quarter_turns)", "balance.loss", "balance.prototypes", "balance.augment_only",
        "backbone.dropout", "backbone.drop_path", "training.mixup", "training.label_smoothing",
    ):  # fmt: skip
        assert name in text
    usable = frozen(augment={"flips": True, "quarter_turns": True}, balance={"sampler": "balanced"})
    refuse_what_a_probe_cannot(HeadRecipe.model_validate(usable))
    workspace = make(tmp_path / "w", {"spot": frozen(training={"mixup": 0.2})})
    with pytest.raises(RecipeError, match=r"leave out training\.mixup, or"):
        train(workspace)
    assert not workspace.features.exists()
    assert not workspace.head_runs("spot").exists()


def test_a_second_head_on_the_same_trunk_computes_no_features(probe: Trained, batches: list[int]) -> None:
    before = {path: path.read_bytes() for path in probe.run.path.iterdir()}
    folders = sorted(path.name for path in probe.workspace.features.iterdir())
    batches.clear()
    train(probe.workspace, "bar")
    assert batches == []
    assert sorted(path.name for path in probe.workspace.features.iterdir()) == folders
    assert {path: path.read_bytes() for path in probe.run.path.iterdir()} == before
    other = Trained(probe.workspace, "bar")
    assert other.record.trunk_digest == probe.record.trunk_digest
    assert other.record.weights_digest != probe.record.weights_digest
    assert train(probe.workspace, again=True).run == "0002"
    assert batches == []
    again = current_run(probe.workspace, "spot")
    assert again.weights.read_bytes() == probe.run.weights.read_bytes()
    assert again.scores.read_bytes() == probe.run.scores.read_bytes()


def test_an_interrupted_head_ends_with_the_same_bits(
    folded: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batches: list[int]
) -> None:
    monkeypatch.setattr(features_module, "CHUNK", 40)  # 96 images: three chunks
    workspace = make(tmp_path / "w", {"spot": frozen()}, dataset=FOLDS, count=96)
    straight = make(tmp_path / "straight", {"spot": frozen()}, dataset=FOLDS, count=96)
    train(straight)
    asked = 0

    def stop_at(number: int) -> Watch:
        nonlocal asked
        asked = 0

        def should_stop() -> bool:
            nonlocal asked
            asked += 1
            return asked == number

        return Watch(should_stop=should_stop)

    for number, told in ((1, "after 40 images"), (2, "after 80 images"), (4, "features are kept")):
        with pytest.raises(Interrupted, match=told):
            train(workspace, watch=stop_at(number))
        assert not (workspace.head_runs("spot") / "0001" / "head.json").exists()
    batches.clear()
    train(workspace)
    assert batches == []
    wanted, found = current_run(straight, "spot"), current_run(workspace, "spot")
    assert found.path.name == "0001"
    assert found.read_record().weights_digest == wanted.read_record().weights_digest
    # The size of a chunk moves no row into another batch's company that would change more than rounding.
    for file in ("weights", "scores", "test_scores", "calibration"):
        assert getattr(found, file).read_bytes() == getattr(wanted, file).read_bytes()
    np.testing.assert_allclose(
        read_scores(found.scores).logits, read_scores(folded.run.scores).logits, atol=1e-3
    )


def test_mean_and_maximum_double_the_features(probe: Trained, tmp_path: Path) -> None:
    workspace = make(tmp_path / "w", {"spot": frozen(backbone={"pooling": "mean+max"})})
    train(workspace)
    found = Trained(workspace)
    assert found.state["fc.weight"].shape[1] == 2 * probe.state["fc.weight"].shape[1]
    assert found.record.trunk_digest != probe.record.trunk_digest
    trunk = {name for name in found.state if not name.startswith("fc.")}
    assert all(found.state[name].tobytes() == probe.state[name].tobytes() for name in trunk)
    scores = read_scores(found.run.test_scores)
    pixels = [np.asarray(Image.open(workspace.root / "data/images" / image)) for image in scores.images]
    with torch.inference_mode():
        logits = load_head(workspace, "spot").head(torch.from_numpy(np.stack(pixels)[:, None])).numpy()
    np.testing.assert_allclose(scores.logits, logits, atol=1e-4)


def test_pooling_is_part_of_the_recipes_digest_only_where_it_is_set() -> None:
    plain = HeadRecipe.model_validate(frozen())
    settings = plain.model_dump(mode="json", exclude={"calibration"})
    del settings["backbone"]["pooling"]  # as it was before there was such a setting
    assert plain.training_digest() == digest_json(settings)
    pooled = HeadRecipe.model_validate(frozen(backbone={"pooling": "mean+max"}))
    assert pooled.training_digest() == digest_json(pooled.model_dump(mode="json", exclude={"calibration"}))
    assert pooled.training_digest() != plain.training_digest()


@pytest.mark.parametrize("name", ["test_vit", "torchvision/mobilenet_v3_small"])
def test_families_with_a_pooling_of_their_own_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(RecipeError, match="has its own pooling") as caught:
        build_backbone(name, channels=1, size=(32, 32), pooling="mean+max")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_family_without_a_linear_classifier_is_trained_by_epochs(
    tmp_path: Path, batches: list[int]
) -> None:
    recipe = head_recipe(
        backbone={"name": "torchvision/squeezenet1_0", "freeze": True},
        input={"size": 32},
        training={"epochs": 2},
    )
    workspace = write_workspace(tmp_path / "w", {"spot": recipe})
    batches.clear()
    train(workspace)
    run = current_run(workspace, "spot")
    assert run.read_record().strengths == ()
    assert [row["epoch"] for row in read_csv(run.history)] == ["1", "2"]
    assert batches == []


@pytest.mark.parametrize("backbone", [{"unfreeze_epoch": 2}, {"freeze": False}])
def test_a_trunk_that_is_trained_too_is_trained_by_epochs(tmp_path: Path, backbone: dict[str, Any]) -> None:
    workspace = make(tmp_path / "w", {"spot": frozen(backbone=backbone, training={"epochs": 2})})
    train(workspace)
    run = current_run(workspace, "spot")
    assert run.read_record().strengths == ()
    assert len(read_csv(run.history)) == 2
    assert not workspace.features.exists()


@pytest.mark.slow
def test_an_analysis_says_nothing_of_epochs_that_there_were_not(tmp_path: Path) -> None:
    heads = {"spot": frozen(), "bar": head_recipe("bar", training={"epochs": 2})}
    workspace = make(tmp_path / "w", heads)
    for name in heads:
        train(workspace, name)
    report = analyse_any(workspace, ["spot", "bar"])
    both = zip(report.analysis.heads, report.analysis.measures, strict=True)
    findings = {head.name: measures.findings for head, measures in both}
    assert findings["spot"] == ()
    assert findings["bar"]
    pictures = {name: {file.name for file in report.files if name in file.parts} for name in heads}
    assert any("loss" in name for name in pictures["bar"])
    assert pictures["spot"]
    assert not any("loss" in name for name in pictures["spot"])


@pytest.mark.slow
def test_a_frozen_recipe_can_be_searched_from(tmp_path: Path) -> None:
    workspace = make(tmp_path / "w", {"spot": frozen()})
    space = SpaceSettings(
        backbones=("test_resnet",),
        sizes=(24,),
        batch_sizes=(16,),
        augment=("recipe",),
        balance=("sqrt",),
        epochs=2,
    )
    found = search(workspace, "spot", TuneSettings(trials=1, space=space), device="cpu")
    (trial,) = found.trials
    assert trial.state == "complete"
    scores = read_scores(found.folder / "trials" / "0000" / "scores.csv")
    assert trial.figure == pytest.approx(average_precision_score(scores.labels, scores.logits))
    assert not list(found.folder.rglob("test.csv"))
