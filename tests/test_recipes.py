from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from ova.errors import RecipeError
from ova.recipes import Settings, check_recipe, load_recipe, nearest


class Inner(Settings):
    epochs: int = Field(default=3, ge=1)
    """How long."""
    rates: tuple[float, ...] = ()
    """Rate per epoch."""


class Choice(Settings):
    column: str | None = None
    """Where it stands."""


class Outer(Settings):
    label: str
    """Column of the label table."""
    kind: Literal["adam", "sgd"] = "adam"
    training: Inner = Inner()
    optional: Choice | None = None

    @model_validator(mode="after")
    def _check(self) -> Outer:
        if self.label == "none":
            raise ValueError("Label must not be none")
        return self


def refusal(content: dict) -> str:
    with pytest.raises(RecipeError) as caught:
        check_recipe(content, Outer, "heads/crack.toml")
    message = str(caught.value)
    assert message.startswith("heads/crack.toml: ")
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def test_settings_are_checked_and_frozen():
    recipe = check_recipe({"label": "crack", "training": {"epochs": 5, "rates": [0.1, 1]}}, Outer, "x")
    assert recipe == Outer(label="crack", training=Inner(epochs=5, rates=(0.1, 1.0)))
    with pytest.raises(ValidationError):
        recipe.label = "other"
    assert Outer.model_fields["label"].description == "Column of the label table."


def test_all_errors_come_at_once():
    message = refusal(
        {"kind": "rmsprop", "training": {"epochs": 0, "rates": "fast", "epoch": 3}, "lable": "crack", "x": 1}
    )
    for part in (
        "label is missing",
        "kind: input should be 'adam' or 'sgd', got 'rmsprop'",
        "training.epochs: input should be greater than or equal to 1, got 0",
        "training.rates: ",
        "training.epoch is not a setting; did you mean epochs?",
        "lable is not a setting; did you mean label?",
        "x is not a setting",
    ):
        assert part in message
    assert message.count("; ") >= 6


@pytest.mark.parametrize(
    "content",
    [
        {"label": 3},
        {"label": "crack", "training": {"epochs": "3"}},
        {"label": "crack", "training": {"epochs": 3.5}},
        {"label": "crack", "training": {"epochs": True}},
        {"label": "crack", "training": []},
        {"label": None},
    ],
)
def test_types_are_not_guessed(content):
    wrong = next(reversed(content))
    assert f"heads/crack.toml: {wrong}" in refusal(content)


def test_checks_of_the_whole_are_told_in_the_same_way():
    assert "recipe: label must not be none" in refusal({"label": "none"})


def test_keys_of_optional_tables_are_known_too():
    message = refusal({"label": "crack", "optional": {"colum": "a"}})
    assert "optional.colum is not a setting; did you mean column?" in message


def test_recipes_are_read_from_toml(tmp_path):
    path = tmp_path / "crack.toml"
    path.write_text('label = "Riß"\n[training]\nepochs = 2\nrates = [1e-3]\n', encoding="utf-8")
    assert load_recipe(path, Outer) == Outer(label="Riß", training=Inner(epochs=2, rates=(1e-3,)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"label = ", "is not TOML"),
        (b'label = "a"\nlabel = "b"\n', "is not TOML"),
        (b'label = "\xff"\n', "is not TOML"),
        (b"label = 2020-01-01\nkind = 1\n", "kind: "),
        (
            b'label = "a"\n[training]\nrates = [1.0, nan]\n',
            "training.rates.1: input should be a finite number",
        ),
        (b'label = "a"\n[training]\nrates = [inf]\n', "training.rates.0: input should be a finite number"),
    ],
)
def test_files_that_are_no_recipe_are_refused(tmp_path, content, reason):
    path = tmp_path / "crack.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"crack\.toml") as caught:
        load_recipe(path, Outer)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_recipe(tmp_path):
    with pytest.raises(RecipeError, match="is missing"):
        load_recipe(tmp_path / "none.toml", Outer)


def test_nearest():
    assert nearest("crak", ["crack", "inactive", "rack"]) == "; did you mean crack, rack?"
    assert nearest("zzz", ["crack"]) == ""
    assert nearest("resnet", [f"resnet{number}" for number in range(20)]).count(",") == 4
    assert nearest("resnet", (name for name in ["resnet1", "resnet2"]), limit=1) == "; did you mean resnet2?"
