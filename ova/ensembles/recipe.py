"""The recipe of an ensemble: which heads, in what order, by which rule.

heads = ["crack", "inactive"]
mode = "multilabel"
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ova.errors import RecipeError
from ova.recipes import Settings, load_named, nearest
from ova.workspace import Workspace, slug

Mode = Literal["multilabel", "argmax"]


class EnsembleRecipe(Settings):
    """Settings of `ensembles/NAME.toml`."""

    heads: tuple[str, ...] = Field(min_length=1, max_length=4096)
    """Names of the heads; their order is the order of outputs, and decides ties in argmax mode."""

    mode: Mode = "multilabel"
    """`multilabel`: every head against its own threshold. `argmax`: one class per image, or none."""

    none_prior: float | None = Field(default=None, gt=0, lt=1)
    """Share of images that show none of the labels (argmax only); by default counted on calibration rows."""

    output_names: dict[str, str] = Field(default_factory=dict)
    """Head name -> text of its output, where that is not the label of the head's own recipe."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = _head_problems(self.heads)
        problems += [
            f"output_names: {name} is not one of the heads{nearest(name, self.heads)}"
            for name in self.output_names
            if name not in self.heads
        ]
        problems += [f"output_names: {name} is empty" for name, text in self.output_names.items() if not text]
        if len(set(self.output_names.values())) < len(self.output_names):
            problems.append("output_names: two heads have the same text")
        if self.mode != "argmax" and self.none_prior is not None:
            problems.append('none_prior is used only with mode = "argmax"')
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_ensemble_recipe(workspace: Workspace, name: str) -> EnsembleRecipe:
    """Read `ensembles/NAME.toml`.

    Raises:
        RecipeError: There is no such ensemble, or its recipe is wrong.
    """
    return load_named(workspace.ensemble_recipe(name), EnsembleRecipe, "ensemble", workspace.ensemble_names())


def _head_problems(heads: tuple[str, ...]) -> list[str]:
    problems = []
    for name in heads:
        try:
            slug(name)
        except RecipeError as error:
            problems.append(str(error))
    twice = sorted({name for name in heads if heads.count(name) > 1})
    return problems + [f"heads: {name} is named twice" for name in twice]
