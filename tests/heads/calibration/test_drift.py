"""Another prior without labels: acts only on plain evidence, and the export follows."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from small import head_recipe

from ova.ensembles.export.export import export
from ova.ensembles.runtime.model import CombinedModel
from ova.ensembles.train import train_heads
from ova.errors import DataError
from ova.heads.calibration.calibrate_run import Training, calibrate_head
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibration import Calibration
from ova.heads.calibration.drift import adapt, adapt_heads, judge_drift
from ova.heads.recipe import CalibrationSettings
from ova.heads.runs import current_run
from ova.heads.scores import Scores, read_scores, write_scores

PLAIN = Training(0.0, proper=True)


def draw_scores(prior, count, seed, move=0.0):
    draw = np.random.default_rng(seed)
    labels = (draw.random(count) < prior).astype(np.int8)
    logits = (draw.normal(4.0 * labels - 2.0, 1.6) + move).astype(np.float32).astype(np.float64)
    return Scores(tuple(f"{row:05d}.png" for row in range(count)), labels, logits)


SOURCE = draw_scores(0.1, 1_500, 0)
BEFORE = calibrate_scores(SOURCE.logits, SOURCE.labels)


@pytest.mark.parametrize(
    ("unlabeled", "told"),
    [
        (draw_scores(0.1, 1_500, 1), "the prior in use, 0.1.*, lies within"),
        (draw_scores(0.02, 300, 2), "too few to tell, 20 are needed"),
        (draw_scores(0.1, 1_500, 3, move=1.0), "not a prior shift; collect labels"),
    ],
)
def test_without_plain_evidence_nothing_changes(unlabeled, told):
    drift, prior = judge_drift("spot", SOURCE, PLAIN, BEFORE, unlabeled.logits)
    assert prior is None
    assert not drift.acted
    assert drift.threshold == drift.threshold_before == BEFORE.threshold
    assert re.search(told, drift.told)


def test_a_head_without_a_calibration_of_its_own_is_left_alone():
    few = Scores(SOURCE.images[:9], np.array([1, 1, 0, 0, 0, 0, 0, 0, 0], np.int8), SOURCE.logits[:9])
    before = calibrate_scores(few.logits, few.labels)
    drift, prior = judge_drift("spot", few, PLAIN, before, SOURCE.logits)
    assert prior is None
    assert "2 positives" in drift.told


@pytest.mark.parametrize("prior", [0.03, 0.3])
def test_a_shift_is_followed_and_the_way_back_restores_everything(prior):
    target = draw_scores(prior, 2_000, 4)
    drift, found = judge_drift("spot", SOURCE, PLAIN, BEFORE, target.logits)
    assert found == pytest.approx(target.labels.mean(), abs=0.02)
    assert drift.prior_low < found < drift.prior_high
    settings = CalibrationSettings()
    moved = adapt(SOURCE, PLAIN, settings, found, target.logits)
    assert (moved.prior, moved.slope) == (found, BEFORE.slope)
    assert moved.probability(target.logits).mean() == pytest.approx(found, abs=1e-6)
    mean = float(BEFORE.probability(SOURCE.logits).mean())
    assert (moved.threshold > BEFORE.threshold) == (found < mean)
    back = adapt(SOURCE, PLAIN, settings, mean, SOURCE.logits)
    assert back.threshold == BEFORE.threshold
    assert back.intercept == pytest.approx(BEFORE.intercept, abs=1e-12)


def f1_at(scores, threshold):
    flagged = scores.logits >= threshold
    return 2 * (flagged & (scores.labels == 1)).sum() / (flagged.sum() + scores.labels.sum())


@pytest.mark.parametrize("prior", [0.02, 0.3])
def test_the_new_threshold_loses_less_than_the_old_one(prior):
    unlabeled, test = draw_scores(prior, 2_000, 5), draw_scores(prior, 60_000, 6)
    _, found = judge_drift("spot", SOURCE, PLAIN, BEFORE, unlabeled.logits)
    moved = adapt(SOURCE, PLAIN, CalibrationSettings(), found, unlabeled.logits)
    best = max(f1_at(test, cut) for cut in np.linspace(-3, 4, 141))
    assert best - f1_at(test, moved.threshold) < 0.5 * (best - f1_at(test, BEFORE.threshold))
    plugged = adapt(SOURCE, PLAIN, CalibrationSettings(method="plugin"), found, unlabeled.logits)
    assert best - f1_at(test, plugged.threshold) < 0.5 * (best - f1_at(test, BEFORE.threshold))


@pytest.mark.parametrize("objective", ["cost 5:1", "recall >= 0.8", "precision >= 0.6", "alarms <= 0.2"])
def test_promises_and_costs_hold_at_the_new_prior(objective):
    target = draw_scores(0.3, 4_000, 7)
    moved = adapt(SOURCE, PLAIN, CalibrationSettings(objective=objective), 0.3, target.logits)
    flagged, positive = target.logits >= moved.threshold, target.labels == 1
    assert moved.objective == objective
    if objective.startswith("recall"):
        assert (flagged & positive).sum() / positive.sum() >= 0.8
        assert (
            moved.threshold == calibrate_scores(SOURCE.logits, SOURCE.labels, objective=objective).threshold
        )
    elif objective.startswith("precision"):
        assert (flagged & positive).sum() / flagged.sum() >= 0.6
        assert moved.threshold < calibrate_scores(SOURCE.logits, SOURCE.labels, objective=objective).threshold
    elif objective.startswith("alarms"):
        assert 0.18 < flagged.mean() <= 0.2
    else:
        assert moved.probability(moved.threshold) == pytest.approx(1 / 6, abs=0.1)


@pytest.fixture
def trained(make_workspace):
    """A head whose stored scores are replaced by many, so that there is something to see."""
    workspace = make_workspace(
        {"spot": head_recipe(training={"epochs": 1})},
        count=140,
        columns={"spot": (np.arange(140) % 3 == 0).astype(int).tolist()},
        ensembles={"all": {"heads": ["spot"]}},
    )
    assert [each.status for each in train_heads(workspace, device="cpu")] == ["trained"]
    run = current_run(workspace, "spot")
    images = read_scores(run.scores).images
    labels = np.arange(len(images)) % 2
    write_scores(
        run.scores, Scores(images, labels.astype(np.int8), 2.0 * labels - 1 + np.linspace(-2, 2, len(images)))
    )
    calibrate_head(workspace, "spot")
    return workspace


def scores_file(workspace, logits):
    path = workspace.root / "scores.csv"
    path.write_text("image,spot logit\n" + "".join(f"{row},{value}\n" for row, value in enumerate(logits)))
    return path


@pytest.mark.slow
def test_the_command_writes_a_new_calibration_keeps_the_old_and_the_export_follows(trained, run_cli):
    run = current_run(trained, "spot")
    weights, old = run.weights.read_bytes(), run.calibration.read_bytes()
    report = export(trained, "all")
    _what_predict_writes_can_be_read(trained, report, run_cli)
    stored = read_scores(run.scores)
    positive = stored.labels == 1
    target = np.concatenate([np.tile(stored.logits[positive], 20), np.tile(stored.logits[~positive], 4)])
    table = scores_file(trained, target)
    code, out, err = run_cli(
        "-C", trained.root, "calibrate", "--unlabeled", table, "--head", "spot", "--json"
    )
    assert code == 0, err
    (drift,) = json.loads(out)
    assert drift["acted"], drift
    new = Calibration.from_json(json.loads(run.calibration.read_text()))
    assert new.adaptation is not None
    assert (run.path / new.adaptation.replaced).read_bytes() == old
    assert new.prior == drift["prior"]
    assert new.threshold == drift["threshold"] < drift["threshold_before"]
    assert run.weights.read_bytes() == weights
    assert json.loads(run_cli("-C", trained.root, "list", "--json")[1])["ensembles"][0]["state"] == "stale"
    manifest = export(trained, "all").manifest
    assert (manifest.heads[0].threshold, manifest.heads[0].prior) == (new.threshold, new.prior)
    code, out, _ = run_cli("-C", trained.root, "calibrate", "--unlabeled", table)
    assert "unchanged: the prior in use" in out


def _what_predict_writes_can_be_read(workspace, report, run_cli):
    images = sorted((workspace.root / "data" / "images").glob("*.png"))[:30]
    missing = workspace.root / "no.png"
    code, out, err = run_cli("-C", workspace.root, "predict", "all", *images, missing, "--csv")
    assert code == 3, err
    table = workspace.root / "predicted.csv"
    table.write_text(out)
    logits = [each.logits["spot"] for each in CombinedModel.load(report.model).predict(images)]
    written = [row["spot logit"] for row in csv.DictReader(out.splitlines())]
    assert [float(cell) for cell in written if cell] == logits
    (drift,) = adapt_heads(workspace, table)
    assert drift.rows == 30
    table.write_text("image,bar logit\na,1\n")
    with pytest.raises(DataError, match="lacks the column 'spot logit'"):
        adapt_heads(workspace, table, ["spot"])
