"""An analysis measures what the exported file answers: its decisions, row by row, are those of ONNX Runtime."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import tomli_w
from sklearn.metrics import f1_score
from small import draw_images, head_recipe, write_workspace
from told import Told

from ova.analysis import analyse as evidence
from ova.analysis.compare.answers import read_answers
from ova.analysis.compare.compare import compare
from ova.analysis.exported_rule import _apply, apply_exported_rule
from ova.analysis.gather import read_tested
from ova.data.labels.table import UNKNOWN
from ova.ensembles.export.export import export
from ova.ensembles.recipe import read_ensemble_recipe
from ova.ensembles.rule.rule import heads_needed
from ova.ensembles.runtime.model import CombinedModel
from ova.ensembles.train import train_heads
from ova.errors import ArtefactError
from ova.progress import Silent
from ova.storage import read_csv, read_json
from ova.workspace import Workspace

pytestmark = pytest.mark.slow

HEADS = ["spot", "either", "plain"]
GROUP = [["either", "plain"]]
RULES = {
    "stacking": {"stacking": "auto"},
    "micro": {"objective": "micro-f1"},
    "groups": {"exclusive": GROUP},
    "all": {"stacking": "auto", "objective": "micro-f1", "exclusive": GROUP},
}
WORDS = {
    "stacking": "either is decided by its own score together with those of",
    "micro": "Thresholds are set together, for the micro F1 of all labels.",
    "groups": "Of either, plain at most one is answered, the surest.",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Workspace:
    """Three heads of which two have barely learnt: spot, spot or bar, and neither."""
    _, labels = draw_images(240)
    either = labels.any(axis=1).astype(int)
    columns = {"spot": labels[:, 0], "either": either, "plain": 1 - either}
    weak = {"epochs": 1, "learning_rate": 1e-4}
    training = {"spot": {"epochs": 4}, "either": weak, "plain": weak}
    workspace = write_workspace(
        tmp_path_factory.mktemp("rules") / "workspace",
        {name: head_recipe(name, training=training[name]) for name in HEADS},
        count=240,
        columns={name: column.tolist() for name, column in columns.items()},
        dataset={"split": {"test": 0.35, "validation": 0.3}},
        ensembles={"cells": {"heads": HEADS}},
    )
    assert {each.status for each in train_heads(workspace, device="cpu")} == {"trained"}
    return workspace


@pytest.fixture
def no_page(monkeypatch):
    """Drawing takes its time, and is tested elsewhere."""
    monkeypatch.setattr(evidence, "write_report", lambda *_, **__: [])


def put_rule(workspace, **rule):
    workspace.ensemble_recipe("cells").write_text(tomli_w.dumps({"heads": HEADS, **rule}))


def of_file(workspace, images):
    """Decisions (n, K) of the exported file, by ONNX Runtime."""
    model = CombinedModel.load(workspace.ensemble_output("cells"), threads=1)
    found = model.predict([workspace.root / "data" / "images" / image for image in images])
    return np.array([[each.decisions[name] for name in HEADS] for each in found])


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("kind", RULES)
def test_what_is_measured_is_what_the_file_decides(trained, kind, monkeypatch):
    put_rule(trained, **RULES[kind])
    manifest = export(trained, "cells").manifest
    assert (manifest.rule.stack is not None) == (kind in ("stacking", "all"))
    analysis = evidence.analyse(trained, "cells").analysis
    folder = trained.ensemble_output("cells")
    answers = {each.label: each for each in read_answers(folder / "answers.csv")}
    images = answers["spot"].images
    decisions = of_file(trained, images)
    truth = np.stack([answers[name].truth for name in HEADS], axis=1)
    for column, name in enumerate(HEADS):
        assert answers[name].images == images
        np.testing.assert_array_equal(answers[name].decisions, decisions[:, column])
    assert analysis.macro_f1 == pytest.approx(f1_score(truth, decisions, average="macro"))
    assert analysis.across.macro_f1.value == pytest.approx(analysis.macro_f1)
    assert analysis.across.micro_f1.value == pytest.approx(f1_score(truth, decisions, average="micro"))
    together = analysis.across.co_occurrence
    order = [HEADS.index(name) for name in together.heads]
    pairs = decisions[:, order].astype(int)
    assert np.array(together.predicted).tolist() == (pairs.T @ pairs).tolist()

    alone = {name: read_tested(trained, name).evidence for name in HEADS}
    changed = 0
    for head in analysis.heads:
        own, column = alone[head.name], HEADS.index(head.name)
        assert head.f1 == pytest.approx(f1_score(own.labels, own.decisions, zero_division=0))
        by_image = dict(zip(own.images, own.decisions.tolist(), strict=True))
        moved = sum(
            by_image[image] != yes for image, yes in zip(images, decisions[:, column].tolist(), strict=True)
        )
        assert moved == (head.by_rule.changed if head.by_rule else 0)
        assert head.exported.f1 == pytest.approx(f1_score(truth[:, column], decisions[:, column]))
        changed += moved
    assert changed > 0, "the rule must change something, or this test says nothing"
    check_words_and_tables(folder, analysis, kind, changed)

    monkeypatch.chdir(trained.root)
    found = compare(trained, "cells", str(folder / "model.onnx"))
    assert [(each.changed, each.measured.difference) for each in found.labels] == [((), 0.0)] * 3


def check_words_and_tables(folder, analysis, kind, changed):
    told = " ".join(analysis.told())
    for each, words in WORDS.items():
        assert (words in told) == (kind in (each, "all"))
    assert f"This changes {changed} of 252 answers to test rows: macro F1 is {analysis.macro_f1:.3f}" in told
    stored = read_json(folder / "metrics.json")
    assert stored["rule"] == {"told": analysis.told(), "macro_f1_alone": analysis.macro_f1_alone}
    assert stored["macro_f1"] == analysis.macro_f1
    for head, row in zip(analysis.heads, read_csv(folder / "metrics.csv"), strict=True):
        assert (float(row["f1"]), float(row["rule_f1"])) == (head.f1, head.exported.f1)
        assert int(row["rule_changed"]) == (head.by_rule.changed if head.by_rule else 0)
    header, *rows = analysis.rows()
    for head, row in zip(analysis.heads, rows, strict=True):
        cells = dict(zip(header, row, strict=True))
        assert cells["F1 (95 % interval)"].startswith(f"{head.exported.f1:.3f} (")
        assert cells["F1 alone"] == f"{head.f1:.3f}"
        assert (cells["threshold"] == "of the rule") == (head.by_rule is not None)


@pytest.mark.usefixtures("no_page")
def test_without_a_rule_nothing_is_told_and_nothing_needs_an_export(trained, tmp_path):
    put_rule(trained)
    output, aside = trained.ensemble_output("cells"), tmp_path / "aside"
    if output.exists():
        output.rename(aside)  # the next export takes its networks over
    analysis = evidence.analyse(trained, "cells").analysis
    assert analysis.told() == []
    assert not any(head.by_rule for head in analysis.heads)
    value = analysis.to_json()
    assert "rule" not in value
    assert not any("by_rule" in head for head in value["heads"])
    assert "F1 alone" not in analysis.rows()[0]
    columns = read_csv(trained.ensemble_output("cells") / "metrics.csv")[0]
    assert not any(name.startswith("rule_") for name in columns)
    put_rule(trained, exclusive=GROUP)
    with pytest.raises(
        ArtefactError, match="cells decides by a rule of the exported model, which is missing"
    ):
        evidence.analyse(trained, "cells")
    if aside.exists():
        shutil.rmtree(output)
        aside.rename(output)


@pytest.fixture
def exported(trained):
    """Recipe, heads and manifest of an ensemble with every rule."""
    put_rule(trained, **RULES["all"])
    manifest = export(trained, "cells").manifest
    return read_ensemble_recipe(trained, "cells"), [read_tested(trained, name) for name in HEADS], manifest


def test_an_export_of_another_state_is_refused_or_told(trained, exported):
    recipe, tested, _ = exported
    given = (trained, "cells")
    with pytest.raises(
        ArtefactError, match="was made by another recipe of the ensemble; run: ova export cells"
    ):
        apply_exported_rule(*given, recipe.model_copy(update={"objective": "own"}), tested, Silent())
    moved = [replace(tested[0], calibration=replace(tested[0].calibration, slope=2.0)), *tested[1:]]
    with pytest.raises(ArtefactError, match=r"other heads, weights or calibrations; run: ova export cells"):
        apply_exported_rule(*given, recipe, moved, Silent())
    plain = recipe.model_copy(update={"objective": "own", "stacking": "off", "exclusive": ()})
    with pytest.raises(ArtefactError, match="another recipe"):  # the file still has the rule
        apply_exported_rule(*given, plain, tested, Silent())
    put_rule(trained)
    export(trained, "cells")
    told = Told()
    found = apply_exported_rule(*given, read_ensemble_recipe(trained, "cells"), moved, told)
    assert found.heads == tuple(moved)
    assert (
        "is of other heads, weights or calibrations; the heads are measured as they are now" in told.lines[0]
    )


def test_an_answer_that_hangs_on_an_unknown_score_is_left_out(exported):
    _, tested, manifest = exported
    assert manifest.rule.stack.heads == ("either", "plain")
    whole = _apply(manifest, tested).heads
    spot = tested[0].scores
    kept = np.arange(len(spot.images)) >= 5
    fewer = replace(
        spot,
        images=tuple(np.array(spot.images)[kept].tolist()),
        labels=spot.labels[kept],
        logits=spot.logits[kept],
    )
    cut = _apply(manifest, [replace(tested[0], scores=fewer), *tested[1:]]).heads
    gone = set(spot.images) - set(fewer.images)
    for before, after in zip(whole[1:], cut[1:], strict=True):
        unknown = np.array([image in gone for image in after.scores.images])
        assert (after.by_rule[unknown] == UNKNOWN).all()
        np.testing.assert_array_equal(after.by_rule[~unknown], before.evidence.exported[~unknown])
        result = evidence.analyse_heads([after.evidence], ensemble=None, mode="multilabel").heads[0]
        assert (result.by_rule.left_out, result.exported.total) == (5, len(unknown) - 5)
    assert heads_needed(HEADS, replace(manifest.rule, stack=None)) == ({0}, {1, 2}, {1, 2})
    answers = evidence.answers_of(
        cut[1].run, cut[1].record, cut[1].calibration, cut[1].scores, cut[1].by_rule
    )
    assert gone.isdisjoint(answers.images)
    assert len(answers.images) == len(cut[1].scores.images) - 5
