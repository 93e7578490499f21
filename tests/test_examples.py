"""The programs in examples/, run as a newcomer runs them, and the examples in the docstrings of public names."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small import head_recipe, write_workspace

import ova
from ova.workspace import Workspace

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
POINTS = {
    "add_a_head": r"'crack': 'kept', 'inactive': 'trained'.*\ncrack weights: .*: the same\ncrack logits: .*: the same\n",
    "calibrate_your_own_classifier": r"at the threshold of ova\nrecall >= 0\.9: test recall ",
    "predict_without_torch": r"multilabel: crack, inactive\n(cell\d+\.png: .*\(crack 0\.\d+, .*\n){5}without torch\n",
}
PUBLIC = [name for name in ova.__all__ if name != "__version__"]
WITHOUT_WORKSPACE = {"Calibration", "Workspace", "calibrate_scores"}


def slow_but(quick: set[str], names: list[str]) -> list[object]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


def run_example(name: str, folder: Path, *arguments: Path) -> str:
    """Run a program with the package that is tested; two test processes share the cores."""
    environment = os.environ | {"PYTHONPATH": str(Path(ova.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_example_that_trains_makes_its_point_and_a_model_for_the_one_that_predicts(
    tmp_path: Path,
) -> None:
    made = tmp_path / "cells"
    printed = run_example("add_a_head", tmp_path, made)
    assert re.search(POINTS["add_a_head"], printed), printed
    images = sorted(made.glob("data/cells/images/*.png"))[13:18]
    exported = made / "runs/ensembles/both"
    printed = run_example("predict_without_torch", tmp_path, exported, *images)
    assert re.search(POINTS["predict_without_torch"], printed), printed


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - {"add_a_head", "predict_without_torch"}))
def test_an_example_runs_and_makes_its_point(name: str, tmp_path: Path) -> None:
    printed = run_example(name, tmp_path)
    assert re.search(POINTS.get(name, r"\S"), printed), printed
    assert not list(tmp_path.iterdir())  # nothing is left behind
    if name == "calibrate_your_own_classifier":
        at_half, at_threshold = map(float, re.findall(r"(0\.\d+) at ", printed))
        assert at_threshold > at_half + 0.1
        (truth,), (raw,), (calibrated,), (recall,) = (
            [float(figure) for figure in re.findall(rf"{what} ([01]\.\d+)", printed)]
            for what in ("positives in the test", "raw", "calibrated", "test recall")
        )
        assert raw > truth + 0.1
        assert calibrated == pytest.approx(truth, abs=0.01)
        assert recall >= 0.9


def test_the_examples_are_listed() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((\w+)\.py\)", page)) == PROGRAMS
    assert POINTS.keys() <= set(PROGRAMS)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """What the docstrings call `workspace`: trained and exported."""
    heads = {
        "spot": head_recipe("spot"),
        "bar": head_recipe("bar"),
        "spot-small": head_recipe("spot", input={"size": 16}),
    }
    ensembles = {"all": {"heads": ["spot", "bar"], "mode": "multilabel"}}
    made = write_workspace(tmp_path_factory.mktemp("examples"), heads, ensembles=ensembles)
    assert [outcome.status for outcome in ova.train_heads(made)] == ["trained"] * 3
    ova.export(made, "all")
    return made


@pytest.mark.parametrize("name", slow_but(WITHOUT_WORKSPACE, PUBLIC))
def test_a_public_name_has_an_example_that_works(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {} if name in WITHOUT_WORKSPACE else {"workspace": request.getfixturevalue("workspace")}
    monkeypatch.chdir(tmp_path)
    value = getattr(ova, name)
    assert "Example:\n" in value.__doc__
    # It imports what it uses, so that it can be copied: nothing else of its module is known.
    (test,) = doctest.DocTestFinder(recurse=False).find(value, name, globs=known)
    assert test.examples
    told: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=told.append)
    assert not told, "".join(told)
