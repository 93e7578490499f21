"""The commands below `ova data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ova.cli.render import console
from ova.cli.render import data as render_data
from ova.cli.session import Json, session
from ova.errors import PartialError

app = typer.Typer(no_args_is_help=True, help="Look at the data: where it is, what it holds, its split.")


@app.command("locate")
def locate(
    folder: Annotated[Path, typer.Argument(help="Where labels and images lie on this machine.")],
) -> None:
    """Say where labels and images lie on this machine; it is remembered."""
    from ova.data.source import locate as remember

    table = remember(session.workspace(), folder)
    console.show_lines([*table.lines(), f"labels: {', '.join(table.labels)}"])


@app.command("check")
def check(as_json: Json = False) -> None:
    """Read labels, decode every image in full, and list all that is wrong or worth a look, with counts."""
    from ova.data.checks.check import check_data

    with session.progress() as progress:
        report = check_data(session.workspace(), progress)
    render_data.checked(report, as_json=as_json)


@app.command("clean")
def clean(
    min_side: Annotated[int | None, typer.Option(help="Least shorter side, in pixels.")] = None,
    sharpness: Annotated[float | None, typer.Option(help="Least sharpness; see runs/quality.csv.")] = None,
    colour: Annotated[str | None, typer.Option(help="Form that images must have: colour or grey.")] = None,
    duplicates: Annotated[str | None, typer.Option(help="keep, identical or near.")] = None,
    conflicts: Annotated[str | None, typer.Option(help="keep, or exclude what is labelled twice.")] = None,
    again: Annotated[bool, typer.Option("--again", help="List what was brought back, too.")] = False,
    copy_to: Annotated[
        Path | None, typer.Option("--copy", help="New folder for a copy of what is left.")
    ] = None,
    short_side: Annotated[
        int | None, typer.Option(min=1, help="In the copy: shorter side of larger images, in pixels.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put images that are unfit on the list data/exclude.csv, which you may edit; nothing is deleted."""
    from ova.data.checks.clean import clean_data

    given = {
        "min_side": min_side,
        "sharpness": sharpness,
        "colour": colour,
        "duplicates": duplicates,
        "conflicts": conflicts,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    with session.progress() as progress:
        report = clean_data(
            session.workspace(),
            settings,
            again=again,
            copy_to=copy_to,
            short_side=short_side,
            progress=progress,
        )
    render_data.cleaned(report, as_json=as_json)


@app.command("split")
def split(
    report: Annotated[
        bool, typer.Option("--report", help="Combinations, leaks, groups, and what was not met, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how many positives of each label are in each part of the split (made if there is none)."""
    if not report:
        _show_split(as_json)
        return
    from ova.data.checks.split_report import report_split, write_split_report
    from ova.data.dataset import open_dataset

    workspace = session.workspace()
    with session.progress() as progress:
        found = report_split(workspace, open_dataset(workspace, progress=progress))
    write_split_report(workspace, found)
    render_data.split_report(found, workspace.split_report, as_json=as_json)


@app.command("preview")
def preview(
    heads: Annotated[list[str] | None, typer.Argument(help="Names of heads; all if none is given.")] = None,
    images: Annotated[int, typer.Option(min=1, max=100, help="Training images to show.")] = 6,
    epochs: Annotated[int, typer.Option(min=1, max=50, help="Epochs to show of each.")] = 6,
    as_json: Json = False,
) -> None:
    """Draw what each head will see in training: stored pixels, and what augmentation makes of them."""
    from ova.heads.preview import preview_heads

    with session.progress() as progress:
        made, skipped = preview_heads(
            session.workspace(), heads or (), images=images, epochs=epochs, progress=progress
        )
    if as_json:
        console.show_json([each.to_json() for each in made])
    else:
        console.show_lines([f"wrote {each.file}" for each in made])
    if skipped:
        total = len(made) + len(skipped)
        raise PartialError(f"{len(skipped)} of {total} heads were not drawn: {skipped[0]}")


@app.command("fetch")
def fetch(
    table: Annotated[
        Path, typer.Argument(help="Table with a column url; image, sha256 and labels if known.")
    ],
    folder: Annotated[Path, typer.Argument(help="Where the images go.")],
    pause: Annotated[float, typer.Option(help="Seconds between two requests to one host.")] = 0.5,
    max_total: Annotated[float, typer.Option(help="Most GiB that are downloaded in all.")] = 64.0,
    as_json: Json = False,
) -> None:
    """Download the images of a table of URLs, and write the label table of those that came."""
    from ova.data.fetch.fetch import fetch_images

    with session.progress() as progress, console.stop_on_signal() as stop:
        report = fetch_images(
            table,
            folder,
            pause=pause,
            max_total=int(max_total * 2**30),
            progress=progress,
            should_stop=stop,
        )
    render_data.fetched(report, as_json=as_json)


@app.command("stats")
def stats(
    sample: Annotated[int, typer.Option(min=1, help="Training images to decode for brightness.")] = 2000,
    as_json: Json = False,
) -> None:
    """Count labels, parts and sizes, show what balancing does, and write tables, pictures and a page."""
    from ova.analysis.statistics.describe import describe_data

    with session.progress() as progress:
        report = describe_data(session.workspace(), sample=sample, progress=progress)
    render_data.statistics(report, as_json=as_json)


@app.command("doubts")
def doubts(
    heads: Annotated[list[str] | None, typer.Argument(help="Trained heads; all if none is given.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Images to show of every head.")] = 24,
    as_json: Json = False,
) -> None:
    """List labels that trained heads do not believe, for a person to look at; nothing is changed."""
    from ova.analysis.doubts import review_labels

    with session.progress() as progress:
        report = review_labels(session.workspace(), heads or (), top=top, progress=progress)
    render_data.doubts(report, top, as_json=as_json)


def _show_split(as_json: bool) -> None:
    from ova.data.checks.counts import count_parts
    from ova.data.dataset import open_dataset

    workspace = session.workspace()
    with session.progress() as progress:
        dataset = open_dataset(workspace, progress=progress)
    counts = count_parts(dataset)
    if as_json:
        console.show_json(counts.to_json())
        return
    console.show_table("images per part", counts.rows())
    console.show_lines([*dataset.table.lines(), f"split: {workspace.split_table}"])
