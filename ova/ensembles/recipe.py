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

    objective: Literal["own", "micro-f1"] = "own"
    """`own`: each head's threshold is its own. `micro-f1`: set together, for the F1 of all labels pooled."""

    exclusive: tuple[tuple[str, ...], ...] = ()
    """Groups of heads of which at most one may fire, as `[["normal", "crack"]]`; multilabel only."""

    stacking: Literal["auto", "off"] = "off"
    """`auto`: a head also listens to the others where that is proven to help on calibration rows."""

    coupling: Literal["auto", "odds", "matrix", "margin"] = "auto"
    """How argmax compares heads: odds, a learnt matrix, margins; auto: odds unless a matrix is better."""

    abstain_below: float | None = Field(default=None, gt=0, lt=1)
    """Make no choice if the chosen class is less probable than this (argmax only)."""

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
        if self.mode != "argmax" and self.abstain_below is not None:
            problems.append('abstain_below is used only with mode = "argmax"')
        if self.mode != "argmax" and self.coupling != "auto":
            problems.append('coupling is used only with mode = "argmax"')
        problems += _group_problems(self.exclusive, self.heads)
        if self.mode == "argmax" and self.exclusive:
            problems.append(
                'exclusive is used only with mode = "multilabel"; argmax chooses one class anyway'
            )
        if problems:
            raise ValueError("; ".join(problems))
        return self


def read_ensemble_recipe(workspace: Workspace, name: str) -> EnsembleRecipe:
    """Read `ensembles/NAME.toml`.

    Raises:
        RecipeError: There is no such ensemble, or its recipe is wrong.
    """
    return load_named(workspace.ensemble_recipe(name), EnsembleRecipe, "ensemble", workspace.ensemble_names())


def _group_problems(groups: tuple[tuple[str, ...], ...], heads: tuple[str, ...]) -> list[str]:
    problems = []
    for group in groups:
        problems += [
            f"exclusive: {name} is not one of the heads{nearest(name, heads)}"
            for name in group
            if name not in heads
        ]
        if len(set(group)) < 2 or len(set(group)) < len(group):
            problems.append(f"exclusive: {list(group)} must name two or more different heads")
    return problems


def _head_problems(heads: tuple[str, ...]) -> list[str]:
    problems = []
    for name in heads:
        try:
            slug(name)
        except RecipeError as error:
            problems.append(str(error))
    twice = sorted({name for name in heads if heads.count(name) > 1})
    return problems + [f"heads: {name} is named twice" for name in twice]
