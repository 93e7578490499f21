from __future__ import annotations

from pathlib import Path

import pytest

from ova.ensembles.recipe import EnsembleRecipe, read_ensemble_recipe
from ova.errors import RecipeError
from ova.recipes import check_recipe, load_recipe
from ova.workspace import Workspace


def test_defaults(tmp_path: Path) -> None:
    file = tmp_path / "solar-cell.toml"
    file.write_text('heads = ["inactive", "crack"]\n')
    recipe = load_recipe(file, EnsembleRecipe)
    assert recipe.heads == ("inactive", "crack")
    assert (recipe.mode, recipe.none_prior, recipe.output_names) == ("multilabel", None, {})


def test_everything_set() -> None:
    content = {
        "heads": ["a", "b-2"],
        "mode": "argmax",
        "none_prior": 0.7,
        "output_names": {"a": "Crack (µ)"},
    }
    recipe = check_recipe(content, EnsembleRecipe, "x.toml")
    assert recipe.none_prior == 0.7
    assert recipe.output_names == {"a": "Crack (µ)"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"heads": []}, ["heads"]),
        ({"heads": ["a", "b", "a"]}, ["a is named twice"]),
        ({"heads": ["../a", "B"]}, ["'../a' is not a name", "'B' is not a name"]),
        ({"heads": ["a"], "mode": "softmax"}, ["mode", "softmax"]),
        ({"heads": ["a"], "none_prior": 0.5}, ["none_prior is used only"]),
        ({"heads": ["a"], "abstain_below": 0.5}, ["abstain_below is used only"]),
        ({"heads": ["a"], "coupling": "margin"}, ["coupling is used only"]),
        ({"heads": ["a", "b"], "mode": "argmax", "exclusive": [["a", "b"]]}, ["exclusive is used only"]),
        ({"heads": ["ab", "b"], "exclusive": [["abc", "b"], ["b"]]}, ["did you mean ab", "two or more"]),
        ({"heads": ["a"], "mode": "argmax", "none_prior": 0.0}, ["none_prior"]),
        ({"heads": ["a"], "mode": "argmax", "none_prior": 1.0}, ["none_prior"]),
        ({"heads": ["crack"], "output_names": {"crak": "x"}}, ["crak is not one", "did you mean crack?"]),
        ({"heads": ["a", "b"], "output_names": {"a": "x", "b": "x"}}, ["same text"]),
        ({"heads": ["a"], "output_names": {"a": ""}}, ["a is empty"]),
        ({"heads": ["a"], "moed": "argmax"}, ["moed is not a setting", "did you mean mode?"]),
        ({}, ["heads is missing"]),
    ],
)
def test_refused_in_one_line(content: dict, words: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        check_recipe(content, EnsembleRecipe, "x.toml")
    text = str(caught.value)
    assert text.startswith("x.toml: ")
    assert "\n" not in text
    for word in words:
        assert word in text


def test_an_unknown_ensemble_names_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "ensembles").mkdir()
    (tmp_path / "ensembles" / "solar-cell.toml").write_text('heads = ["crack"]\n')
    assert read_ensemble_recipe(Workspace(tmp_path), "solar-cell").heads == ("crack",)
    with pytest.raises(RecipeError, match="did you mean solar-cell"):
        read_ensemble_recipe(Workspace(tmp_path), "solar-cells")
    with pytest.raises(RecipeError, match="there are: solar-cell"):
        read_ensemble_recipe(Workspace(tmp_path), "x")
