"""The commands around runs: compare two, and search a better recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ova.cli.render import console
from ova.cli.render import runs as render_runs
from ova.cli.session import Json, session

Compared = Annotated[
    str,
    typer.Argument(
        help="HEAD, HEAD@RUN, ENSEMBLE, a folder with an analysis or model, or a prediction file."
    ),
]


def compare(
    a: Compared,
    b: Compared,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    as_json: Json = False,
) -> None:
    """Show which images changed sides from A to B, and how far F1 moved, with paired intervals."""
    from ova.analysis.compare.compare import compare as compare_two

    with session.progress() as progress:
        result = compare_two(session.workspace(), a, b, seed=seed, progress=progress)
    render_runs.comparison(result, as_json=as_json)


def tune(
    head: Annotated[str, typer.Argument(help="Name of the head.")],
    trials: Annotated[int, typer.Option(min=1, help="Recipes to try in all, with earlier calls.")] = 20,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop after so long.")] = None,
    by: Annotated[str, typer.Option(help="average-precision or log-loss.")] = "average-precision",
    space: Annotated[Path | None, typer.Option(help="TOML file of what may be changed.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    track: Annotated[list[str] | None, typer.Option(help="tensorboard or mlflow; repeat it.")] = None,
    as_json: Json = False,
) -> None:
    """Search a better recipe of a head by held-out rows; goes on where it was stopped."""
    from ova.analysis.tune_report import tune_head
    from ova.heads.selection import read_criterion
    from ova.heads.tune.space import SpaceSettings
    from ova.heads.tune.study import TuneSettings
    from ova.recipes import load_recipe

    searched = SpaceSettings() if space is None else load_recipe(space, SpaceSettings)
    settings = TuneSettings(trials, minutes, read_criterion(by), seed, searched)
    with session.progress() as progress, console.stop_on_signal() as stop:
        report = tune_head(
            session.workspace(),
            head,
            settings,
            device=device,
            trackers=track or (),
            progress=progress,
            should_stop=stop,
        )
    render_runs.tuned(report, as_json=as_json)
