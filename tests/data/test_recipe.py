from __future__ import annotations

import pytest

from ova.data.recipe import DatasetRecipe, SplitRecipe
from ova.errors import RecipeError
from ova.recipes import check_recipe


def test_recipe_defaults():
    recipe = check_recipe({"labels": "data.csv", "drop_classes": ["a"]}, DatasetRecipe, "dataset.toml")
    assert (recipe.root, recipe.format, recipe.delimiter, recipe.drop_classes) == (
        ".",
        "wide",
        "auto",
        ("a",),
    )
    assert recipe.split == SplitRecipe(seed=0, test=0.2, validation=0.2)
    assert SplitRecipe(folds=5).validation is None


def test_recipe_errors_come_all_at_once():
    content = {
        "format": "folders",
        "labels": "a.csv",
        "delimiter": ",,",
        "class_column": "x",
        "label_columns": ["a"],
    }
    with pytest.raises(RecipeError) as caught:
        check_recipe(content, DatasetRecipe, "dataset.toml")
    for reason in [
        "labels names a table",
        "delimiter must be",
        "class_column is for",
        "label_columns is for",
    ]:
        assert reason in str(caught.value)
    content = {
        "group": {"pattern": "("},
        "split": {"folds": 1, "test": 1.0},
        "white_level": 0,
        "lables": "a.csv",
    }
    with pytest.raises(RecipeError) as caught:
        check_recipe(content, DatasetRecipe, "dataset.toml")
    for reason in [
        "group: ",
        "split.folds: ",
        "split.test: ",
        "white_level: ",
        "lables is not a setting; did you mean",
    ]:
        assert reason in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"labels": "a", "split": {"validation": 0.2, "folds": 3}},
        {"labels": "a", "split": {"validation": 0.5, "test": 0.5}},
        {"labels": "a", "group": {}},
        {"labels": "a", "group": {"column": "g", "pattern": "p"}},
        {"labels": "a", "label_columns": []},
        {"labels": "a", "label_columns": ["a", "a"]},
        {"labels": "a", "white_level": 65536},
        {"labels": "a", "delimiter": "\n"},
        {"format": "folders", "group": {"column": "g"}},
    ],
)
def test_recipe_contradictions(content):
    with pytest.raises(RecipeError):
        check_recipe(content, DatasetRecipe, "dataset.toml")
