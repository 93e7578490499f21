"""Head recipes: every shipped one loads, and mistakes are told in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ova.data.recipe import DatasetRecipe
from ova.ensembles.recipe import EnsembleRecipe
from ova.errors import RecipeError
from ova.heads.recipe import HeadRecipe, step_table
from ova.recipes import check_recipe, load_recipe
from ova.scaffold.scaffold import quick_head

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted((ROOT / "heads").glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_head_loads_and_its_backbone_exists(path: Path) -> None:
    from ova.heads.network.backbones import classifier_keys

    recipe = load_recipe(path, HeadRecipe)
    keys = classifier_keys(recipe.backbone.name, channels=recipe.input.channels, size=recipe.input.shape)
    assert keys


def test_every_shipped_ensemble_names_shipped_heads() -> None:
    paths = sorted((ROOT / "ensembles").glob("*.toml"))
    assert paths
    for path in paths:
        for head in load_recipe(path, EnsembleRecipe).heads:
            assert (ROOT / "heads" / f"{head}.toml").is_file()
    load_recipe(ROOT / "data/dataset.toml", DatasetRecipe)


def test_the_documented_recipe_is_the_default() -> None:
    import tomllib

    page = (ROOT / "docs/recipes.md").read_text()
    documented = tomllib.loads(page.split("```toml\n")[1].split("```")[0])
    recipe = check_recipe(documented, HeadRecipe, "docs")
    plain = check_recipe({"label": "crack", "backbone": {"name": "resnet18"}}, HeadRecipe, "plain")
    assert recipe == plain


def test_what_init_writes_is_valid() -> None:
    check_recipe({"label": "x", **quick_head()}, HeadRecipe, "init")


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"backbone": {"name": "a", "pretrained": True, "weights": "b"}}, "two sources"),
        ({"backbone": {"name": "a", "unfreeze_epoch": 2}}, "freeze = true"),
        ({"training": {"schedule": "steps"}}, "need each other"),
        ({"training": {"steps": {"1-5": 0.1}}}, "need each other"),
        ({"training": {"schedule": "steps", "steps": {"5-1": 0.1}}}, "backwards"),
        ({"training": {"schedule": "steps", "steps": {"1-5": 0.1, "5-9": 0.1}}}, "overlap"),
        ({"training": {"schedule": "steps", "steps": {"first": 0.1}}}, "range of epochs"),
        ({"training": {"warmup_epochs": 2}}, "constant or cosine"),
        ({"training": {"epochs": "3"}}, "training.epochs"),
        ({"balance": {"pos_weight": 0}}, "above 0"),
        ({"balance": {"pos_weight": "many"}}, "pos_weight"),
        ({"balance": {"max_negatives": 5, "negatives_per_positive": 2.0}}, "two caps"),
        ({"balance": {"max_negatives": 2.5}}, "max_negatives"),
        ({"balance": {"rotate_negatives": False}}, "needs max_negatives"),
        ({"balance": {"pos_weight": 2.0, "pos_weight_cap": 10.0}}, "pos_weight_cap limits"),
        ({"balance": {"sampler": 0.5}}, "1 to 10000"),
        ({"balance": {"sampler": "all"}}, "sampler"),
        ({"balance": {"focal_gamma": 3.0}}, 'loss = "focal"'),
        ({"balance": {"loss": "focal", "asymmetric_clip": 0.1}}, 'loss = "asymmetric"'),
        ({"balance": {"augment_only": "minority"}}, "needs an augmentation"),
        ({"input": {"size": [32, 64]}, "scoring": {"views": "dihedral"}}, "square"),
        ({"input": {"size": 0}}, "1 to 4096"),
        ({"input": {"mean": [0.5, 0.5, 0.5]}}, "together"),
        ({"input": {"channels": 1, "mean": [0.5, 0.5], "std": [1, 1]}}, "needs 1 values"),
        ({"input": {"channels": 1, "mean": [0.5], "std": [0]}}, "above 0"),
    ],
)
def test_contradictions_are_told(sections: dict[str, dict[str, object]], told: str) -> None:
    content = {"label": "x", "backbone": {"name": "resnet18"}} | sections
    with pytest.raises(RecipeError, match=told):
        check_recipe(content, HeadRecipe, "heads/x.toml")


def test_calibration_is_no_part_of_what_needs_a_training() -> None:
    base = {"label": "x", "backbone": {"name": "resnet18"}}
    one = check_recipe(base, HeadRecipe, "one")
    other = check_recipe(base | {"calibration": {"method": "argmax"}}, HeadRecipe, "other")
    changed = check_recipe(base | {"training": {"seed": 1}}, HeadRecipe, "changed")
    assert one.training_digest() == other.training_digest() != changed.training_digest()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_a_step_table_is_read_back_whatever_the_order(lengths: list[int]) -> None:
    ranges, start = [], 1
    for length in lengths:
        ranges.append((start, start + length - 1, 10.0**-length))
        start += length + 1
    text = {f"{first}-{last}": rate for first, last, rate in reversed(ranges)}
    assert step_table(text) == ranges
