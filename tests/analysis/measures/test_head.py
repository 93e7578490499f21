from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss

from ova.analysis.head_result import HeadEvidence
from ova.analysis.measures.files import all_figures, write_measures
from ova.analysis.measures.head import HeadRun, head_json, measure_head
from ova.analysis.measures.values import TrainingCost
from ova.analysis.result import analyse_heads
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.scores import Scores
from ova.storage import read_csv

HISTORY = [
    {
        "member": "0",
        "epoch": str(epoch),
        "train_loss": str(0.7 / epoch),
        "validation_loss": str(0.72 / epoch),
        "validation_average_precision": str(1 - 0.5 / epoch),
    }
    for epoch in range(1, 21)
]


def rows(seed, count=400, prior=0.1):
    generator = np.random.default_rng(seed)
    labels = (generator.random(count) < prior).astype(np.int8)
    logits = (generator.normal(-2, 1.5, count) + 4 * labels).astype(np.float32).astype(float)
    return tuple(f"{seed}-{row}.png" for row in range(count)), labels, logits


def material(name="crack", prior=0.1, history=HISTORY) -> HeadRun:
    held_out = Scores(*rows(1))
    images, labels, logits = rows(2, 300, prior)
    calibration = calibrate_scores(held_out.logits, held_out.labels)
    test = HeadEvidence(name, name, calibration.threshold, labels, logits, images, 12.5)
    cost = TrainingCost(12.5, 3.25, 1, "cpu")
    return HeadRun(test, calibration, held_out, held_out.images, history, True, cost)


@pytest.fixture(scope="module")
def measured():
    return measure_head(material())


def test_figures_are_of_the_rows_that_they_name(measured):
    given = material()
    decided = given.calibration.decide(given.test.logits)
    f1 = f1_score(given.test.labels, decided)
    assert measured.f1.test.value == measured.measures["f1"].value == pytest.approx(f1)
    assert measured.f1.apparent.value == given.calibration.f1
    expected = average_precision_score(given.test.labels, given.test.logits)
    assert measured.measures["average_precision"].value == pytest.approx(expected)
    probabilities = given.calibration.probability(given.test.logits)
    assert measured.reliability.log_loss.value == pytest.approx(log_loss(given.test.labels, probabilities))
    assert [sweep.rows for sweep in measured.sweeps] == ["calibration", "test"]
    assert measured.sweeps[0].positives == given.held_out.labels.sum()
    assert measured.sweeps[1].f1[measured.sweeps[1].chosen] == pytest.approx(f1)
    assert measured.sweeps[1].chosen_low == given.calibration.threshold_low
    assert [sum(each.positives) for each in measured.histograms] == [
        given.held_out.labels.sum(),
        given.test.labels.sum(),
    ]
    assert [finding.kind for finding in measured.findings] == ["sound"]


def test_free_baselines_are_always_there(measured):
    labels = material().test.labels
    yes, chance = measured.baselines
    assert yes.f1.value == pytest.approx(f1_score(labels, np.ones(300)))
    assert yes.average_precision.value == chance.f1.value == pytest.approx(labels.mean())


def test_json_is_strict_and_has_curves_only_if_asked(measured):
    short, whole = head_json(measured, curves=False), head_json(measured, curves=True)
    for value in (short, whole):
        assert json.loads(json.dumps(value, allow_nan=False)) == value
        assert value["honest_f1"]["nested"]["low"] < value["honest_f1"]["nested"]["value"]
    assert set(whole) - set(short) == {"sweeps", "histograms"}
    assert "curve" in whole["reliability"]
    assert "curve" not in short["reliability"]


def test_tables_hold_every_figure(measured, tmp_path):
    files = write_measures(tmp_path, [measured])
    names = ["measures", "sweep-crack", "histogram-crack", "reliability-crack"]
    assert [path.name for path in files] == [f"{name}.csv" for name in names]
    tables = {path.stem: read_csv(path) for path in files}
    figures = {row["measure"]: row for row in tables["measures"]}
    assert list(figures) == list(all_figures(measured))
    assert float(figures["nested_f1"]["low"]) == measured.f1.nested.low
    assert float(figures["megabytes"]["value"]) == 3.25
    assert {row["rows"] for row in tables["sweep-crack"]} == {"calibration", "test"}
    assert sum(row["chosen"] == "1" for row in tables["sweep-crack"]) == 2
    assert sum(int(row["negatives"]) for row in tables["histogram-crack"]) == sum(
        sum(each.negatives) for each in measured.histograms
    )
    assert [float(row["high"]) for row in tables["reliability-crack"]] == list(
        measured.reliability.curve.high
    )


def test_test_rows_without_positives_are_null_with_reasons_and_the_rest_stays(tmp_path):
    found = measure_head(material(prior=0.0, history=[]))
    assert found.f1.test.value is None
    assert found.measures["recall"].reason == "no positive"
    assert found.f1.nested.value is not None
    assert [sweep.rows for sweep in found.sweeps] == ["calibration"]
    assert found.findings == ()
    json.dumps(head_json(found, curves=True), allow_nan=False)
    table = read_csv(write_measures(tmp_path, [found])[0])
    (row,) = [row for row in table if row["measure"] == "recall"]
    assert (row["value"], row["reason"]) == ("", "no positive")


def test_analysis_carries_the_figures_into_its_json():
    given = material()
    analysis = analyse_heads([given.test], ensemble=None, mode="multilabel")
    analysis = replace(analysis, measures=(measure_head(given),))
    value = analysis.to_json()
    header, row = analysis.rows()
    f1 = analysis.measures[0].f1
    shown = f"{f1.nested.value:.3f} ({f1.apparent.value:.3f})"
    assert row[header.index("nested F1 (apparent)")] == shown
    (head,) = value["heads"]
    assert head["label"] == "crack"
    assert head["test"]["f1"] == head["honest_f1"]["test"]["value"]
    assert head["cost"] == {"seconds": 12.5, "megabytes": 3.25, "networks": 1, "device": "cpu"}
