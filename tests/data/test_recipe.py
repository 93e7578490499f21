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


def test_one_may_stand_for_a_list():
    one = check_recipe(
        {"labels": "a.csv", "format": "long", "class_column": "c"}, DatasetRecipe, "dataset.toml"
    )
    assert (one.labels, one.class_column, one.label_names) == (("a.csv",), ("c",), None)
    content = {
        "labels": ["a.csv", "b.csv"],
        "label_names": "names.txt",
        "soft": {"positive_from": 1, "negative_to": 0},
    }
    several = check_recipe(content, DatasetRecipe, "dataset.toml")
    assert (several.labels, several.label_names) == (("a.csv", "b.csv"), {"": "names.txt"})


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
        {"labels": []},
        {"labels": ["a", 1]},
        {"labels": ["a", "a"]},
        {"labels": "a", "format": "long", "class_column": ["c", "c"]},
        {"labels": "a", "format": "long", "class_column": ["c", "d"], "label_names": {"e": "f"}},
        {"labels": "a", "label_names": {"e": "f"}},
        {"labels": "a", "label_names": 1},
        {"labels": "a", "soft": {}},
        {"labels": "a", "soft": {"positive_from": 0.5, "negative_to": 0.5}},
        {"labels": "a", "soft": {"positive_from": 0.4, "negative_to": 0.6}},
        {"labels": "a", "soft": {"positive_from": 1.1, "negative_to": 0.5}},
        {"labels": "a", "soft": {"positive_from": 0.5, "negative_to": -0.1}},
        {"labels": "a", "format": "long", "soft": {"positive_from": 0.6, "negative_to": 0.4}},
        {"labels": "a", "fraction": 0.0},
        {"labels": "a", "fraction": 1.1},
        {"labels": "a", "allow_missing": -1},
        {"format": "folders", "allow_missing": 1},
    ],
)
def test_recipe_contradictions(content):
    with pytest.raises(RecipeError):
        check_recipe(content, DatasetRecipe, "dataset.toml")
