"""What has to be changed together, and is not held by other tests: code, docs and the lists of the tests.

docs/development.md has the table of touch points. Each test here takes both sides from where they are said.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
import typer
from scored import Scored

import ova
from ova.cli.app import app
from ova.data.augment.recipe import AugmentSettings
from ova.data.labels.read import read_label_table
from ova.data.labels.table import LabelTable
from ova.data.recipe import DatasetRecipe, SplitRecipe
from ova.data.split import stored
from ova.data.split.split import TEST, make_split
from ova.ensembles.recipe import EnsembleRecipe, Mode
from ova.ensembles.rule import fit_rule as rules
from ova.ensembles.rule.matrix_scaling import Scaled
from ova.ensembles.rule.numpy_rule import Decided, decide
from ova.ensembles.rule.rule import Affine, Coupling, Rule, Stack, plain_rule
from ova.ensembles.rule.torch_rule import Decision
from ova.ensembles.runtime import manifest
from ova.errors import RecipeError
from ova.heads.calibration.calibrate_scores import calibrate_scores
from ova.heads.calibration.calibrators import choose_calibrator
from ova.heads.calibration.calibrators.curve import CURVE_KINDS
from ova.heads.calibration.ranking import Ranking
from ova.heads.network.head import Views
from ova.heads.recipe import METHODS, BalanceSettings, CalibrationSettings, HeadRecipe, ScoringSettings
from ova.heads.scores import Scores
from ova.heads.threshold_objectives import Objective, parse_objective
from ova.heads.training.losses import training_loss
from ova.heads.training.pos_weight import plan_balance
from ova.heads.tune.space import SpaceSettings
from ova.recipes import Settings, check_recipe
from ova.scaffold.dataset_settings import RawData, data_settings

ROOT = Path(__file__).parents[1]
PACKAGE = Path(ova.__file__).parent
RECIPES = (HeadRecipe, EnsembleRecipe, DatasetRecipe, SpaceSettings)
# What commands write, and docs/development.md names.
WRITTEN = {"scores.csv", "test.csv", "calibration.json", "head.json", "runs/images.csv", "runs/heads/"}


@cache
def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def said_in(file: str, variable: str) -> set[Any]:
    """Constants and names of keywords in what a module of the repository assigns to a variable."""
    for node in tree_of(ROOT / file).body:
        if isinstance(node, ast.Assign) and variable in map(ast.unparse, node.targets):
            inner = list(ast.walk(node.value))
            words = {each.value for each in inner if isinstance(each, ast.Constant)}
            return words | {each.arg for each in inner if isinstance(each, ast.keyword)}
    raise AssertionError(f"{file} has no {variable}")


def options_of(settings: type[Settings], name: str) -> set[str]:
    """What the Literal of a setting allows, as text."""

    def allowed(kind: Any) -> Iterator[str]:
        for part in get_args(kind):
            if get_origin(kind) is Literal:
                yield str(part)
            else:
                yield from allowed(part)

    return set(allowed(settings.model_fields[name].annotation))


def settings_of(recipe: type[Settings], table: str = "") -> dict[str, tuple[type[Settings], str]]:
    """Every setting of a recipe by its dotted name, and the class and name by which it is declared."""
    found: dict[str, tuple[type[Settings], str]] = {}
    for name, field in recipe.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Settings)), None)
        found |= settings_of(inner, f"{table}{name}.") if inner else {f"{table}{name}": (recipe, name)}
    return found


# Settings


def told_settings(block: str) -> dict[str, str]:
    """Settings of a block of TOML, commented out or not, by dotted name: their line and those below it."""
    table, name, found = "", "", dict[str, str]()
    for line in block.splitlines():
        text = line.strip().removeprefix("# ")
        if header := re.match(r"\[(\w+)\]", text):
            table = f"{header[1]}."
        elif setting := re.match(r"(\w+) = ", text):
            name = table + setting[1]
            found[name] = text
        elif name:
            found[name] += f"\n{text}"
    return found


def block_of(name: str, holding: str) -> str:
    blocks = re.findall(r"```toml\n(.*?)```", page(name), re.DOTALL)
    return next(block for block in blocks if holding in block)


BLOCKS = {
    HeadRecipe: block_of("docs/recipes.md", "[backbone]"),
    EnsembleRecipe: block_of("docs/recipes.md", "coupling = "),
    SpaceSettings: block_of("docs/tuning.md", "backbones = "),
}


@pytest.mark.parametrize("recipe", BLOCKS)
def test_every_setting_is_in_the_docs_and_no_other(recipe: type[Settings]) -> None:
    assert told_settings(BLOCKS[recipe]).keys() == settings_of(recipe).keys()


def test_every_setting_of_a_dataset_is_in_the_docs() -> None:
    text = page("data/README.md") + page("docs/data.md")
    names = {name.rpartition(".")[2] for name in settings_of(DatasetRecipe)}
    assert not {name for name in names if not re.search(rf"`{name}`|\b{name} = ", text)}


@pytest.mark.parametrize("recipe", [HeadRecipe, EnsembleRecipe])
def test_the_defaults_in_the_docs_are_those_of_the_code(recipe: type[Settings]) -> None:
    written = check_recipe(tomllib.loads(BLOCKS[recipe]), recipe, "docs").model_dump()
    required = {name: written[name] for name, field in recipe.model_fields.items() if field.is_required()}
    if recipe is HeadRecipe:
        required["backbone"] = {"name": written["backbone"]["name"]}
    assert written == recipe.model_validate(required).model_dump()


@pytest.mark.parametrize("recipe", BLOCKS)
def test_every_choice_of_a_setting_is_in_the_docs(recipe: type[Settings]) -> None:
    told, missing = told_settings(BLOCKS[recipe]), set()
    for name, (owner, setting) in settings_of(recipe).items():
        options = options_of(owner, setting)
        if recipe is SpaceSettings:  # what the recipe itself says is always among the choices
            options -= {"recipe"}
        words = set(re.findall(r"[\w+-]+", told[name]))
        missing |= {f"{name} = {option}" for option in options - words}
    assert not missing


@cache
def code_without_recipes() -> str:
    files = [file for file in sorted(PACKAGE.rglob("*.py")) if file.name != "recipe.py"]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_setting_is_read_and_described(recipe: type[Settings]) -> None:
    found = settings_of(recipe)
    assert not [name for name, (owner, last) in found.items() if not owner.model_fields[last].description]
    names = {name: name.rpartition(".")[2] for name in found}
    unread = {name for name, last in names.items() if not re.search(rf"\.{last}\b", code_without_recipes())}
    assert not unread


def test_lists_that_are_said_twice_are_the_same() -> None:
    assert options_of(EnsembleRecipe, "coupling") - {"auto"} == set(get_args(Coupling))
    assert options_of(ScoringSettings, "views") == set(get_args(Views))
    modes = set(get_args(Mode))
    assert set(get_args(get_type_hints(manifest.Manifest)["mode"])) == modes == manifest.OUTPUT_NAMES.keys()


# A loss


def test_every_loss_is_computed_told_and_tried() -> None:
    losses = options_of(BalanceSettings, "loss")
    draw = np.random.default_rng(0)
    logits, labels = torch.from_numpy(draw.normal(0, 2, 64)).float(), torch.arange(64).remainder(2).float()
    values = {
        loss: float(training_loss(logits, labels, 2.0, BalanceSettings(loss=loss)))  # type: ignore[arg-type]
        for loss in losses
    }
    assert len(set(values.values())) == len(losses)
    for loss in losses - {"bce"}:
        lines = plan_balance([1] * 9 + [0] * 91, BalanceSettings(loss=loss)).lines  # type: ignore[arg-type]
        assert [line for line in lines if line.startswith(f"loss: {loss}")]
    assert losses <= said_in("tests/heads/training/test_losses.py", "SETTINGS")


# A threshold rule, a calibrator, an objective


def scores_of(rows: int = 300, share: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    labels = (draw.random(rows) < share).astype(np.int8)
    return draw.normal(2.0 * labels - 1.0, 1.0 + 0.5 * labels), labels


def test_every_threshold_rule_is_its_own_and_measured() -> None:
    logits, labels = scores_of()
    thresholds = {
        method: calibrate_scores(logits, labels, pos_weight=3.0, method=method).threshold
        for method in METHODS
    }
    assert len(set(thresholds.values())) == len(METHODS)
    assert said_in("benchmarks/threshold_measures.py", "RULES") == set(METHODS)
    assert not [method for method in METHODS if f'"{method}"' not in page("docs/calibration.md")]


def test_every_calibrator_is_fitted_known_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: dict[str, Any] = {}
    fit = choose_calibrator._fit

    def keep(kind: str, blocks: Any) -> Any:
        fitted[kind] = fit(kind, blocks)
        return fitted[kind]

    monkeypatch.setattr(choose_calibrator, "_fit", keep)
    many = choose_calibrator.FEWEST_FOR_ISOTONIC
    choose_calibrator.choose_curve(Ranking.of(*scores_of(3 * many, 0.5)))
    assert fitted.keys() == {"line", *CURVE_KINDS}
    for kind in CURVE_KINDS:
        curve = fitted[kind][1]
        assert curve is not None, kind
        assert (curve.kind, curve.problems()) == (kind, [])
        assert re.search(rf"\b{kind}\b", page("docs/calibration.md"))


def kind_of(objective: Objective) -> tuple[str, str]:
    return type(objective).__name__, getattr(objective, "of", "")


def kinds_in(texts: list[str]) -> set[tuple[str, str]]:
    found = set()
    for text in texts:
        try:
            found.add(kind_of(parse_objective(text)))
        except RecipeError:
            continue
    return found


def test_every_objective_is_told_and_goes_through_every_rule() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_objective("nothing")
    forms = str(caught.value).rpartition("one of: ")[2].split(", ")
    kinds = {kind_of(parse_objective(form)) for form in forms}
    assert {kind for kind, _ in kinds} == {kind.__name__ for kind in get_args(Objective)}
    assert kinds_in(re.findall(r'"([^"\n]+)"', page("docs/calibration.md"))) == kinds
    in_recipe = told_settings(BLOCKS[HeadRecipe])["calibration.objective"]
    assert kinds_in(re.split(r"[\"#,] *", in_recipe)) == kinds

    logits, labels = scores_of()
    promises = {"Floor", "Budget"}
    for form in forms:
        promise = kind_of(parse_objective(form))[0] in promises
        for method in ("auto",) if promise else METHODS:
            found = calibrate_scores(logits, labels, objective=form, method=method)
            assert found.objective == form
            assert np.isfinite(found.threshold)
        if kind_of(parse_objective(form))[0] != "Budget":  # which rows of another prior cannot keep
            assert calibrate_scores(logits, labels, objective=form, prior=0.05).prior == 0.05


# An augmentation


def test_every_augmentation_is_tried_with_all_others_and_at_its_limits() -> None:
    names = set(AugmentSettings.model_fields)
    assert said_in("tests/data/augment/test_augment.py", "EVERYTHING") >= names - {"crop_aspect"}
    switches = {name for name in names if AugmentSettings.model_fields[name].annotation is bool}
    ranges = said_in("tests/data/augment/test_recipe.py", "RANGES")
    assert ranges >= names - switches - {"crop_aspect"}


# A form of labels


def wide(root: Path) -> tuple[dict[str, Any], RawData]:
    (root / "table.csv").write_text("image,cat,dog\na.png,1,0\nb.png,0,1\n")
    return {"labels": "table.csv"}, RawData(labels=[root / "table.csv"])


def long(root: Path) -> tuple[dict[str, Any], RawData]:
    (root / "table.csv").write_text("image,class\na.png,cat\nb.png,dog\n")
    return {"labels": "table.csv"}, RawData(labels=[root / "table.csv"], class_columns=["class"])


def folders(root: Path) -> tuple[dict[str, Any], RawData]:
    for image in (root / "cat/a.png", root / "dog/b.png"):
        image.parent.mkdir()
        image.touch()
    return {}, RawData(images=root)


FORMS: dict[str, Callable[[Path], tuple[dict[str, Any], RawData]]] = {
    "wide": wide,
    "long": long,
    "folders": folders,
}


def test_every_form_of_labels_has_an_example() -> None:
    assert FORMS.keys() == options_of(DatasetRecipe, "format")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_labels_is_read_written_and_told(form: str, tmp_path: Path) -> None:
    """A cat and a dog, said in every form."""
    root = tmp_path / "raw"
    root.mkdir()
    settings, raw = FORMS[form](root)
    recipe = check_recipe({**settings, "format": form}, DatasetRecipe, "dataset.toml")
    table = read_label_table(recipe, root)
    assert (table.labels, table.values.tolist()) == (("cat", "dog"), [[1, 0], [0, 1]])
    assert data_settings(tmp_path / "workspace", raw)[0].get("format", "wide") == form
    assert f"**{form}**" in page("data/README.md")


# A split rule


def test_every_setting_of_a_split_is_followed_and_stored_for_what_it_decides() -> None:
    draw = np.random.default_rng(0)
    values = np.stack([draw.random(200) < 0.3, np.arange(200) < 6], axis=1).astype(np.int8)
    images = tuple(f"{row:04d}.png" for row in range(200))
    table = LabelTable(images, ("often", "rarely"), values, images)

    def parts(**settings: Any) -> Mapping[str, str]:
        return make_split(table, {image: image for image in images}, SplitRecipe(**settings)).part_of

    other = {
        "seed": 1,
        "test": 0.3,
        "test_per_class": 3,
        "validation": 0.3,
        "folds": 4,
        "min_positives": 0,
    }
    assert other.keys() == SplitRecipe.model_fields.keys()
    usual = parts()
    tested = {image for image, part in usual.items() if part == TEST}
    for name, value in other.items():
        found = parts(**{name: value})
        assert found != usual, name
        moved = {image for image, part in found.items() if part == TEST} != tested
        assert moved == (name in stored._OF_TEST), name


# A rule between heads

NAMES = ("a", "b", "c")
HEADS = [SimpleNamespace(slope=1.0 + row / 4, intercept=-0.5, curve=None, prior=0.2) for row in range(3)]
LOGITS = np.random.default_rng(1).normal(0, 2, (300, 3)).astype(np.float32)
MATRIX = Affine(
    ((1.0, -0.5, 0.0), (0.25, 0.9, 0.0), (0.0, 0.5, 1.1), (-0.3, 0.0, 0.1)),
    (0.1, 0.2, 0.3, 0.4),
)
# What each field of a rule changes; the others are words.
CHANGES: dict[str, dict[str, Any]] = {
    "thresholds": {"thresholds": (0.5, 0.25, -0.5)},
    "stack": {"stack": Stack(("b",), Affine(((1, 0, 0), (0.5, 0.9, -0.25), (0, 0, 1)), (0, 0.5, 0)))},
    "exclusive": {"exclusive": (("a", "b"), ("b", "c"))},
    "coupling": {"coupling": "margin"},
    "matrix": {"coupling": "matrix", "matrix": MATRIX},
    "abstain_below": {"abstain_below": 0.6},
}
WORDS = {"objective", "notes", "recipe_digest"}


def agreed(rule: Rule) -> Decided:
    """What a rule answers in numpy, after torch has answered the same."""
    wanted = decide(HEADS, NAMES, rule, 0.5, LOGITS)
    with torch.inference_mode():
        found = [each.numpy() for each in Decision(HEADS, NAMES, rule, 0.5)(torch.from_numpy(LOGITS))]
    clear = wanted.slack > 1e-5
    assert clear.mean() > 0.9
    np.testing.assert_allclose(found[0], 1 / (1 + np.exp(-wanted.log_odds)), atol=1e-6)
    np.testing.assert_array_equal(found[1][clear], wanted.decisions[clear])
    assert wanted.scores is not None
    assert wanted.choice is not None
    np.testing.assert_allclose(found[2], wanted.scores, atol=1e-5)
    np.testing.assert_allclose(found[3], wanted.posterior, atol=1e-6)
    np.testing.assert_array_equal(found[4][clear], wanted.choice[clear])
    return wanted


@pytest.mark.parametrize("name", CHANGES)
def test_every_part_of_a_rule_is_the_same_in_numpy_and_torch(name: str) -> None:
    assert CHANGES.keys() | WORDS == {field.name for field in fields(Rule)}
    plain = plain_rule((0.0, 0.0, 0.0), "argmax")
    usual, changed = agreed(plain), agreed(replace(plain, **CHANGES[name]))
    answers = ("log_odds", "decisions", "scores", "posterior", "choice")
    assert [each for each in answers if not np.array_equal(getattr(usual, each), getattr(changed, each))]


def test_every_coupling_is_fitted_and_differs_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    # That of test_matrix_scaling.py takes seconds on a busy machine.
    monkeypatch.setattr(rules, "fit_matrix", lambda *_, **__: Scaled(MATRIX, "a matrix"))
    logits, labels = zip(*(scores_of(200, 0.2, seed) for seed in range(3)), strict=True)
    labels = [label * (np.arange(200) % 3 == row) for row, label in enumerate(labels)]  # one class at most
    images = tuple(f"{row:03d}" for row in range(200))
    heads = []
    for name, own, truth in zip(NAMES, logits, labels, strict=True):
        scores = Scores(images, truth.astype(np.int8), own)
        heads.append(Scored(name, calibrate_scores(own, truth), CalibrationSettings(), scores))
    calibrations, answers = [head.calibration for head in heads], []
    for coupling in get_args(Coupling):
        rule = rules.fit_rule(EnsembleRecipe(heads=NAMES, mode="argmax", coupling=coupling), heads, 0.5)
        assert rule.coupling == coupling
        answers.append(decide(calibrations, NAMES, rule, 0.5, LOGITS).scores)
    for place, one in enumerate(answers):
        assert not [other for other in answers[:place] if np.allclose(one, other)], get_args(Coupling)[place]


# What an export writes


def test_every_file_and_output_of_an_export_is_in_the_docs() -> None:
    text = page("docs/model.md")
    files = {value for name, value in vars(manifest).items() if name.endswith("_FILE")}
    assert not {file for file in files if f"`{file}`" not in text}
    outputs = {manifest.INPUT_NAME, *(name for names in manifest.OUTPUT_NAMES.values() for name in names)}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == outputs


# A command


def commands() -> set[str]:
    """All commands without `ova`: `train`, `data check`, ..."""
    group = typer.main.get_command(app)
    found = set[str]()
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found |= {name} if inner is None else {f"{name} {each}" for each in inner}
    return found


def commands_of_readme() -> set[str]:
    """Those of the table; in a cell, what follows the first name stands beside it: `ova data check`, `clean`."""
    found = set[str]()
    for cell in re.findall(r"^\| (`ova .*?) \|", page("README.md"), re.MULTILINE):
        codes = [re.sub(r"\[.*?\]", "", code) for code in re.findall(r"`(.*?)`", cell)]
        words = [re.findall(r"(?<![-.\w])[a-z]+\b", code) for code in codes]
        first = words[0][1:]
        found |= {" ".join(first), *(" ".join([*first[:-1], *rest]) for rest in words[1:])}
    return found


def test_every_command_is_in_the_table_of_the_readme() -> None:
    assert commands_of_readme() <= commands()
    assert commands() - commands_of_readme() == set()


def typed_by_tests() -> Iterator[str]:
    """The fixed words of every list and every call in tests of the command line, between spaces."""
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if file.name != Path(__file__).name]
    for file in [file for file in files if "run_cli" in file.read_text(encoding="utf-8")]:
        for node in ast.walk(tree_of(file)):
            parts = getattr(node, "args", None) if isinstance(node, ast.Call) else getattr(node, "elts", None)
            if isinstance(parts, list):
                words = [each.value for each in parts if isinstance(each, ast.Constant)]
                yield f" {' '.join(map(str, words))} "


def test_every_command_is_typed_by_a_test() -> None:
    lines = list(typed_by_tests())
    assert not {command for command in commands() if not any(f" {command} " in line for line in lines)}


# A public name


def test_a_public_name_is_said_wherever_it_has_to_be() -> None:
    homes = ova._HOME_OF
    assert ova.__all__ == sorted([*homes, "__version__"])
    typed = {}
    for node in ast.walk(tree_of(PACKAGE / "__init__.py")):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ova."):
            typed |= {name.asname: node.module for name in node.names}
    assert typed == homes
    for name, home in homes.items():
        assert name in defined_in(ROOT / f"{home.replace('.', '/')}.py")


# A version


def test_the_version_is_the_same_everywhere() -> None:
    assert re.search(r"^version: (.+)$", page("CITATION.cff"), re.MULTILINE)[1] == ova.__version__  # type: ignore[index]
    assert re.search(r"^## (\S+)", page("CHANGELOG.md"), re.MULTILINE)[1] == ova.__version__  # type: ignore[index]


# docs/development.md


@cache
def defined_in(file: Path) -> set[str]:
    """Names that a module defines, with `Class.method`."""
    found = set[str]()
    for node in tree_of(file).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
            inner = node.body if isinstance(node, ast.ClassDef) else ()
            found |= {f"{node.name}.{each.name}" for each in inner if isinstance(each, ast.FunctionDef)}
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def place_of(path: str) -> Path:
    """The file or folder that the page means: below `ova/` or the repository, a bare name anywhere in them."""
    places = [PACKAGE / path, ROOT / path, ROOT / "benchmarks" / path]
    if "/" not in path.rstrip("/"):
        places += PACKAGE.rglob(path.rstrip("/"))
    return next((place for place in places if place.exists()), ROOT / path)


def test_the_page_for_developers_names_what_exists() -> None:
    text = re.sub(r"\s+", " ", page("docs/development.md"))
    paths = set(re.findall(r"`([\w./-]+(?:\.(?:py|md|toml|csv|json|cff)|/))`", text))
    assert len(paths) > 100
    assert not {path for path in paths if not place_of(path).exists()} - WRITTEN
    lives = re.findall(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)", text)
    named = {(path, name) for path, names in lives for name in re.findall(r"`([\w.]+)`", names)}
    assert len(named) > 80
    assert not {(path, name) for path, name in named if name not in defined_in(place_of(path))}


def test_the_page_for_developers_names_tests_and_benchmarks_that_exist() -> None:
    text = page("docs/development.md")
    tests = {name for file in (ROOT / "tests").rglob("test_*.py") for name in names_of_tests(file)}
    assert not set(re.findall(r"`(test_\w+)`", text)) - tests
    scripts = {file.name for file in (ROOT / "benchmarks").glob("*.py") if "__main__" in file.read_text()}
    assert not {name for name in scripts if f"`{name}`" not in text}
    table = text.partition("## Touch points")[2].partition("\n## ")[0]
    own = {name for name in names_of_tests(Path(__file__)) if "page_for_developers" not in name}
    assert not {name for name in own if f"`{name}`" not in table}


@cache
def names_of_tests(file: Path) -> frozenset[str]:
    return frozenset(re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))
