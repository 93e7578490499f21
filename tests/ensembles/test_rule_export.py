"""Rules inside the exported file, through ONNX Runtime; and what a change of rule or calibration costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tomli_w
from small import head_recipe

from ova.ensembles.export import onnx_export as export_module
from ova.ensembles.export.export import export
from ova.ensembles.export.onnx_export import EnsembleSpec, export_combined
from ova.ensembles.export.onnx_graph import networks_digest, networks_in
from ova.ensembles.rule.numpy_rule import decide
from ova.ensembles.rule.rule import Affine, Stack, plain_rule
from ova.ensembles.runtime.manifest import read_manifest
from ova.ensembles.runtime.model import CombinedModel
from ova.ensembles.train import train_heads
from ova.heads.calibration.calibrate_run import calibrate_heads

pytestmark = pytest.mark.slow

IMAGES = [
    np.random.default_rng(seed).integers(0, 40 + 25 * seed, (20, 20, 3)).astype(np.uint8) for seed in range(9)
]
STACK = Stack(("b",), Affine(((1.0, 0.0, 0.0), (0.5, 0.9, -0.2), (0.0, 0.0, 1.0)), (0.0, 0.3, 0.0)))
MATRIX = Affine(((1.0, -0.2, 0.0), (0.1, 0.9, 0.0), (0.0, 0.0, 1.1), (-0.3, 0.0, 0.1)), (0.1, 0.2, 0.3, 0.4))


@pytest.fixture(scope="module")
def heads(small_head):
    return [
        small_head("a", prior=0.2, threshold=-1.0, slope=0.5),
        small_head("b", prior=0.1, threshold=-0.5, slope=1.5),
        small_head("c", prior=0.3, threshold=0.25, slope=1.0, height=16, width=16),
    ]


def rule_of(heads, mode, **changes):
    return replace(plain_rule([head.calibration.threshold for head in heads], mode), **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rules")


@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        ("multilabel", {"exclusive": (("a", "b"), ("b", "c"))}),
        ("multilabel", {"stack": STACK, "thresholds": (-1.0, 0.75, 0.25)}),
        ("argmax", {"coupling": "margin", "abstain_below": 0.6}),
        ("argmax", {"coupling": "matrix", "matrix": MATRIX, "abstain_below": 0.7, "stack": STACK}),
    ],
)
def test_every_rule_is_the_same_in_the_file(heads, folder, mode, changes):
    none_prior = 0.5 if mode == "argmax" else None
    rule = rule_of(heads, mode, **changes)
    spec = EnsembleSpec(name="x", mode=mode, none_prior=none_prior, rule=rule)
    report = export_combined(heads, spec, folder=folder, images=IMAGES)
    assert report.manifest.rule == rule
    model = CombinedModel.load(folder)
    found = list(model.predict(IMAGES))
    logits = np.array([list(each.logits.values()) for each in found])
    wanted = decide([head.calibration for head in heads], "abc", rule, none_prior, logits)
    assert [list(each.decisions.values()) for each in found] == wanted.decisions.tolist()
    np.testing.assert_allclose(
        [list(each.probabilities.values()) for each in found], 1 / (1 + np.exp(-wanted.log_odds)), atol=1e-6
    )
    assert len(np.unique(wanted.decisions, axis=0)) > 1
    if mode == "argmax":
        labels = [*model.labels, None, None]
        assert [each.label for each in found] == [labels[choice] for choice in wanted.choice]
        assert [each.unsure for each in found] == [choice == 4 for choice in wanted.choice]
        assert {each.unsure for each in found} == {True, False}
        assert found[0].to_json()["unsure"] is found[0].unsure
    else:
        assert {each.unsure for each in found} == {None}


def test_networks_are_taken_over_unless_they_changed(heads, tmp_path, monkeypatch):
    traced = []
    original = export_module.trace_networks
    monkeypatch.setattr(
        export_module, "trace_networks", lambda network: traced.append(1) or original(network)
    )
    two = heads[:2]

    def write(given, **changes):
        report = export_combined(given, EnsembleSpec(name="x", **changes), folder=tmp_path, images=IMAGES)
        return report.model.read_bytes()

    first = write(two)
    assert write(two) == first
    other = [replace(two[0], calibration=replace(two[0].calibration, threshold=0.5)), two[1]]
    assert write(other) != first
    assert write(two, rule=rule_of(two, "multilabel", exclusive=(("a", "b"),))) != first
    assert write(two) == first
    assert len(traced) == 1
    digest = read_manifest(tmp_path / "manifest.json").networks_digest
    assert networks_in(tmp_path, digest) is not None
    assert networks_in(tmp_path, "e" * 64) is None
    assert networks_in(tmp_path / "nowhere", digest) is None
    (tmp_path / "model.onnx").write_bytes(first[:-1])  # damaged
    assert networks_in(tmp_path, digest) is None


def test_the_digest_of_networks_holds_all_that_they_are_made_from(heads):
    entries = [export_module._entry(head, {}, None) for head in heads]
    wide = replace(entries[0].input, width=40)
    others = [
        entries[::-1],
        entries[:2],
        [replace(entries[0], weights_digest="e" * 64), *entries[1:]],
        [replace(entries[0], views="flips"), *entries[1:]],
        [replace(entries[0], input=wide), *entries[1:]],
        [replace(entries[0], input=replace(entries[0].input, crop=900)), *entries[1:]],
    ]
    assert len({networks_digest(each) for each in [entries, *others]}) == 7
    moved = [replace(entries[0], threshold=9.0, slope=2.0, label="x"), *entries[1:]]
    assert networks_digest(moved) == networks_digest(entries)


def test_another_objective_changes_decisions_and_nothing_else(make_workspace, monkeypatch):
    recipes = {name: head_recipe(name, training={"epochs": 2}) for name in ("spot", "bar")}
    workspace = make_workspace(recipes, count=140, ensembles={"all": {"heads": ["spot", "bar"]}})
    assert {each.status for each in train_heads(workspace, device="cpu")} == {"trained"}
    images = sorted((workspace.root / "data" / "images").glob("*.png"))
    before = list(CombinedModel.load(export(workspace, "all").model).predict(images))
    weights = {path: path.read_bytes() for path in workspace.root.glob("runs/heads/*/*/head.safetensors")}
    recipes["spot"]["calibration"] = {"objective": "alarms <= 0.2"}
    workspace.head_recipe("spot").write_text(tomli_w.dumps(recipes["spot"]))
    calibrations = calibrate_heads(workspace)
    monkeypatch.setattr(export_module, "trace_networks", None)  # nothing is traced again
    after = list(CombinedModel.load(export(workspace, "all").model).predict(images))
    assert [each.logits for each in after] == [each.logits for each in before]
    assert [each.decisions["bar"] for each in after] == [each.decisions["bar"] for each in before]
    flagged = [each.logits["spot"] >= calibrations["spot"].threshold for each in after]
    assert [each.decisions["spot"] for each in after] == flagged
    assert 0 < sum(flagged) < sum(each.decisions["spot"] for each in before)
    assert {path: path.read_bytes() for path in weights} == weights
