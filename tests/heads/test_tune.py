"""The search for a recipe: what is tried, what is never looked at, and that it goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image
from small import head_recipe, write_workspace

from ova.analysis.tune_report import front, tune_head
from ova.data.dataset import open_dataset
from ova.data.split.split import TEST
from ova.ensembles.train import train_heads
from ova.errors import EnvironmentFault, RecipeError
from ova.heads.network.packages import WEIGHTS_PACKAGES
from ova.heads.recipe import HeadRecipe, read_head_recipe
from ova.heads.scores import read_scores
from ova.heads.training.probe import refuse_what_a_probe_cannot
from ova.heads.tune.found import Found, Trial
from ova.heads.tune.space import Space, SpaceSettings
from ova.heads.tune.study import TuneSettings, search
from ova.progress import Watch
from ova.recipes import check_recipe

pytestmark = pytest.mark.slow

SMALL = SpaceSettings(
    backbones=("test_resnet", "test_vit"),
    sizes=(24, 16),
    batch_sizes=(8,),
    augment=("light",),
    balance=("sqrt",),
    epochs=2,
)


def settings(trials: int, **changes: object) -> TuneSettings:
    return TuneSettings(**{"trials": trials, "space": SMALL, **changes})


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    workspace = write_workspace(tmp_path_factory.mktemp("tune") / "workspace", {"spot": head_recipe()})
    open_dataset(workspace)
    return workspace


@pytest.fixture
def workspace(fresh, tmp_path):
    return type(fresh)(shutil.copytree(fresh.root, tmp_path / "workspace"))


@pytest.fixture(scope="module")
def searched(fresh, tmp_path_factory):
    """Six trials in one go."""
    workspace = type(fresh)(shutil.copytree(fresh.root, tmp_path_factory.mktemp("searched") / "workspace"))
    return workspace, tune_head(workspace, "spot", settings(6), device="cpu")


def plain(found: Found) -> list[tuple]:
    """What must be the same in every machine and run: all but times."""
    return [(each.number, each.state, each.choice, each.figure) for each in found.trials]


def test_the_recipe_as_it_is_comes_first_and_is_measured_in_full(searched):
    _, report = searched
    first = report.found.trials[0]
    assert (first.state, first.choice["augment"], first.choice["balance"]) == ("complete", "recipe", "recipe")
    assert first.choice["learning_rate"] == 3e-3
    assert {"average_precision", "log_loss", "parameters", "megabytes", "milliseconds", "seconds"} <= set(
        first.measured
    )
    assert len(report.found.trials) == 6
    assert sum(each.state == "complete" for each in report.found.trials) > 1
    assert len({json.dumps(each.choice, sort_keys=True) for each in report.found.trials}) > 3


def test_figures_are_those_of_the_stored_held_out_scores(searched):
    from sklearn.metrics import average_precision_score

    workspace, report = searched
    split = open_dataset(workspace).split.part_of
    for trial in report.found.trials:
        scores = report.found.folder / "trials" / f"{trial.number:04d}" / "scores.csv"
        if trial.state == "complete":
            found = read_scores(scores)
            assert {split[image] for image in found.images} == {"validation"}
            assert trial.figure == pytest.approx(average_precision_score(found.labels, found.logits))
    assert not list(report.found.folder.rglob("checkpoint*"))
    assert not list(report.found.folder.rglob("test.csv"))


def test_no_test_row_has_a_say(searched, workspace):
    dataset = open_dataset(workspace)
    table = dataset.root / "data.csv"
    lines = table.read_text().splitlines()
    tested = {image for image, part in dataset.split.part_of.items() if part == TEST}
    for image in tested:  # other pixels; the split stays that of the names
        Image.fromarray(np.full((24, 24), 7 + int(image[:3]) % 2, np.uint8)).save(dataset.root / image)
    assert len(lines) > len(tested) > 5
    assert plain(search(workspace, "spot", settings(3), device="cpu")) == plain(searched[1].found)[:3]


def test_an_interrupted_search_goes_on_to_the_same_trials(searched, workspace):
    steps = iter(range(10**6))
    first = search(
        workspace, "spot", settings(4), device="cpu", watch=Watch(should_stop=lambda: next(steps) > 12)
    )
    assert first.stopped == "interrupted"
    assert first.trials[-1].state == "unfinished"
    late = search(workspace, "spot", settings(4, minutes=0.0), device="cpu")
    assert (late.stopped, plain(late)) == ("out of time", plain(first))
    search(workspace, "spot", settings(3), device="cpu")
    whole = search(workspace, "spot", settings(4), device="cpu")
    assert whole.folder == first.folder
    assert plain(whole) == plain(searched[1].found)[:4]
    assert plain(search(workspace, "spot", settings(4), device="cpu")) == plain(whole)


def test_another_seed_space_or_recipe_is_another_study(workspace):
    first = search(workspace, "spot", settings(1), device="cpu")
    assert search(workspace, "spot", settings(1), device="cpu").folder == first.folder
    other = search(workspace, "spot", settings(1, seed=1), device="cpu")
    assert (first.folder.name, other.folder.name) == ("0001", "0002")
    recipe = workspace.head_recipe("spot")
    recipe.write_text(recipe.read_text().replace("0.003", "0.002"))
    assert search(workspace, "spot", settings(1), device="cpu").folder.name == "0003"


def test_files_for_people_and_a_recipe_that_is_never_overwritten(searched):
    workspace, report = searched
    table, document, picture = report.files
    assert len(table.read_text().splitlines()) == 7
    assert json.loads(document.read_text()) == json.loads(json.dumps(report.to_json()))
    with Image.open(picture) as image:
        assert image.size[0] > 600
    better = Found(report.found.folder, report.found.space, "average-precision", report.found.trials[1:])
    best = better.best
    assert best is not None
    from ova.analysis import tune_report as tradeoff

    path = tradeoff._write_recipe(workspace, "spot", better)
    assert path == workspace.head_recipe("spot-tuned")
    text = path.read_text()
    assert text.startswith(f"# Trial {best.number} of runs/tune/spot/0001: held-out average-precision")
    recipe = read_head_recipe(workspace, "spot-tuned")
    assert recipe.training.learning_rate == best.choice["learning_rate"]
    assert recipe.training.epochs == 2
    assert recipe.label == "spot"
    assert tradeoff._write_recipe(workspace, "spot", better) == path
    path.write_text("label = 'mine'\n")
    assert tradeoff._write_recipe(workspace, "spot", better) == workspace.head_recipe("spot-tuned-2")
    assert path.read_text() == "label = 'mine'\n"
    assert train_heads(workspace, ["spot-tuned-2"], device="cpu")[0].status == "trained"


def trial(number: int, figure: float | None, milliseconds: float, state: str = "complete") -> Trial:
    return Trial(number, state, {}, figure, {"milliseconds": milliseconds, "megabytes": 1.0})


def test_best_and_front():
    trials = (
        trial(0, 0.7, 5.0),
        trial(1, 0.8, 9.0),
        trial(2, 0.8, 8.0),
        trial(3, 0.6, 6.0),
        trial(4, None, 1.0, "failed"),
    )
    space = Space(check_recipe(head_recipe(), HeadRecipe, "test"), SMALL)
    found = Found(None, space, "average-precision", trials)  # type: ignore[arg-type]
    assert (found.best.number, front(found)) == (1, {0, 2})
    lower = Found(None, space, "log-loss", trials)  # type: ignore[arg-type]
    assert (lower.best.number, front(lower)) == (3, {0, 3})
    assert front(found, "megabytes") == {1, 2}


def test_choices_around_a_recipe():
    recipe = check_recipe(
        head_recipe(augment={"flips": True}, balance={"pos_weight": "sqrt"}), HeadRecipe, "test"
    )
    space = Space(recipe, SpaceSettings(backbones=()), largest=30)
    assert (space.backbones, list(space.sizes)) == (["test_resnet"], ["24x24", "16x16"])
    assert space.rates == pytest.approx((3e-4, 3e-2))
    assert space.batch_sizes == [16, 32, 64]
    assert (list(space.augment), list(space.balance)) == (
        ["recipe", "none", "light", "strong"],
        ["recipe", "weight", "sampler"],  # "sqrt" is what the recipe says
    )
    assert space.make(space.start()) == recipe
    made = space.make(space.start() | {"size": "16x16", "augment": "none", "balance": "sampler"})
    assert (made.input.shape, made.augment.flips, made.balance.sampler) == ((16, 16), False, "balanced")
    minority = check_recipe(
        head_recipe(augment={"flips": True}, balance={"augment_only": "minority"}), HeadRecipe, "test"
    )
    assert "none" not in Space(minority, SpaceSettings(backbones=())).augment
    with pytest.raises(RecipeError, match="'resnet999' is unknown"):
        Space(recipe, SpaceSettings(backbones=("resnet999",)))
    with pytest.raises(RecipeError, match="learning_rate is"):
        check_recipe({"learning_rate": [0.1, 0.01]}, SpaceSettings, "test")


def test_around_a_frozen_trunk_nothing_is_tried_that_it_would_refuse():
    text = {"name": "tf_efficientnet_lite0", "pretrained": True, "freeze": True}
    recipe = check_recipe({"label": "a", "backbone": text, "augment": {"flips": True}}, HeadRecipe, "frozen")
    space = Space(recipe, SpaceSettings(balance=("weight", "sqrt", "sampler", "focal")))
    assert space.backbones[0] == "tf_efficientnet_lite0"
    assert set(space.backbones) == {
        package.backbone for package in WEIGHTS_PACKAGES
    }  # the extra `test` has all
    assert (len(set(space.rates)), len(space.batch_sizes)) == (1, 1)
    assert (set(space.augment), set(space.balance)) == ({"recipe", "none"}, {"recipe", "sqrt", "sampler"})
    for augment in space.augment:
        for balance in space.balance:
            refuse_what_a_probe_cannot(space.make(space.start() | {"augment": augment, "balance": balance}))


def test_a_trial_that_fails_is_told_and_the_search_goes_on(workspace):
    space = SMALL.model_copy(update={"learning_rate": (1e28, 1e30)})
    found = search(workspace, "spot", settings(3, space=space, criterion="log-loss", seed=3), device="cpu")
    assert found.trials[0].state == "complete"
    assert found.best == min((t for t in found.trials if t.state == "complete"), key=lambda t: t.figure)
    failed = [each for each in found.trials if each.state == "failed"]
    assert failed
    reasons = {each.reason.split(" in epoch")[0].split(":")[0] for each in failed}
    known = {"the loss is no longer a number", "test_vit does not take images of 24x24 pixels"}
    assert "the loss is no longer a number" in reasons <= known


def test_the_command(workspace, run_cli, monkeypatch, tmp_path):
    file = tmp_path / "space.toml"
    file.write_text('backbones = ["test_resnet"]\nsizes = [24]\nbatch_sizes = [8]\nepochs = 1\n')
    arguments = ("-C", workspace.root, "tune", "spot", "--trials", "2", "--space", file, "--device", "cpu")
    code, out, err = run_cli(*arguments, "--json")
    assert code == 0, err
    assert {"head", "best", "recipe", "trials", "stopped"} <= set(json.loads(out))
    code, out, _ = run_cli(*arguments)
    assert code == 0
    assert "0 (the recipe as it is)" in out
    file.write_text("backbone = 'x'\n")
    code, out, err = run_cli(*arguments)
    assert (code, out) == (2, "")
    assert "backbone is not a setting; did you mean backbones" in err
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, out, err = run_cli("-C", workspace.root, "tune", "spot")
    assert (code, out, err.strip()) == (
        6,
        "",
        'ova: tuning needs optuna; install it with: pip install "ova[tune]"',
    )
    with pytest.raises(EnvironmentFault):
        search(workspace, "spot", settings(1))


@pytest.mark.filterwarnings("ignore")  # of this library, about itself
def test_trackers_are_told_of_every_trial(workspace, run_cli):
    space = workspace.root / "space.toml"
    space.write_text('backbones = ["test_resnet"]\nsizes = [24]\nbatch_sizes = [8]\nepochs = 1\n')
    command = ("-C", workspace.root, "tune", "spot", "--trials", "2", "--device", "cpu", "--space", space)
    code, _, err = run_cli(*command, "--track", "tensorboard")
    assert code == 0, err
    trials = workspace.root / "runs/tune/spot/0001/trials"
    assert len(list(trials.glob("*/tensorboard/network-1/events*"))) == 2
    code, _, err = run_cli(*command, "--track", "wandb")
    assert (code, "'wandb' is no tracker" in err) == (2, True)


def test_settings_are_values():
    assert asdict(settings(3))["seed"] == 0
