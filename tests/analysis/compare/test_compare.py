"""`ova compare` on runs, analyses, models and prediction files of one small workspace."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score
from small import head_recipe, write_workspace

from ova.analysis.analyse import analyse
from ova.analysis.compare.answers import Answers, read_answers, run_answers, write_answers
from ova.analysis.compare.compare import compare
from ova.analysis.compare.predicted import Truth
from ova.analysis.compare.sides import find_side
from ova.ensembles.export.export import export
from ova.ensembles.runtime.model import CombinedModel
from ova.ensembles.train import train_heads
from ova.errors import ArtefactError, DataError, RecipeError
from ova.heads.runs import all_runs, current_run
from ova.heads.scores import read_scores
from ova.progress import Silent
from ova.storage import read_csv, read_json, write_csv

pytestmark = pytest.mark.slow


def small(label: str, epochs: int) -> dict:
    return head_recipe(label, training={"epochs": epochs})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs of the head spot, one of bar, both exported and analysed; `before/` is of the first runs.

    The second run of spot flags fewer images than are positive, so that the two differ however well both rank.
    """
    root = tmp_path_factory.mktemp("compare") / "workspace"
    heads = {"spot": small("spot", 1), "bar": small("bar", 2)}
    ensembles = {"both": {"heads": ["spot", "bar"]}, "alone": {"heads": ["spot"]}}
    workspace = write_workspace(root, heads, ensembles=ensembles, dataset={"split": {"test": 0.4}})
    for epochs in (1, 4):
        recipe = workspace.head_recipe("spot")
        if epochs > 1:
            changed = recipe.read_text().replace("epochs = 1", f"epochs = {epochs}")
            recipe.write_text(changed + '\n[calibration]\nobjective = "alarms <= 0.2"\n')
        assert {each.status for each in train_heads(workspace)} <= {"trained", "kept"}
        output = export(workspace, "both").model.parent
        if epochs == 1:
            runs = [current_run(workspace, head) for head in ("spot", "bar")]
            write_answers(output, [run_answers(run) for run in runs])  # analyse draws curves, too: slow
            shutil.copytree(output, root / "before")
    analyse(workspace, "both")
    return workspace


@pytest.fixture
def here(trained, monkeypatch):
    """The workspace as the current folder."""
    monkeypatch.chdir(trained.root)
    return trained


def truth_of(workspace):
    return Truth(workspace, Silent())


def test_two_runs_of_a_head(here):
    found = compare(here, "spot@1", "spot")
    (only,) = found.labels
    runs = all_runs(here, "spot")
    first, second = (read_scores(run.test_scores) for run in runs)
    yes = [
        scores.logits.astype(np.float32) >= np.float32(read_json(run.calibration)["threshold"])
        for run, scores in zip(runs, (first, second), strict=True)
    ]
    assert first.images == second.images
    assert only.images == len(first.images)
    assert only.measured.f1_a == pytest.approx(f1_score(first.labels, yes[0], zero_division=0))
    assert only.measured.f1_b == pytest.approx(f1_score(first.labels, yes[1], zero_division=0))
    other = [image for image, a, b in zip(first.images, *yes, strict=True) if a != b]
    assert other, "the two runs must differ, or this test says nothing"
    assert [each.image for each in only.changed] == other
    for each in only.changed:
        row = first.images.index(each.image)
        assert (each.score_a, each.score_b) == (first.logits[row], second.logits[row])
        assert each.truth == first.labels[row]
        assert each.right == ("a" if yes[0][row] == first.labels[row] else "b")
    assert found.a.what == "run 0001 of head spot"
    assert compare(here, "spot@0002", "spot").labels[0].changed == ()


def test_files_hold_what_is_told(here):
    found = compare(here, "spot@1", "spot@2")
    table, document = found.files
    assert table.parent == here.root / "runs" / "compare" / "spot-1--spot-2"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [each.image for each in found.labels[0].changed]
    assert {row["right"] for row in rows} <= {"a", "b"}
    assert read_json(document) == json.loads(json.dumps(found.to_json()))


def test_analyses_models_and_predictions_of_the_same_heads_agree(here):
    ways = {"before": "analysis", "before/model.onnx": "model of both"}
    before = compare(here, "before", "both")
    assert [each.label for each in before.labels] == ["bar", "spot"]
    assert {each.label: bool(each.changed) for each in before.labels} == {"bar": False, "spot": True}
    for name, what in ways.items():
        side = find_side(truth_of(here), name)
        assert side.what.startswith(what)
        again = compare(here, name, "both")
        assert {each.label: each.measured for each in again.labels} == {
            each.label: each.measured for each in before.labels
        }
    assert compare(here, "spot@1", "spot@2").labels[0].changed == before.labels[1].changed


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_prediction_files(here, run_cli, kind):
    files = {}
    for name, model in (("old", "before"), ("new", "runs/ensembles/both")):
        code, out, _ = run_cli("predict", model, "data/images", f"--{kind}")
        assert code == 0
        files[name] = Path(f"{name}.{kind}")
        files[name].write_text(out, encoding="utf-8")
    found = compare(here, str(files["old"]), str(files["new"]))
    by_label = {each.label: each for each in found.labels}
    assert by_label["spot"].images == 72
    expected = compare(here, "spot@1", "spot@2").labels[0]
    assert by_label["spot"].measured == expected.measured  # F1 is of the test rows alone
    tested = [each for each in by_label["spot"].changed if each.truth is not None]
    assert [each.image for each in tested] == [each.image for each in expected.changed]
    assert "not known what its model was trained on" in found.a.notes[0]


def test_rows_that_a_model_was_trained_on_are_left_out(here):
    run = all_runs(here, "spot")[0]
    rows = read_csv(run.rows)
    tested = [row["image"] for row in rows if row["part"] == "test"]
    changed = [row | {"part": "train"} if row["image"] in tested[:3] else row for row in rows]
    write_csv(run.rows, list(rows[0]), [list(row.values()) for row in changed])
    try:
        side = find_side(truth_of(here), "before/model.onnx")
    finally:
        write_csv(run.rows, list(rows[0]), [list(row.values()) for row in rows])
    assert all(set(each.images) == set(tested[3:]) for each in side.answers)
    assert side.notes == ("3 test rows are left out: a head of it was trained on them",)
    model = CombinedModel.load(here.root / "before")
    heads = tuple(replace(head, weights_digest="0" * 64) for head in model.manifest.heads)
    model.manifest = replace(model.manifest, heads=heads)
    from ova.analysis.compare.predicted import model_answers

    _, notes = model_answers(model, truth_of(here))
    assert notes == ["it is not known what spot, bar was trained on: no run here has these weights"]


def changed_copy(answers: Answers, folder: Path, **changes: object) -> str:
    write_answers(folder, [replace(answers, **changes)])
    return str(folder)


def test_other_pixels_other_truth_and_missing_images_are_left_out_and_counted(here, tmp_path):
    mine = run_answers(all_runs(here, "spot")[1])
    pixels = ("0" * 64, "", *mine.pixels[2:])
    truth = mine.truth.copy()
    truth[3], truth[4] = 1 - truth[3], -1
    other = changed_copy(mine, tmp_path / "other", pixels=pixels, truth=truth)
    (found,) = compare(here, "spot", other).labels
    assert found.left_out == {"other pixels under the same name": 1, "another truth": 1}
    assert found.images == found.measured.rows == len(mine.images) - 2
    few = {name: getattr(mine, name)[5:] for name in ("images", "pixels", "truth", "scores", "decisions")}
    (fewer,) = compare(here, "spot", changed_copy(mine, tmp_path / "few", **few)).labels
    assert fewer.left_out == {"only one of the two answered": 5}
    strangers = tuple(f"other-{image}" for image in mine.images)
    with pytest.raises(DataError, match="no image in common"):
        compare(here, "spot", changed_copy(mine, tmp_path / "strangers", images=strangers))


def test_the_order_of_rows_does_not_matter(here, tmp_path):
    mine = run_answers(all_runs(here, "spot")[0])
    turned = {
        name: getattr(mine, name)[::-1] for name in ("images", "pixels", "truth", "scores", "decisions")
    }
    first = compare(here, changed_copy(mine, tmp_path / "one"), "spot").labels
    assert compare(here, changed_copy(mine, tmp_path / "two", **turned), "spot").labels == first


def test_answers_come_back_as_they_were(tmp_path):
    answers = Answers(
        label="=Riß, quer",
        head="-riss",
        images=("'=a/ö.png", "@b,c.png"),
        pixels=("", "f" * 64),
        truth=np.array([-1, 1], np.int8),
        scores=np.array([0.1, -1e-17]),
        decisions=np.array([True, False]),
    )
    (back,) = read_answers(path := write_answers(tmp_path, [answers]))
    assert not any(
        cell.startswith(("=", "-", "@")) for row in read_csv(path) for cell in list(row.values())[:4]
    )
    assert (back.label, back.head, back.images, back.pixels) == (
        answers.label,
        answers.head,
        answers.images,
        answers.pixels,
    )
    for name in ("truth", "scores", "decisions"):
        np.testing.assert_array_equal(getattr(back, name), getattr(answers, name))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (",1\n", ",2\n", "'2' is none of"),
        ("label,", "labels,", "'label'"),
        (",1.5,", ",nan,", "not finite"),
        (",1.5,", ",x,", "could not convert"),
    ],
)
def test_damaged_answers_are_refused(tmp_path, old, new, problem):
    answers = Answers("crack", "crack", ("a",), ("",), np.array([1]), np.array([1.5]), np.array([True]))
    path = write_answers(tmp_path, [answers])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ArtefactError, match=problem):
        read_answers(path)


@pytest.mark.parametrize(
    ("a", "b", "code", "problem"),
    [
        (
            "spot",
            "both",
            2,
            "spot answers for spot, and both for bar, spot; compare what answers for the same",
        ),
        ("spot", "bar", 2, "same labels"),
        ("spot@9", "spot", 2, "head 'spot' has no finished run 9; there are: 0001, 0002"),
        ("spott", "spot", 2, "did you mean spot"),
        ("spot", "heads/spot.toml", 2, "no head, HEAD@RUN, ensemble, folder"),
        ("alone", "spot", 5, "holds neither answers.csv nor model.onnx"),
        ("spot", "damaged.csv", 5, "not what ova predict"),
        ("spot", "damaged.json", 5, "not what ova predict"),
        ("spot", "empty.json", 5, "holds no answers"),
        ("spot", "twice.json", 5, "names an image twice"),
    ],
)
def test_one_line_and_an_exit_code_for_what_cannot_be_compared(here, run_cli, a, b, code, problem):
    Path("damaged.csv").write_text("image,spot probability,spot decision,error\na.png,x,1,\n")
    Path("damaged.json").write_text('{"image": 1}')
    Path("empty.json").write_text("[]")
    one = {"image": "a.png", "logits": {"spot": 1.0}, "decisions": {"spot": True}}
    Path("twice.json").write_text(json.dumps([one, one]))
    found, out, err = run_cli("compare", a, b)
    assert (found, out) == (code, "")
    assert problem in err
    assert len(err.strip().splitlines()) == 1


def test_two_answers_for_one_label_are_refused(here, tmp_path):
    mine = run_answers(all_runs(here, "spot")[0])
    write_answers(tmp_path, [mine, replace(mine, head="other")])
    with pytest.raises(ArtefactError, match="answers twice for a label"):
        compare(here, str(tmp_path), "spot")
    repeated = replace(mine, images=(mine.images[0], *mine.images[:-1]))
    write_answers(tmp_path, [repeated])
    with pytest.raises(ArtefactError, match="answers twice to an image"):
        compare(here, str(tmp_path), "spot")


def test_the_command_prints_a_table_or_one_object(here, run_cli):
    code, out, _ = run_cli("compare", "spot@1", "spot@2")
    assert code == 0
    assert "B - A (95 % interval)" in out
    assert f"wrote {Path('runs/compare/spot-1--spot-2/changed.csv')}" in out
    code, out, _ = run_cli("compare", "spot@1", "spot@2", "--json")
    value = json.loads(out)
    assert code == 0
    assert {"a", "b", "labels"} == set(value)
    assert {"f1_a", "f1_b", "difference", "difference_low", "difference_high", "p_value"} <= set(
        value["labels"][0]
    )
    seeded = run_cli("compare", "spot@1", "spot@2", "--seed", "5", "--json")[1]
    assert json.loads(seeded)["labels"][0]["difference"] == value["labels"][0]["difference"]


def test_only_unknown_names_raise_recipe_errors(here):
    with pytest.raises(RecipeError):
        find_side(truth_of(here), "nobody")
