"""The commands around runs that are there: compare."""

from __future__ import annotations

from typing import Annotated

import typer

from ova import render_runs
from ova.session import Json, session

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
    from ova.analysis.compare import compare as compare_two

    with session.progress() as progress:
        result = compare_two(session.workspace(), a, b, seed=seed, progress=progress)
    render_runs.comparison(result, as_json=as_json)
