"""Curves inside the graph: torch and ONNX Runtime against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ova.ensembles.export.onnx_export import EnsembleSpec, export_combined
from ova.ensembles.rule.numpy_rule import calibrate_all, decide
from ova.ensembles.rule.rule import Affine, Stack, plain_rule
from ova.ensembles.rule.torch_rule import Curves, Decision
from ova.ensembles.runtime.model import CombinedModel
from ova.errors import ArtefactError
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibrators.curve import Curve

IMAGES = [
    np.random.default_rng(seed).integers(0, 40 + 25 * seed, (20, 20, 3)).astype(np.uint8) for seed in range(9)
]
SHORT = Curve("isotonic", (-1.0, 0.5, 1.5), (-2.0, -1.9, 3.0))
STACK = Stack(("b",), Affine(((1.0, 0.0, 0.0), (0.5, 0.9, -0.2), (0.0, 0.0, 1.0)), (0.0, 0.3, 0.0)))


@pytest.fixture(scope="module")
def fitted():
    """Curves of heads whose scores are far from logistic."""
    draw = np.random.default_rng(3)
    labels = np.repeat([1, 0], [1500, 9000])
    heavy = np.where(labels, 3.0, -3.0) + 1.2 * draw.standard_t(2, labels.size)
    scores = draw.uniform(-6.0, 6.0, 9000)
    share = np.select([scores < -3, scores < 0, scores < 3], [0.01, 0.3, 0.35], 0.95)
    few = slice(1100, 4000)
    curves = [
        calibrate_scores(heavy[few], labels[few]).curve,
        calibrate_scores(scores, draw.random(9000) < share).curve,
    ]
    assert [curve.kind for curve in curves if curve] == ["beta", "isotonic"]
    return curves


@pytest.fixture(scope="module")
def heads(small_head, fitted):
    return [
        small_head("a", prior=0.2, threshold=-1.0, slope=0.5, curve=SHORT),
        small_head("b", prior=0.1, threshold=-0.5, slope=1.5),
        small_head("c", prior=0.3, threshold=0.25, slope=1.0, height=16, width=16, curve=fitted[1]),
    ]


def test_torch_does_what_numpy_does(fitted):
    logits = np.random.default_rng(1).normal(0.0, 5.0, (4000, 4)).astype(np.float32)
    logits[:40] *= 20.0  # far outside the knots
    curves = [fitted[0], None, SHORT, fitted[1]]
    lines = torch.from_numpy(logits) * 2.0
    found = Curves(curves)(torch.from_numpy(logits), lines).numpy()
    for column, curve in enumerate(curves):
        wanted = curve(logits[:, column]) if curve is not None else 2.0 * logits[:, column]
        np.testing.assert_allclose(found[:, column], wanted, rtol=2e-6, atol=2e-5)


def test_it_rises_in_float32(fitted):
    for curve in (*fitted, SHORT):
        logits = torch.linspace(-12.0, 12.0, 20_001)[:, None]
        odds = Curves([curve])(logits, logits)[:, 0].numpy()
        assert (np.diff(odds) >= 0).all()
        assert odds[-1] > odds[0]


def test_a_damaged_curve_is_refused(small_head):
    damaged = replace(SHORT, knots=(0.0, 0.0, 1.0))
    calibration = small_head("a", curve=damaged).calibration
    with pytest.raises(ArtefactError, match="knots must increase; calibrate the heads again"):
        Decision([calibration], "a", plain_rule([0.0], "multilabel"), None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        ("multilabel", {}),
        ("multilabel", {"exclusive": (("a", "b"), ("b", "c"))}),
        ("multilabel", {"stack": STACK, "thresholds": (-1.0, 0.75, 0.25)}),
        ("argmax", {}),
        ("argmax", {"coupling": "margin"}),
    ],
)
def test_the_file_holds_the_curves(heads, tmp_path, mode, changes):
    none_prior = 0.5 if mode == "argmax" else None
    calibrations = [head.calibration for head in heads]
    rule = replace(plain_rule([each.threshold for each in calibrations], mode), **changes)
    spec = EnsembleSpec(name="x", mode=mode, none_prior=none_prior, rule=rule)
    report = export_combined(heads, spec, folder=tmp_path, images=IMAGES)
    assert [each.curve for each in report.manifest.heads] == [each.curve for each in calibrations]
    model = CombinedModel.load(tmp_path)
    assert model.manifest == report.manifest
    found = list(model.predict(IMAGES))
    logits = np.array([list(each.logits.values()) for each in found])
    wanted = decide(calibrations, "abc", rule, none_prior, logits)
    assert [list(each.decisions.values()) for each in found] == wanted.decisions.tolist()
    probabilities = np.array([list(each.probabilities.values()) for each in found])
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-wanted.log_odds)), atol=1e-6)
    lines = decide([replace(each, curve=None) for each in calibrations], "abc", rule, none_prior, logits)
    assert np.abs(lines.log_odds - wanted.log_odds).max() > 0.1  # the curves matter
    if not changes and mode == "multilabel":
        np.testing.assert_array_equal(lines.decisions, wanted.decisions)
        np.testing.assert_allclose(probabilities[:, 0], calibrations[0].probability(logits[:, 0]), atol=1e-6)


def test_without_a_curve_the_network_is_as_before(heads):
    plain = [replace(head.calibration, curve=None) for head in heads]
    decision = Decision(plain, "abc", plain_rule([0.0, 0.0, 0.0], "multilabel"), None)
    assert decision.curves is None
    logits = np.random.default_rng(2).normal(size=(50, 3))
    np.testing.assert_array_equal(
        calibrate_all(plain, logits), logits * [0.5, 1.5, 1.0] + [each.intercept for each in plain]
    )
