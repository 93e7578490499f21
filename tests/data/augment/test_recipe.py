"""What a recipe may say of augmentation, and how it is told what it may not."""

from __future__ import annotations

import pytest

from ova.data.augment.recipe import AugmentSettings
from ova.errors import RecipeError
from ova.recipes import check_recipe

# (smallest, largest) that is allowed
RANGES = {
    "shift": (0, 0.5), "rotation": (0, 180), "scale": (0, 0.5), "shear": (0, 45), "perspective": (0, 0.4),
    "crop": (0.05, 1), "exposure": (0, 1), "brightness": (0, 1), "contrast": (0, 1), "saturation": (0, 1),
    "hue": (0, 0.5), "blur": (0, 10), "sharpness": (0, 1), "noise": (0, 0.5), "erasing": (0, 0.5),
}  # fmt: skip


def test_everything_is_off_unless_said():
    options = AugmentSettings()
    assert (options.flips, options.quarter_turns, options.resamples) == (False, False, False)
    assert [name for name in RANGES if getattr(options, name)] == ["crop"]
    assert options.crop == 1


@pytest.mark.parametrize("name", RANGES)
def test_strengths_have_a_range(name):
    low, high = RANGES[name]
    for allowed in (low, high):
        assert getattr(check_recipe({name: allowed}, AugmentSettings, "a.toml"), name) == allowed
    for refused in (low - 0.01, high + 0.01, True, "0.1", None):
        with pytest.raises(RecipeError, match=rf"^a\.toml: {name}: [^\n]*$"):
            check_recipe({name: refused}, AugmentSettings, "a.toml")


@pytest.mark.parametrize("content", [{"flips": 1}, {"quarter_turns": "yes"}])
def test_switches_are_true_or_false(content):
    with pytest.raises(RecipeError, match="valid boolean"):
        check_recipe(content, AugmentSettings, "a.toml")


def test_the_form_of_a_crop_needs_a_crop():
    with pytest.raises(RecipeError, match=r"crop_aspect needs crop below 1"):
        check_recipe({"crop_aspect": 2.0}, AugmentSettings, "a.toml")
    assert check_recipe({"crop": 0.2, "crop_aspect": 1.0}, AugmentSettings, "a.toml").crop_aspect == 1


def test_all_problems_are_told_at_once_and_the_setting_that_was_meant():
    with pytest.raises(RecipeError) as caught:
        check_recipe({"rotate": 45, "noise": 5, "hue": -1}, AugmentSettings, "a.toml")
    message = str(caught.value)
    assert "rotate is not a setting; did you mean rotation" in message
    assert "noise: " in message
    assert "hue: " in message


def test_a_stored_recipe_reads_back():
    for options in (AugmentSettings(), AugmentSettings(crop=0.5, crop_aspect=2), AugmentSettings(rotation=9)):
        assert AugmentSettings.model_validate_json(options.model_dump_json()) == options
